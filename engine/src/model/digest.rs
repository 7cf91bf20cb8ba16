//! The hash of a model: its configuration and every element of its weights.

use super::{Model, ModelError};
use crate::digest::Digest;

impl Model {
    /// Hashes configuration and weights, as they compute: 64 hexadecimal digits. Name, tokenizer and
    /// provenance do not count.
    ///
    /// # Errors
    /// candle's, if the device cannot be read.
    pub fn digest(&self) -> Result<String, ModelError> {
        let mut digest = Digest::of("woolshed model 1");
        digest.text(&self.config.to_json().to_string());
        for (name, tensor) in self.weights.named() {
            digest.tensor(&name, tensor)?;
        }
        Ok(digest.hex())
    }
}
