//! The shape of what people use most of the standard library: names and types, no code.
//!
//! rust-analyzer reads this in a few milliseconds where the library takes seconds, and finds the types of a
//! first cell's variables in it. What is not here it does not know, and then the library is read. Nothing of
//! this file is compiled: the code of cells runs on the real library, which has the last word on each type.

#![feature(lang_items)]
#![rustc_coherence_is_core]

pub mod marker {
    #[lang = "sized"]
    pub trait Sized {}
    #[lang = "tuple_trait"]
    pub trait Tuple {}
    #[lang = "unsize"]
    pub trait Unsize<T: ?Sized> {}
    #[lang = "copy"]
    pub trait Copy: Clone {}
    pub unsafe trait Send {}
    #[lang = "sync"]
    pub unsafe trait Sync {}
    use crate::clone::Clone;
    pub struct PhantomData<T: ?Sized>;

    macro_rules! copied { ($($t:ty)*) => { $(impl Copy for $t {} impl Clone for $t { fn clone(&self) -> Self { loop {} } })* } }
    copied! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char }
    impl<T: ?Sized> Copy for &T {}
    impl<T: ?Sized> Clone for &T { fn clone(&self) -> Self { loop {} } }
}

pub mod clone {
    #[lang = "clone"]
    pub trait Clone: Sized {
        fn clone(&self) -> Self;
    }
    #[rustc_builtin_macro]
    pub macro Clone($item:item) {}
}

pub mod default {
    pub trait Default: Sized {
        fn default() -> Self;
    }
    #[rustc_builtin_macro]
    pub macro Default($item:item) {}
}

pub mod cmp {
    pub enum Ordering { Less, Equal, Greater }
    #[lang = "eq"]
    pub trait PartialEq<Rhs: ?Sized = Self> {
        fn eq(&self, other: &Rhs) -> bool;
    }
    pub trait Eq: PartialEq<Self> {}
    #[lang = "partial_ord"]
    pub trait PartialOrd<Rhs: ?Sized = Self>: PartialEq<Rhs> {
        fn partial_cmp(&self, other: &Rhs) -> Option<Ordering>;
    }
    pub trait Ord: Eq + PartialOrd<Self> {
        fn cmp(&self, other: &Self) -> Ordering;
    }
    #[rustc_builtin_macro]
    pub macro PartialEq($item:item) {}
    #[rustc_builtin_macro]
    pub macro Eq($item:item) {}
    #[rustc_builtin_macro]
    pub macro PartialOrd($item:item) {}
    #[rustc_builtin_macro]
    pub macro Ord($item:item) {}
    pub fn min<T: Ord>(a: T, b: T) -> T { loop {} }
    pub fn max<T: Ord>(a: T, b: T) -> T { loop {} }
}

pub mod hash {
    pub trait Hash {}
    pub mod macros {
        #[rustc_builtin_macro]
        pub macro Hash($item:item) {}
    }
}

pub mod convert {
    pub trait From<T>: Sized {
        fn from(value: T) -> Self;
    }
    pub trait Into<T>: Sized {
        fn into(self) -> T;
    }
    pub trait AsRef<T: ?Sized> {
        fn as_ref(&self) -> &T;
    }
    impl From<&str> for String { fn from(value: &str) -> Self { loop {} } }
    impl From<char> for String { fn from(value: char) -> Self { loop {} } }
    impl<T> From<T> for Box<T> { fn from(value: T) -> Self { loop {} } }
    impl<T: Clone> From<&[T]> for Vec<T> { fn from(value: &[T]) -> Self { loop {} } }
    impl<T, const N: usize> From<[T; N]> for Vec<T> { fn from(value: [T; N]) -> Self { loop {} } }
    macro_rules! widened { ($($a:ty: $($b:ty)*;)*) => { $($(impl From<$a> for $b { fn from(value: $a) -> Self { loop {} } })*)* } }
    widened! {
        u8: u16 u32 u64 u128 usize i16 i32 i64 i128 f32 f64 char;
        u16: u32 u64 u128 usize i32 i64 i128 f32 f64;
        u32: u64 u128 i64 i128 f64;
        i8: i16 i32 i64 i128 isize f32 f64;
        i16: i32 i64 i128 isize f32 f64;
        i32: i64 i128 f64;
        f32: f64;
        char: u32 u64;
        bool: u8 u16 u32 u64 usize i32 i64;
    }
}

pub mod ops;

pub mod option {
    #[lang = "Option"]
    pub enum Option<T> {
        #[lang = "None"]
        None,
        #[lang = "Some"]
        Some(T),
    }
    impl<T> Option<T> {
        pub fn unwrap(self) -> T { loop {} }
        pub fn expect(self, message: &str) -> T { loop {} }
        pub fn unwrap_or(self, default: T) -> T { loop {} }
        pub fn unwrap_or_else<F: FnOnce() -> T>(self, f: F) -> T { loop {} }
        pub fn unwrap_or_default(self) -> T { loop {} }
        pub fn is_some(&self) -> bool { loop {} }
        pub fn is_none(&self) -> bool { loop {} }
        pub fn map<U, F: FnOnce(T) -> U>(self, f: F) -> Option<U> { loop {} }
        pub fn and_then<U, F: FnOnce(T) -> Option<U>>(self, f: F) -> Option<U> { loop {} }
        pub fn ok_or<E>(self, error: E) -> Result<T, E> { loop {} }
        pub fn as_ref(&self) -> Option<&T> { loop {} }
        pub fn take(&mut self) -> Option<T> { loop {} }
    }
    impl<T> Option<&T> {
        pub fn copied(self) -> Option<T> { loop {} }
        pub fn cloned(self) -> Option<T> { loop {} }
    }
    impl<T: Clone> Clone for Option<T> { fn clone(&self) -> Self { loop {} } }
}

pub mod result {
    pub enum Result<T, E> {
        #[lang = "Ok"]
        Ok(T),
        #[lang = "Err"]
        Err(E),
    }
    impl<T, E> Result<T, E> {
        pub fn unwrap(self) -> T { loop {} }
        pub fn expect(self, message: &str) -> T { loop {} }
        pub fn unwrap_or(self, default: T) -> T { loop {} }
        pub fn unwrap_or_else<F: FnOnce(E) -> T>(self, f: F) -> T { loop {} }
        pub fn unwrap_or_default(self) -> T { loop {} }
        pub fn unwrap_err(self) -> E { loop {} }
        pub fn is_ok(&self) -> bool { loop {} }
        pub fn is_err(&self) -> bool { loop {} }
        pub fn ok(self) -> Option<T> { loop {} }
        pub fn err(self) -> Option<E> { loop {} }
        pub fn map<U, F: FnOnce(T) -> U>(self, f: F) -> Result<U, E> { loop {} }
        pub fn map_err<U, F: FnOnce(E) -> U>(self, f: F) -> Result<T, U> { loop {} }
        pub fn and_then<U, F: FnOnce(T) -> Result<U, E>>(self, f: F) -> Result<U, E> { loop {} }
    }
    impl<T: Clone, E: Clone> Clone for Result<T, E> { fn clone(&self) -> Self { loop {} } }
}

pub mod boxed {
    #[lang = "owned_box"]
    pub struct Box<T: ?Sized>(*const T);
    impl<T> Box<T> {
        pub fn new(value: T) -> Box<T> { loop {} }
    }
    impl<T: Clone> Clone for Box<T> { fn clone(&self) -> Self { loop {} } }
}

pub mod string {
    #[lang = "String"]
    pub struct String { bytes: crate::vec::Vec<u8> }
    impl String {
        pub fn new() -> String { loop {} }
        pub fn with_capacity(capacity: usize) -> String { loop {} }
        pub fn push(&mut self, c: char) { loop {} }
        pub fn push_str(&mut self, s: &str) { loop {} }
        pub fn len(&self) -> usize { loop {} }
        pub fn is_empty(&self) -> bool { loop {} }
        pub fn as_str(&self) -> &str { loop {} }
        pub fn pop(&mut self) -> Option<char> { loop {} }
        pub fn clear(&mut self) { loop {} }
        pub fn into_bytes(self) -> Vec<u8> { loop {} }
    }
    impl Clone for String { fn clone(&self) -> Self { loop {} } }
    impl Default for String { fn default() -> Self { loop {} } }
    use crate::default::Default;
    pub trait ToString {
        fn to_string(&self) -> String;
    }
    impl<T: crate::fmt::Display + ?Sized> ToString for T { fn to_string(&self) -> String { loop {} } }
}

pub mod str {
    impl str {
        pub fn len(&self) -> usize { loop {} }
        pub fn is_empty(&self) -> bool { loop {} }
        pub fn to_owned(&self) -> String { loop {} }
        pub fn to_uppercase(&self) -> String { loop {} }
        pub fn to_lowercase(&self) -> String { loop {} }
        pub fn trim(&self) -> &str { loop {} }
        pub fn repeat(&self, n: usize) -> String { loop {} }
        pub fn chars(&self) -> Chars<'_> { loop {} }
        pub fn bytes(&self) -> Bytes<'_> { loop {} }
        pub fn lines(&self) -> Lines<'_> { loop {} }
        pub fn split<P>(&self, at: P) -> Split<'_, P> { loop {} }
        pub fn split_whitespace(&self) -> SplitWhitespace<'_> { loop {} }
        pub fn as_bytes(&self) -> &[u8] { loop {} }
        pub fn parse<F: FromStr>(&self) -> Result<F, F::Err> { loop {} }
    }
    pub trait FromStr: Sized {
        type Err;
        fn from_str(s: &str) -> Result<Self, Self::Err>;
    }
    macro_rules! walks { ($($name:ident $item:ty;)*) => { $(
        pub struct $name<'a>(&'a str);
        impl<'a> Iterator for $name<'a> { type Item = $item; fn next(&mut self) -> Option<$item> { loop {} } }
    )* } }
    walks! { Chars char; Bytes u8; Lines &'a str; SplitWhitespace &'a str; }
    pub struct Split<'a, P>(&'a str, P);
    impl<'a, P> Iterator for Split<'a, P> { type Item = &'a str; fn next(&mut self) -> Option<&'a str> { loop {} } }
    macro_rules! parsed { ($error:ty: $($t:ty)*) => { $(impl FromStr for $t { type Err = $error; fn from_str(s: &str) -> Result<$t, $error> { loop {} } })* } }
    parsed! { crate::num::ParseIntError: u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }
    parsed! { crate::num::ParseFloatError: f32 f64 }
}

pub mod num;

pub mod vec {
    pub struct Vec<T> { first: *const T }
    impl<T> Vec<T> {
        pub fn new() -> Vec<T> { loop {} }
        pub fn with_capacity(capacity: usize) -> Vec<T> { loop {} }
        pub fn push(&mut self, value: T) { loop {} }
        pub fn pop(&mut self) -> Option<T> { loop {} }
        pub fn len(&self) -> usize { loop {} }
        pub fn is_empty(&self) -> bool { loop {} }
        pub fn clear(&mut self) { loop {} }
        pub fn remove(&mut self, index: usize) -> T { loop {} }
        pub fn insert(&mut self, index: usize, value: T) { loop {} }
        pub fn truncate(&mut self, len: usize) { loop {} }
        pub fn capacity(&self) -> usize { loop {} }
    }
    impl<T: Clone> Clone for Vec<T> { fn clone(&self) -> Self { loop {} } }
    impl<T> crate::default::Default for Vec<T> { fn default() -> Self { loop {} } }
    pub struct IntoIter<T> { first: *const T }
    impl<T> Iterator for IntoIter<T> { type Item = T; fn next(&mut self) -> Option<T> { loop {} } }
    impl<T> IntoIterator for Vec<T> { type Item = T; type IntoIter = IntoIter<T>; fn into_iter(self) -> IntoIter<T> { loop {} } }
    pub fn from_elem<T: Clone>(elem: T, n: usize) -> Vec<T> { loop {} }
    pub fn from_array<T, const N: usize>(elements: [T; N]) -> Vec<T> { loop {} }
}

pub mod slice {
    impl<T> [T] {
        pub fn len(&self) -> usize { loop {} }
        pub fn is_empty(&self) -> bool { loop {} }
        pub fn first(&self) -> Option<&T> { loop {} }
        pub fn last(&self) -> Option<&T> { loop {} }
        pub fn iter(&self) -> Iter<'_, T> { loop {} }
        pub fn to_vec(&self) -> Vec<T> { loop {} }
        pub fn contains(&self, value: &T) -> bool { loop {} }
        pub fn sort(&mut self) { loop {} }
        pub fn reverse(&mut self) { loop {} }
        pub fn windows(&self, size: usize) -> Parts<'_, T> { loop {} }
        pub fn chunks(&self, size: usize) -> Parts<'_, T> { loop {} }
    }
    pub struct Iter<'a, T>(&'a T);
    impl<'a, T> Iterator for Iter<'a, T> { type Item = &'a T; fn next(&mut self) -> Option<&'a T> { loop {} } }
    impl<'a, T> IntoIterator for &'a Vec<T> { type Item = &'a T; type IntoIter = Iter<'a, T>; fn into_iter(self) -> Iter<'a, T> { loop {} } }
    impl<'a, T> IntoIterator for &'a [T] { type Item = &'a T; type IntoIter = Iter<'a, T>; fn into_iter(self) -> Iter<'a, T> { loop {} } }
    impl<T, const N: usize> IntoIterator for [T; N] { type Item = T; type IntoIter = crate::vec::IntoIter<T>; fn into_iter(self) -> crate::vec::IntoIter<T> { loop {} } }
    struct Parts<'a, T>(&'a T);
    impl<'a, T> Iterator for Parts<'a, T> { type Item = &'a [T]; fn next(&mut self) -> Option<&'a [T]> { loop {} } }
}

pub mod iter;

pub mod fmt {
    pub struct Error;
    pub type Result = crate::result::Result<(), Error>;
    pub struct Formatter<'a>(&'a u8);
    pub trait Display { fn fmt(&self, f: &mut Formatter<'_>) -> Result; }
    pub trait Debug { fn fmt(&self, f: &mut Formatter<'_>) -> Result; }
    pub mod macros {
        #[rustc_builtin_macro]
        pub macro Debug($item:item) {}
    }
    macro_rules! shown { ($($t:ty)*) => { $(impl Display for $t { fn fmt(&self, f: &mut Formatter<'_>) -> Result { loop {} } })* } }
    shown! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char str crate::string::String }
    impl<T: Display + ?Sized> Display for &T { fn fmt(&self, f: &mut Formatter<'_>) -> Result { loop {} } }
}

pub mod time {
    pub struct Duration { secs: u64, nanos: u32 }
    impl Duration {
        pub fn from_secs(secs: u64) -> Duration { loop {} }
        pub fn from_millis(millis: u64) -> Duration { loop {} }
        pub fn as_secs_f64(&self) -> f64 { loop {} }
        pub fn as_secs(&self) -> u64 { loop {} }
        pub fn as_millis(&self) -> u128 { loop {} }
    }
    pub struct Instant(u64);
    impl Instant {
        pub fn now() -> Instant { loop {} }
        pub fn elapsed(&self) -> Duration { loop {} }
    }
}

pub mod mem {
    pub fn size_of<T>() -> usize { loop {} }
    pub fn swap<T>(a: &mut T, b: &mut T) { loop {} }
    pub fn take<T: crate::default::Default>(place: &mut T) -> T { loop {} }
    pub fn replace<T>(place: &mut T, value: T) -> T { loop {} }
}

macro_rules! constants { ($($t:ident)*) => { $(
    pub mod $t {
        pub mod consts {
            pub const PI: $t = 0.0;
            pub const TAU: $t = 0.0;
            pub const E: $t = 0.0;
            pub const LN_2: $t = 0.0;
            pub const SQRT_2: $t = 0.0;
        }
    }
)* } }
constants! { f32 f64 }

macro_rules! counted { ($name:ident) => {
    pub struct $name<T: ?Sized>(*const T);
    impl<T> $name<T> {
        pub fn new(value: T) -> $name<T> { loop {} }
        pub fn strong_count(this: &Self) -> usize { loop {} }
    }
    impl<T: ?Sized> Clone for $name<T> { fn clone(&self) -> Self { loop {} } }
    impl<T: ?Sized> crate::ops::Deref for $name<T> { type Target = T; fn deref(&self) -> &T { loop {} } }
} }
pub mod rc {
    counted! { Rc }
}

pub mod sync {
    counted! { Arc }
    pub struct Mutex<T: ?Sized>(T);
    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> { loop {} }
    }
}

pub mod cell {
    pub struct Cell<T: ?Sized>(T);
    impl<T> Cell<T> {
        pub fn new(value: T) -> Cell<T> { loop {} }
        pub fn set(&self, value: T) { loop {} }
    }
    impl<T: Copy> Cell<T> {
        pub fn get(&self) -> T { loop {} }
    }
    pub struct RefCell<T: ?Sized>(T);
    impl<T> RefCell<T> {
        pub fn new(value: T) -> RefCell<T> { loop {} }
    }
}

pub mod path {
    pub struct Path(str);
    pub struct PathBuf(String);
    impl PathBuf {
        pub fn new() -> PathBuf { loop {} }
    }
    impl crate::ops::Deref for PathBuf { type Target = Path; fn deref(&self) -> &Path { loop {} } }
    impl Clone for PathBuf { fn clone(&self) -> Self { loop {} } }
    impl<T: ?Sized> From<&T> for PathBuf { fn from(value: &T) -> Self { loop {} } }
    impl From<String> for PathBuf { fn from(value: String) -> Self { loop {} } }
    impl Path {
        pub fn new<S: ?Sized>(s: &S) -> &Path { loop {} }
        pub fn exists(&self) -> bool { loop {} }
        pub fn is_file(&self) -> bool { loop {} }
        pub fn is_dir(&self) -> bool { loop {} }
        pub fn join<P>(&self, path: P) -> PathBuf { loop {} }
    }
}

pub mod io {
    pub struct Error { kind: u8 }
    pub type Result<T> = crate::result::Result<T, Error>;
}

pub mod fs {
    pub fn read_to_string<P>(path: P) -> crate::io::Result<String> { loop {} }
    pub fn read<P>(path: P) -> crate::io::Result<Vec<u8>> { loop {} }
    pub fn write<P, C>(path: P, contents: C) -> crate::io::Result<()> { loop {} }
}

pub mod env {
    pub fn var<K>(key: K) -> Result<String, VarError> { loop {} }
    pub enum VarError { NotPresent }
}

pub mod thread {
    pub struct JoinHandle<T>(T);
    pub fn spawn<F: FnOnce() -> T, T>(f: F) -> JoinHandle<T> { loop {} }
    pub fn sleep(time: crate::time::Duration) { loop {} }
}

pub mod collections {
    macro_rules! maps { ($($name:ident)*) => { $(
        pub struct $name<K, V>(K, V);
        impl<K, V> $name<K, V> {
            pub fn new() -> $name<K, V> { loop {} }
            pub fn len(&self) -> usize { loop {} }
            pub fn is_empty(&self) -> bool { loop {} }
            pub fn insert(&mut self, key: K, value: V) -> Option<V> { loop {} }
        }
        impl<K: Clone, V: Clone> Clone for $name<K, V> { fn clone(&self) -> Self { loop {} } }
        impl<K, V> crate::iter::FromIterator<(K, V)> for $name<K, V> {}
        impl<K, V, const N: usize> crate::convert::From<[(K, V); N]> for $name<K, V> { fn from(value: [(K, V); N]) -> Self { loop {} } }
    )* } }
    maps! { HashMap BTreeMap }
    macro_rules! sets { ($($name:ident)*) => { $(
        pub struct $name<T>(T);
        impl<T> $name<T> {
            pub fn new() -> $name<T> { loop {} }
            pub fn len(&self) -> usize { loop {} }
            pub fn is_empty(&self) -> bool { loop {} }
            pub fn insert(&mut self, value: T) -> bool { loop {} }
        }
        impl<T: Clone> Clone for $name<T> { fn clone(&self) -> Self { loop {} } }
        impl<T> crate::iter::FromIterator<T> for $name<T> {}
        impl<T, const N: usize> crate::convert::From<[T; N]> for $name<T> { fn from(value: [T; N]) -> Self { loop {} } }
    )* } }
    sets! { HashSet BTreeSet }
}

#[macro_export]
macro_rules! vec {
    () => { $crate::vec::Vec::new() };
    ($elem:expr; $n:expr) => { $crate::vec::from_elem($elem, $n) };
    ($($x:expr),+ $(,)?) => { $crate::vec::from_array([$($x),+]) };
}
#[macro_export]
macro_rules! format {
    ($($t:tt)*) => { $crate::string::String::new() };
}

pub mod prelude {
    pub mod v1 {
        pub use crate::boxed::Box;
        pub use crate::clone::Clone;
        pub use crate::cmp::{Eq, Ord, PartialEq, PartialOrd};
        pub use crate::convert::{AsRef, From, Into};
        pub use crate::default::Default;
        pub use crate::fmt::macros::Debug;
        pub use crate::hash::macros::Hash;
        pub use crate::iter::{FromIterator, IntoIterator, Iterator};
        pub use crate::marker::{Copy, Send, Sized, Sync};
        pub use crate::ops::{Drop, Fn, FnMut, FnOnce};
        pub use crate::option::Option::{self, None, Some};
        pub use crate::result::Result::{self, Err, Ok};
        pub use crate::string::{String, ToString};
        pub use crate::vec::Vec;
        pub use crate::{format, vec};
    }
    pub mod rust_2015 { pub use super::v1::*; }
    pub mod rust_2018 { pub use super::v1::*; }
    pub mod rust_2021 { pub use super::v1::*; }
    pub mod rust_2024 { pub use super::v1::*; }
}
#[prelude_import]
use prelude::rust_2021::*;
