//! Iterators.

#[lang = "iterator"]
pub trait Iterator {
    type Item;
    #[lang = "next"]
    fn next(&mut self) -> Option<Self::Item>;
    fn map<B, F: FnMut(Self::Item) -> B>(self, f: F) -> Map<Self, F> where Self: Sized { loop {} }
    fn filter<P: FnMut(&Self::Item) -> bool>(self, p: P) -> Filter<Self, P> where Self: Sized { loop {} }
    fn enumerate(self) -> Enumerate<Self> where Self: Sized { loop {} }
    fn zip<U: IntoIterator>(self, other: U) -> Zip<Self, U::IntoIter> where Self: Sized { loop {} }
    fn rev(self) -> Rev<Self> where Self: Sized { loop {} }
    fn take(self, n: usize) -> Take<Self> where Self: Sized { loop {} }
    fn skip(self, n: usize) -> Skip<Self> where Self: Sized { loop {} }
    fn step_by(self, n: usize) -> StepBy<Self> where Self: Sized { loop {} }
    fn copied<'a, T: 'a>(self) -> Copied<Self> where Self: Sized + Iterator<Item = &'a T> { loop {} }
    fn cloned<'a, T: 'a>(self) -> Cloned<Self> where Self: Sized + Iterator<Item = &'a T> { loop {} }
    fn collect<B: FromIterator<Self::Item>>(self) -> B where Self: Sized { loop {} }
    fn sum<S: Sum<Self::Item>>(self) -> S where Self: Sized { loop {} }
    fn product<P: Product<Self::Item>>(self) -> P where Self: Sized { loop {} }
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, start: B, f: F) -> B where Self: Sized { loop {} }
    fn count(self) -> usize where Self: Sized { loop {} }
    fn min(self) -> Option<Self::Item> where Self: Sized { loop {} }
    fn max(self) -> Option<Self::Item> where Self: Sized { loop {} }
    fn last(self) -> Option<Self::Item> where Self: Sized { loop {} }
    fn nth(&mut self, n: usize) -> Option<Self::Item> { loop {} }
    fn all<F: FnMut(Self::Item) -> bool>(&mut self, f: F) -> bool where Self: Sized { loop {} }
    fn any<F: FnMut(Self::Item) -> bool>(&mut self, f: F) -> bool where Self: Sized { loop {} }
    fn position<P: FnMut(Self::Item) -> bool>(&mut self, p: P) -> Option<usize> where Self: Sized { loop {} }
    fn find<P: FnMut(&Self::Item) -> bool>(&mut self, p: P) -> Option<Self::Item> where Self: Sized { loop {} }
}
pub trait IntoIterator {
    type Item;
    type IntoIter: Iterator<Item = Self::Item>;
    #[lang = "into_iter"]
    fn into_iter(self) -> Self::IntoIter;
}
impl<I: Iterator> IntoIterator for I { type Item = I::Item; type IntoIter = I; fn into_iter(self) -> I { loop {} } }
pub trait FromIterator<A>: Sized {}
impl<T> FromIterator<T> for Vec<T> {}
impl FromIterator<char> for String {}
impl<'a> FromIterator<&'a str> for String {}
impl FromIterator<String> for String {}
impl<T, E, V: FromIterator<T>> FromIterator<Result<T, E>> for Result<V, E> {}
impl<T, V: FromIterator<T>> FromIterator<Option<T>> for Option<V> {}
pub trait Sum<A = Self>: Sized {}
pub trait Product<A = Self>: Sized {}
macro_rules! sums { ($($t:ty)*) => { $(
    impl Sum for $t {} impl<'a> Sum<&'a $t> for $t {} impl Product for $t {} impl<'a> Product<&'a $t> for $t {}
)* } }
sums! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }

pub struct Map<I, F>(I, F);
impl<B, I: Iterator, F: FnMut(I::Item) -> B> Iterator for Map<I, F> { type Item = B; fn next(&mut self) -> Option<B> { loop {} } }
pub struct Filter<I, P>(I, P);
impl<I: Iterator, P> Iterator for Filter<I, P> { type Item = I::Item; fn next(&mut self) -> Option<I::Item> { loop {} } }
pub struct Enumerate<I>(I);
impl<I: Iterator> Iterator for Enumerate<I> { type Item = (usize, I::Item); fn next(&mut self) -> Option<(usize, I::Item)> { loop {} } }
pub struct Zip<A, B>(A, B);
impl<A: Iterator, B: Iterator> Iterator for Zip<A, B> { type Item = (A::Item, B::Item); fn next(&mut self) -> Option<(A::Item, B::Item)> { loop {} } }
macro_rules! same { ($($name:ident)*) => { $(
    pub struct $name<I>(I);
    impl<I: Iterator> Iterator for $name<I> { type Item = I::Item; fn next(&mut self) -> Option<I::Item> { loop {} } }
)* } }
same! { Rev Take Skip StepBy }
pub struct Copied<I>(I);
impl<'a, T: 'a, I: Iterator<Item = &'a T>> Iterator for Copied<I> { type Item = T; fn next(&mut self) -> Option<T> { loop {} } }
pub struct Cloned<I>(I);
impl<'a, T: 'a, I: Iterator<Item = &'a T>> Iterator for Cloned<I> { type Item = T; fn next(&mut self) -> Option<T> { loop {} } }
pub trait Step: Sized {}
macro_rules! counted { ($($t:ty)*) => { $(impl Step for $t {})* } }
counted! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize char }
impl<A: Step> Iterator for crate::ops::Range<A> { type Item = A; fn next(&mut self) -> Option<A> { loop {} } }
impl<A: Step> Iterator for crate::ops::RangeInclusive<A> { type Item = A; fn next(&mut self) -> Option<A> { loop {} } }
impl<A: Step> Iterator for crate::ops::RangeFrom<A> { type Item = A; fn next(&mut self) -> Option<A> { loop {} } }
