//! Operators, ranges, closures and `?`.

macro_rules! binary { ($($lang:literal $name:ident $method:ident;)*) => { $(
    #[lang = $lang]
    pub trait $name<Rhs = Self> { type Output; fn $method(self, rhs: Rhs) -> Self::Output; }
)* } }
binary! { "add" Add add; "sub" Sub sub; "mul" Mul mul; "div" Div div; "rem" Rem rem; }
macro_rules! numbers { ($($t:ty)*) => { $(
    impl Add for $t { type Output = $t; fn add(self, rhs: $t) -> $t { loop {} } }
    impl Sub for $t { type Output = $t; fn sub(self, rhs: $t) -> $t { loop {} } }
    impl Mul for $t { type Output = $t; fn mul(self, rhs: $t) -> $t { loop {} } }
    impl Div for $t { type Output = $t; fn div(self, rhs: $t) -> $t { loop {} } }
    impl Rem for $t { type Output = $t; fn rem(self, rhs: $t) -> $t { loop {} } }
)* } }
numbers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }
impl Add<&str> for String { type Output = String; fn add(self, rhs: &str) -> String { loop {} } }

#[lang = "neg"]
pub trait Neg { type Output; fn neg(self) -> Self::Output; }
#[lang = "not"]
pub trait Not { type Output; fn not(self) -> Self::Output; }

#[lang = "deref"]
pub trait Deref {
    #[lang = "deref_target"]
    type Target: ?Sized;
    fn deref(&self) -> &Self::Target;
}
impl<T: ?Sized> Deref for &T { type Target = T; fn deref(&self) -> &T { loop {} } }
impl<T: ?Sized> Deref for &mut T { type Target = T; fn deref(&self) -> &T { loop {} } }
impl<T> Deref for Vec<T> { type Target = [T]; fn deref(&self) -> &[T] { loop {} } }
impl Deref for String { type Target = str; fn deref(&self) -> &str { loop {} } }
impl<T: ?Sized> Deref for Box<T> { type Target = T; fn deref(&self) -> &T { loop {} } }

#[lang = "index"]
pub trait Index<Idx: ?Sized> { type Output: ?Sized; fn index(&self, index: Idx) -> &Self::Output; }
impl<T> Index<usize> for Vec<T> { type Output = T; fn index(&self, index: usize) -> &T { loop {} } }
impl<T> Index<usize> for [T] { type Output = T; fn index(&self, index: usize) -> &T { loop {} } }
macro_rules! cuts { ($($t:ty)*) => { $(
    impl<T> Index<$t> for Vec<T> { type Output = [T]; fn index(&self, index: $t) -> &[T] { loop {} } }
    impl<T> Index<$t> for [T] { type Output = [T]; fn index(&self, index: $t) -> &[T] { loop {} } }
    impl Index<$t> for String { type Output = str; fn index(&self, index: $t) -> &str { loop {} } }
    impl Index<$t> for str { type Output = str; fn index(&self, index: $t) -> &str { loop {} } }
)* } }
cuts! { Range<usize> RangeFrom<usize> RangeTo<usize> RangeFull }

#[lang = "Range"]
pub struct Range<Idx> { pub start: Idx, pub end: Idx }
#[lang = "RangeFrom"]
pub struct RangeFrom<Idx> { pub start: Idx }
#[lang = "RangeTo"]
pub struct RangeTo<Idx> { pub end: Idx }
#[lang = "RangeFull"]
pub struct RangeFull;
#[lang = "RangeInclusive"]
pub struct RangeInclusive<Idx> { start: Idx, end: Idx }

#[lang = "fn_once"]
#[rustc_paren_sugar]
pub trait FnOnce<Args: crate::marker::Tuple> {
    #[lang = "fn_once_output"]
    type Output;
    extern "rust-call" fn call_once(self, args: Args) -> Self::Output;
}
#[lang = "fn_mut"]
#[rustc_paren_sugar]
pub trait FnMut<Args: crate::marker::Tuple>: FnOnce<Args> {
    extern "rust-call" fn call_mut(&mut self, args: Args) -> Self::Output;
}
#[lang = "fn"]
#[rustc_paren_sugar]
pub trait Fn<Args: crate::marker::Tuple>: FnMut<Args> {
    extern "rust-call" fn call(&self, args: Args) -> Self::Output;
}
#[lang = "drop"]
pub trait Drop { fn drop(&mut self); }

pub enum ControlFlow<B, C = ()> {
    #[lang = "Continue"]
    Continue(C),
    #[lang = "Break"]
    Break(B),
}
#[lang = "Try"]
pub trait Try: FromResidual<Self::Residual> {
    type Output;
    type Residual;
    #[lang = "from_output"]
    fn from_output(output: Self::Output) -> Self;
    #[lang = "branch"]
    fn branch(self) -> ControlFlow<Self::Residual, Self::Output>;
}
pub trait FromResidual<R> {
    #[lang = "from_residual"]
    fn from_residual(residual: R) -> Self;
}
pub enum Infallible {}
impl<T> Try for Option<T> {
    type Output = T;
    type Residual = Option<Infallible>;
    fn from_output(output: T) -> Self { loop {} }
    fn branch(self) -> ControlFlow<Option<Infallible>, T> { loop {} }
}
impl<T, E> Try for Result<T, E> {
    type Output = T;
    type Residual = Result<Infallible, E>;
    fn from_output(output: T) -> Self { loop {} }
    fn branch(self) -> ControlFlow<Result<Infallible, E>, T> { loop {} }
}
impl<T> FromResidual<Option<Infallible>> for Option<T> { fn from_residual(r: Option<Infallible>) -> Self { loop {} } }
impl<T, E, F: crate::convert::From<E>> FromResidual<Result<Infallible, E>> for Result<T, F> {
    fn from_residual(r: Result<Infallible, E>) -> Self { loop {} }
}
