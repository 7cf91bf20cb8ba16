//! SHA-256 of what is written into it, in hex: hashes of models, runs and files.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use candle_core::{Device, Tensor};
use sha2::{Digest as _, Sha256};

/// A hash in the making.
#[derive(Clone, Debug, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Starts with the name of what is hashed, so that two kinds of things never share a hash.
    pub fn of(what: &str) -> Self {
        let mut digest = Self::default();
        digest.text(what);
        digest
    }

    /// Takes a text with its length.
    pub fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    /// Takes a tensor: name, type, shape and elements in little-endian order.
    ///
    /// # Errors
    /// candle's, if the device cannot be read.
    pub fn tensor(&mut self, name: &str, tensor: &Tensor) -> candle_core::Result<()> {
        self.text(name);
        self.text(tensor.dtype().as_str());
        for dim in tensor.dims() {
            self.0.update((*dim as u64).to_le_bytes());
        }
        tensor.to_device(&Device::Cpu)?.write_bytes(self)
    }

    /// Gives the 64 hexadecimal digits.
    pub fn hex(self) -> String {
        hex(&self.0.finalize())
    }

    /// Hashes a file as it is; gives its length in bytes and the digits.
    ///
    /// # Errors
    /// The system's.
    pub fn file(path: &Path) -> io::Result<(u64, String)> {
        let mut digest = Self::default();
        let bytes = io::copy(&mut File::open(path)?, &mut digest)?;
        Ok((bytes, digest.hex()))
    }
}

/// Gives bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_of_no_bytes_are_the_published_ones() {
        // FIPS 180-4, the empty message.
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::default().hex(), known);
    }

    #[test]
    fn a_tensor_counts_with_its_name_shape_type_and_every_element() {
        let hash = |name: &str, data: &[f32], shape: &[usize]| {
            let mut digest = Digest::of("test");
            let t = Tensor::from_slice(data, shape, &Device::Cpu).unwrap();
            digest.tensor(name, &t).unwrap();
            digest.hex()
        };
        let base = hash("a", &[1.0, 2.0], &[2]);
        assert_eq!(base, hash("a", &[1.0, 2.0], &[2]));
        assert_ne!(base, hash("b", &[1.0, 2.0], &[2]));
        assert_ne!(base, hash("a", &[1.0, 2.0], &[1, 2]));
        assert_ne!(base, hash("a", &[1.0, 2.0000002], &[2]));
    }
}
