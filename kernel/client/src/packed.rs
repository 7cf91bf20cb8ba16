//! Slices of numbers as the bytes they are.
//!
//! Cells are compiled with debug assertions, in which a loop over the numbers of 100 MB takes a second; here
//! they are handed over as they lie, where the machine's order of bytes is that of the messages.

use std::io::{self, Read};

use crate::socket::Socket;

/// A number of which every pattern of bytes is one.
///
/// # Safety
/// The type has no padding, and every pattern of its bytes is a value.
pub unsafe trait Packed: Copy + Default {
    /// Adds the number, little end first.
    fn put(self, out: &mut Vec<u8>);

    /// The number of bytes that are little end first.
    fn swapped(self) -> Self;
}

macro_rules! packed {
    ($($number:ty)*) => {$(
        // SAFETY: numbers of the machine.
        unsafe impl Packed for $number {
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn swapped(self) -> Self {
                Self::from_le_bytes(self.to_ne_bytes())
            }
        }
    )*};
}

packed! { u8 f32 f64 i64 }

/// The bytes of numbers, little end first; none where the machine has them the other way round.
pub fn bytes<T: Packed>(values: &[T]) -> Option<&[u8]> {
    // SAFETY: the numbers have no padding; the slice covers their bytes and lives as long.
    let bytes = unsafe {
        std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), std::mem::size_of_val(values))
    };
    cfg!(target_endian = "little").then_some(bytes)
}

/// Numbers from their bytes, as many as there are whole ones.
pub fn numbers<T: Packed>(bytes: &[u8]) -> Vec<T> {
    let mut numbers = vec![T::default(); bytes.len() / std::mem::size_of::<T>()];
    let target = room(&mut numbers);
    let whole = target.len();
    target.copy_from_slice(&bytes[..whole]);
    turned(numbers)
}

/// Reads so many numbers to where they stay.
///
/// # Errors
/// The other side is gone.
pub fn read<T: Packed>(socket: &mut Socket, count: usize) -> io::Result<Vec<T>> {
    let mut numbers = vec![T::default(); count];
    socket.read_exact(room(&mut numbers))?;
    Ok(turned(numbers))
}

/// Numbers as bytes to be written.
fn room<T: Packed>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: every pattern of bytes is a number, and the slice covers the numbers' own bytes.
    unsafe {
        std::slice::from_raw_parts_mut(
            numbers.as_mut_ptr().cast::<u8>(),
            std::mem::size_of_val(numbers),
        )
    }
}

fn turned<T: Packed>(mut numbers: Vec<T>) -> Vec<T> {
    if cfg!(target_endian = "big") {
        numbers.iter_mut().for_each(|x| *x = x.swapped());
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_their_bytes_little_end_first() {
        let all = [0.5_f32, -1.0, f32::NAN];
        let mut one_by_one = Vec::new();
        all.iter().for_each(|x| x.put(&mut one_by_one));
        if let Some(bytes) = bytes(&all) {
            assert_eq!(bytes, one_by_one);
        }
        let back: Vec<f32> = numbers(&one_by_one);
        assert_eq!(back[..2], all[..2]);
        assert!(back[2].is_nan());
        assert_eq!(numbers::<i64>(&[1, 0, 0, 0, 0, 0, 0, 0, 9]), [1]);
    }
}
