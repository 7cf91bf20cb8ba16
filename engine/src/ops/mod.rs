//! The operations of a gated Llama step, each with its hand-written backward.
//!
//! On the CPU every operation is one fused kernel, in f32 and f64, parallel over rows with a fixed
//! order of sums: the bits depend on the input alone. On CUDA devices the kernels of `cuda/` take its
//! place, elsewhere the twin in `plain.rs`, written in candle's own operations; the twin is also the oracle
//! of the tests.
//!
//! | file | operation |
//! |---|---|
//! | `linear.rs` | y = x Wᵀ |
//! | `few.rs` | the same for a few rows |
//! | `norm.rs` | RMSNorm under a hidden gate |
//! | `attention.rs` | rotary position + causal attention, grouped KV heads |
//! | `swiglu.rs` | silu(g) · u · z |
//! | `scale.rs` | columns times gates; residual sum with a gated output |
//! | `loss.rs` | next-token cross-entropy |
//! | `distill.rs` | cross-entropy mixed with the divergence from a teacher |
//! | `lora.rs` | a frozen weight with a low-rank change |
//! | `given.rs` | a number whose gradient is known already |
//! | `adam.rs` | AdamW in place |
//! | `places.rs` | rows of an embedding, parts of a matrix |
//! | `rope.rs` | rotary tables |
//! | `kernel.rs` | what the kernels share: element type, slices, dispatch |
//! | `plain.rs` | the same in candle's own operations |
//! | `cuda/` | the same on CUDA devices |
//! | `tests.rs` | every kernel beside its twin, forward and backward |

mod adam;
pub(crate) mod attention;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
pub(crate) mod distill;
pub(crate) mod few;
mod given;
pub(crate) mod kernel;
mod linear;
mod lora;
pub(crate) mod loss;
pub(crate) mod norm;
mod places;
pub mod plain;
mod rope;
mod scale;
pub(crate) mod swiglu;

pub use adam::{AdamStep, adam, adam_master};
pub(crate) use adam::{Rows, adam_by, adam_part};
pub use attention::attention;
pub use distill::{Distilled, distillation};
pub use given::given;
pub use kernel::sum_of_squares;
pub use linear::linear;
pub use lora::lora;
pub use loss::{IGNORE, cross_entropy, token_losses};
pub use norm::rms_norm;
pub use places::{embedding, part};
pub use rope::{Rope, RopeTable};
pub use scale::{gated_sum, scale_columns};
pub use swiglu::swiglu;

/// What computes where the CPU does not.
#[cfg(feature = "cuda")]
use cuda::nodes as elsewhere;
#[cfg(not(feature = "cuda"))]
use plain as elsewhere;

/// Which attention a device has run so far, a line for each shape: ours or cuDNN's, and why. Nothing on the
/// CPU, and before the first.
pub fn attention_kernels(device: &candle_core::Device) -> Vec<String> {
    match device.location() {
        #[cfg(feature = "cuda")]
        candle_core::DeviceLocation::Cuda { gpu_id } => cuda::attention_said(gpu_id),
        _ => Vec::new(),
    }
}

/// Attends once in bf16 on a device, so that [`attention_kernels`] has something to say.
///
/// # Errors
/// candle's; those of an attention that was forced and cannot be.
pub fn try_attention(device: &candle_core::Device) -> candle_core::Result<Vec<String>> {
    use candle_core::{DType, Tensor};
    let (tokens, width) = (256, 64);
    let x = Tensor::zeros((tokens, 2 * width), DType::BF16, device)?;
    let rope = std::sync::Arc::new(RopeTable::new(&vec![1.0; width / 2], tokens));
    attention(&x, &x, &x, tokens, width, &rope)?;
    device.synchronize()?;
    Ok(attention_kernels(device))
}

#[cfg(test)]
mod tests;
