//! CUDA devices: each opened once, and what `doctor` says of them.
//!
//! A device has one stream, whatever thread calls: work is done in the order it is asked for. That also makes
//! the events superfluous by which cudarc would order several streams.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, OnceLock};

use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{result, sys};

use super::{CudaDevice, CudaReport, library};

/// What keeps a device from being used.
pub(super) struct Fault {
    pub found: String,
    pub try_this: String,
}

/// Oldest compute capability with bf16 products.
const OLDEST: (i32, i32) = (8, 0);

/// The libraries by the names under which a machine may have them; the first that loads is taken.
const LIBRARIES: [(&str, &[&str]); 5] = [
    ("libcuda", &["libcuda.so.1", "libcuda.so"]),
    ("libcublas", &["libcublas.so.13", "libcublas.so.12", "libcublas.so"]),
    ("libcurand", &["libcurand.so.10", "libcurand.so"]),
    ("libnvrtc", &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]),
    // Not needed: attention has a kernel of its own.
    ("libcudnn", &["libcudnn.so.9"]),
];

/// The devices that were opened. A tensor belongs to the handle it was made with, so there is one of each.
fn opened() -> std::sync::MutexGuard<'static, HashMap<usize, Device>> {
    static OPENED: OnceLock<Mutex<HashMap<usize, Device>>> = OnceLock::new();
    OPENED.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner())
}

/// Opens device `number`, or gives the handle of before.
pub(super) fn open(number: usize) -> Result<Device, Fault> {
    if let Some(device) = opened().get(&number) {
        return Ok(device.clone());
    }
    let count = match count() {
        Ok(count) => count,
        Err(error) => return Err(no_driver(&error)),
    };
    if number >= count {
        return Err(Fault {
            found: format!("this machine has {count} device{}", if count == 1 { "" } else { "s" }),
            try_this: match count {
                0 => "use `cpu`".into(),
                _ => format!("use `cuda:{}` or `auto`", count - 1),
            },
        });
    }
    if let Some(found) = describe(number).filter(|found| found.capability < OLDEST) {
        let (major, minor) = found.capability;
        return Err(Fault {
            found: format!("{} has compute capability {major}.{minor}", found.name),
            try_this: "the kernels need 8.0 or more (Ampere and later); use `cpu`".into(),
        });
    }
    let device = Device::new_cuda_with_stream(number).map_err(|error| Fault {
        found: match missing() {
            missing if missing.is_empty() => format!("the driver says: {error}"),
            missing => format!("{} not found", missing.join(" and ")),
        },
        try_this: "put the folders of CUDA 13's libraries on LD_LIBRARY_PATH (a Python with \
                   `nvidia-cublas` and `nvidia-curand` has them); `woolshed doctor` lists what is found"
            .into(),
    })?;
    if let Device::Cuda(cuda) = &device {
        // SAFETY: every handle of this device is a clone of this one, with its one stream.
        unsafe { cuda.disable_event_tracking() };
    }
    keep_memory(number);
    opened().insert(number, device.clone());
    Ok(device)
}

/// Lets the driver keep freed memory for the next step; without it each step begs the system for it anew.
fn keep_memory(number: usize) {
    let Ok(device) = result::device::get(number as c_int) else { return };
    let mut pool = std::ptr::null_mut();
    let mut all = u64::MAX;
    let threshold = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: `device` is one of the driver's, and the value of this attribute is a 64-bit number. A refusal
    // costs speed alone.
    unsafe {
        if sys::cuDeviceGetDefaultMemPool(&mut pool, device) == sys::CUresult::CUDA_SUCCESS {
            let _ = sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast::<c_void>());
        }
    }
}

fn count() -> Result<usize, String> {
    let found = result::init().and_then(|()| result::device::get_count());
    found.map(|n| n.max(0) as usize).map_err(|error| error.to_string())
}

fn no_driver(error: &str) -> Fault {
    let found = match find(LIBRARIES[0].1) {
        None => "there is no NVIDIA driver (libcuda.so.1 was not found)".to_string(),
        Some(path) => format!("the driver {path} finds no device ({error})"),
    };
    Fault {
        found,
        try_this: "use `cpu` or `auto`; on a machine with a GPU, `nvidia-smi` tells whether its driver works"
            .into(),
    }
}

/// The libraries that are needed and not there.
fn missing() -> Vec<&'static str> {
    let needed = LIBRARIES.iter().take(3);
    needed.filter(|(_, names)| find(names).is_none()).map(|(name, _)| *name).collect()
}

/// Loads the first of some libraries that there is, and gives its path.
fn find(names: &[&str]) -> Option<String> {
    library::open(names).map(|(_, name)| library::path(name))
}

fn describe(number: usize) -> Option<CudaDevice> {
    use sys::CUdevice_attribute_enum as Of;
    let device = result::device::get(number as c_int).ok()?;
    // SAFETY: `device` is one of the driver's.
    let attribute = |of| unsafe { result::device::get_attribute(device, of) }.unwrap_or(0);
    let major = attribute(Of::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    let minor = attribute(Of::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    Some(CudaDevice {
        name: result::device::get_name(device).ok()?,
        // SAFETY: as above.
        bytes: unsafe { result::device::total_mem(device) }.unwrap_or(0) as u64,
        capability: (major, minor),
    })
}

/// What there is.
pub(super) fn report() -> CudaReport {
    let libraries = LIBRARIES.iter().map(|(name, names)| (*name, find(names))).collect();
    let count = count().unwrap_or(0);
    let mut version = 0;
    // SAFETY: the driver writes one number.
    let asked = unsafe { sys::cuDriverGetVersion(&mut version) };
    let driver = (asked == sys::CUresult::CUDA_SUCCESS && version > 0)
        .then(|| format!("{}.{}", version / 1000, version % 1000 / 10));
    CudaReport {
        compiled: true,
        driver,
        libraries,
        devices: (0..count).filter_map(describe).collect(),
    }
}

/// Free and all bytes of a device.
pub(super) fn memory(device: &Device) -> Option<(u64, u64)> {
    let Device::Cuda(cuda) = device else { return None };
    let (free, total) = cuda.cuda_stream().context().mem_get_info().ok()?;
    Some((free as u64, total as u64))
}
