//! The operations on CUDA devices: kernels of our own (`engine/cuda`), launched through candle's device.
//!
//! | file | what it is for |
//! |---|---|
//! | `gpu.rs` | a CUDA device as a machine (feature `cuda`) |
//! | `nodes.rs` | the operations as nodes of candle's graph (feature `cuda`) |
//! | `calls.rs` | which kernels an operation launches, over which grids, with which arguments |
//! | `dnn/` | attention by NVIDIA's cuDNN, where it is there |
//! | `emulated.rs` | the kernels on the host, for the tests |
//! | `on_device.rs` | every operation on a CUDA device beside the CPU, where there is one |
//! | `tests.rs` | the kernels on the host beside the operations of the CPU |

pub(crate) mod calls;
mod dnn;
#[cfg(test)]
mod emulated;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(feature = "cuda")]
pub(crate) mod nodes;
#[cfg(test)]
#[cfg(feature = "cuda")]
mod on_device;
#[cfg(test)]
mod tests;

/// Which attention has run on device `number` so far, and why.
#[cfg(feature = "cuda")]
pub(crate) fn attention_said(number: usize) -> Vec<String> {
    dnn::chosen::said(number)
}
