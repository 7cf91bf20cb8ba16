//! Where tensors live: a device by the name a person gives it.
//!
//! Names are `cpu`, `auto` (the best device of this build) and `cuda:N`. This build computes on the
//! CPU only, so `auto` is the CPU and a CUDA name is an error that says so.

use candle_core::{Device, DeviceLocation};

use crate::names::closest;

/// Gives the device called `name`: `cpu` or `auto`; case and blanks around it do not matter.
///
/// # Errors
/// [`DeviceError::NoCuda`] for `cuda` and `cuda:N`, [`DeviceError::Unknown`] for any other name.
///
/// # Example
/// ```
/// assert!(woolshed_engine::device::device("auto").is_ok());
/// ```
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let wanted = name.trim().to_ascii_lowercase();
    match wanted.as_str() {
        "cpu" | "auto" => Ok(Device::Cpu),
        "cuda" => Err(DeviceError::NoCuda { name: name.to_string() }),
        other => match other.strip_prefix("cuda:").map(str::parse::<usize>) {
            Some(Ok(_)) => Err(DeviceError::NoCuda { name: name.to_string() }),
            Some(Err(_)) | None => {
                Err(DeviceError::Unknown { name: name.to_string(), nearest: nearest(other) })
            }
        },
    }
}

/// Gives the name of a device: `cpu`, `cuda:0`, `metal:0`.
pub fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".to_string(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// A device name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name asks for CUDA, which this build does not have.
    #[error("`{name}` needs CUDA, and this build computes on the CPU only; use `cpu` or `auto`")]
    NoCuda {
        /// The name as given.
        name: String,
    },
    /// The name is none of the known ones.
    #[error(
        "there is no device `{name}`; did you mean `{nearest}`? known: cpu, auto, cuda:N (N = 0, 1, ..)"
    )]
    Unknown {
        /// The name as given.
        name: String,
        /// The known name closest in spelling.
        nearest: &'static str,
    },
}

fn nearest(name: &str) -> &'static str {
    if name.starts_with("cuda") {
        return "cuda:0";
    }
    closest(name, ["cpu", "auto", "cuda:0"]).unwrap_or("cpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_and_auto_are_the_cpu() {
        for name in ["cpu", "auto", " CPU "] {
            assert!(device(name).unwrap().is_cpu(), "{name}");
        }
    }

    #[test]
    fn a_cuda_name_says_that_this_build_has_no_cuda() {
        for name in ["cuda", "cuda:0", "cuda:17"] {
            let error = device(name).unwrap_err();
            assert_eq!(error, DeviceError::NoCuda { name: name.to_string() });
            assert!(error.to_string().contains("use `cpu`"), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_known_one() {
        for (name, expected) in
            [("cpuu", "cpu"), ("aut", "auto"), ("cuda:x", "cuda:0"), ("", "cpu")]
        {
            let DeviceError::Unknown { nearest, .. } = device(name).unwrap_err() else {
                panic!("{name}")
            };
            assert_eq!(nearest, expected, "{name}");
        }
    }
}
