//! The demo model: a small Llama trained by `scripts/make-demo.rhai`, carried inside the program.

use super::checkpoint::{LoadOptions, load_bytes};
use super::{Model, ModelError, ModelOrigin};

const CONFIG: &[u8] = include_bytes!("../../demo/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../demo/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../../demo/tokenizer.json");

/// Loads the demo model.
///
/// # Errors
/// candle's, if the device has no room.
pub fn demo(options: &LoadOptions) -> Result<Model, ModelError> {
    let model = load_bytes("demo", CONFIG, WEIGHTS, TOKENIZER, options)?;
    Ok(Model { origin: ModelOrigin::Demo, ..model })
}
