//! Where tensors live: a device by the name a person gives it.
//!
//! Names are `cpu`, `cuda:N` and `auto`: the first CUDA device that works, else the CPU. CUDA is there
//! in a program built with the feature `cuda` (see `engine/cuda/README.md`), which starts without a
//! driver, too; elsewhere a CUDA name is an error that says so.
//!
//! | file | what it is for |
//! |---|---|
//! | `device/cuda.rs` | CUDA devices: opened once, looked at for `doctor` (feature `cuda`) |
//! | `device/library.rs` | libraries of the system, opened when they are needed |

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(test, feature = "cuda"))]
pub(crate) mod library;

use candle_core::{Device, DeviceLocation};

use crate::names::closest;

/// Gives the device called `name`; case and blanks around it do not matter. `cuda` is `cuda:0`.
///
/// # Errors
/// For `cuda` and `cuda:N`: [`DeviceError::NoCuda`] in a program without CUDA, [`DeviceError::Cuda`] where
/// something is missing. [`DeviceError::Unknown`] for any other name.
///
/// # Example
/// ```
/// assert!(woolshed_engine::device::device("auto").is_ok());
/// ```
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let wanted = name.trim().to_ascii_lowercase();
    match wanted.as_str() {
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(cuda("auto", 0).unwrap_or(Device::Cpu)),
        "cuda" => cuda(name, 0),
        other => match other.strip_prefix("cuda:").map(str::parse::<usize>) {
            Some(Ok(number)) => cuda(name, number),
            Some(Err(_)) | None => {
                Err(DeviceError::Unknown { name: name.to_string(), nearest: nearest(other) })
            }
        },
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NoCuda { name: name.to_string() })
}

#[cfg(feature = "cuda")]
fn cuda(name: &str, number: usize) -> Result<Device, DeviceError> {
    cuda::open(number).map_err(|fault| DeviceError::Cuda {
        name: name.to_string(),
        found: fault.found,
        try_this: fault.try_this,
    })
}

/// What this program and this machine have for CUDA.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CudaReport {
    /// Whether the program was built with CUDA; without it nothing else is looked for.
    pub compiled: bool,
    /// The newest CUDA that the driver knows, as `13.0`; none without a driver.
    pub driver: Option<String>,
    /// The libraries that are looked for when a device is opened, and where each was found.
    pub libraries: Vec<(&'static str, Option<String>)>,
    /// The devices, in their order.
    pub devices: Vec<CudaDevice>,
}

/// A CUDA device as its driver describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct CudaDevice {
    /// The maker's name of it.
    pub name: String,
    /// Its memory, bytes.
    pub bytes: u64,
    /// Its compute capability; bf16 and the kernels need 8.0 or more.
    pub capability: (i32, i32),
}

/// Looks at what there is for CUDA; loads its libraries to find them.
pub fn cuda_report() -> CudaReport {
    #[cfg(feature = "cuda")]
    return cuda::report();
    #[cfg(not(feature = "cuda"))]
    CudaReport::default()
}

/// Bytes of a device that are free, and all its bytes; none for the CPU.
pub fn device_memory(device: &Device) -> Option<(u64, u64)> {
    #[cfg(feature = "cuda")]
    return cuda::memory(device);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
        None
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
    #[error(
        "`{name}` needs CUDA, and this build computes on the CPU only; use `cpu` or `auto`, or build it with `engine/cuda/build.sh`"
    )]
    NoCuda {
        /// The name as given.
        name: String,
    },
    /// The name asks for CUDA, and something of it is missing on this machine.
    #[error("`{name}` cannot be used: {found}; {try_this}")]
    Cuda {
        /// The name as given.
        name: String,
        /// What was found, and what was not.
        found: String,
        /// One thing to try.
        try_this: String,
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
    fn auto_is_cuda_where_it_works_and_else_the_cpu() {
        for name in ["cpu", " CPU "] {
            assert!(device(name).unwrap().is_cpu(), "{name}");
        }
        assert_eq!(device(" Auto").unwrap().is_cuda(), device("cuda:0").is_ok());
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn where_cuda_does_not_work_the_error_says_what_is_missing() {
        let report = cuda_report();
        assert!(report.compiled);
        let beyond = format!("cuda:{}", report.devices.len());
        let error = device(&beyond).unwrap_err().to_string();
        if report.devices.is_empty() {
            assert!(error.contains("driver") || error.contains("libcuda"), "{error}");
        } else {
            assert!(error.contains(&format!("{} device", report.devices.len())), "{error}");
        }
    }

    #[cfg(not(feature = "cuda"))]
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
