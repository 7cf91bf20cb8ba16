//! What numbers can do.

pub struct ParseIntError { kind: u8 }
pub struct ParseFloatError { kind: u8 }
macro_rules! whole { ($($t:ident)*) => { $(
    impl $t {
        pub const MIN: $t = 0;
        pub const MAX: $t = 0;
        pub fn pow(self, exponent: u32) -> $t { loop {} }
        pub fn min(self, other: $t) -> $t { loop {} }
        pub fn max(self, other: $t) -> $t { loop {} }
        pub fn count_ones(self) -> u32 { loop {} }
        pub fn wrapping_add(self, rhs: $t) -> $t { loop {} }
        pub fn wrapping_mul(self, rhs: $t) -> $t { loop {} }
        pub fn saturating_sub(self, rhs: $t) -> $t { loop {} }
        pub fn rem_euclid(self, rhs: $t) -> $t { loop {} }
        pub fn checked_add(self, rhs: $t) -> Option<$t> { loop {} }
    }
)* } }
whole! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }
macro_rules! signed { ($($t:ident)*) => { $(impl $t { pub fn abs(self) -> $t { loop {} } pub fn signum(self) -> $t { loop {} } })* } }
signed! { i8 i16 i32 i64 i128 isize f32 f64 }
macro_rules! floats { ($($t:ident)*) => { $(
    impl $t {
        pub const MIN: $t = 0.0;
        pub const MAX: $t = 0.0;
        pub const INFINITY: $t = 0.0;
        pub const NAN: $t = 0.0;
        pub const EPSILON: $t = 0.0;
        pub fn powi(self, n: i32) -> $t { loop {} }
        pub fn powf(self, n: $t) -> $t { loop {} }
        pub fn min(self, other: $t) -> $t { loop {} }
        pub fn max(self, other: $t) -> $t { loop {} }
        pub fn clamp(self, min: $t, max: $t) -> $t { loop {} }
        pub fn sqrt(self) -> $t { loop {} }
        pub fn exp(self) -> $t { loop {} }
        pub fn ln(self) -> $t { loop {} }
        pub fn log2(self) -> $t { loop {} }
        pub fn log10(self) -> $t { loop {} }
        pub fn sin(self) -> $t { loop {} }
        pub fn cos(self) -> $t { loop {} }
        pub fn tan(self) -> $t { loop {} }
        pub fn tanh(self) -> $t { loop {} }
        pub fn floor(self) -> $t { loop {} }
        pub fn ceil(self) -> $t { loop {} }
        pub fn round(self) -> $t { loop {} }
        pub fn is_nan(self) -> bool { loop {} }
        pub fn is_finite(self) -> bool { loop {} }
    }
)* } }
floats! { f32 f64 }
