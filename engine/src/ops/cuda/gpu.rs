//! A CUDA device as a machine: its memory, tensors in it, and our kernels on its stream.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::cuda_backend::cudarc::driver::sys::{CUfunction_attribute_enum, CUstream};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, DevicePtr, LaunchConfig, PushKernelArg, result,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDevice, CudaStorage, CudaStorageSlice};
use candle_core::op::BackpropOp;
use candle_core::{DType, Error, Layout, Result, Shape as Dims, Storage, Tensor};
use half::bf16;

use super::calls::{Arg, At, Kind, Machine, Shape};

/// The kernels, compiled for compute capability 8.0; the driver compiles them for its device.
const PTX: &str = include_str!("../../../cuda/kernels.ptx");
/// The kernels as they were written, for a driver that does not read that PTX.
const SOURCE: &str = concat!(
    include_str!("../../../cuda/kernels/base.cuh"),
    include_str!("../../../cuda/kernels/rows.cu"),
    include_str!("../../../cuda/kernels/loss.cu"),
    include_str!("../../../cuda/kernels/update.cu"),
    include_str!("../../../cuda/kernels/places.cu"),
    include_str!("../../../cuda/kernels/attention.cu"),
    include_str!("../../../cuda/kernels/flash.cu"),
);
/// Shared memory that a block has without asking.
const USUAL_SHARED: u32 = 48 * 1024;

/// The element type of the kernels that a tensor has.
pub(super) fn kind(t: &Tensor) -> Option<Kind> {
    match t.dtype() {
        DType::F32 => Some(Kind::F32),
        DType::BF16 => Some(Kind::Bf16),
        _ => None,
    }
}

/// A device.
pub(super) struct Gpu {
    device: CudaDevice,
}

/// Memory that a kernel fills.
pub(super) struct Made {
    storage: CudaStorage,
    pub at: At,
}

impl Made {
    pub fn tensor(self, dims: impl Into<Dims>) -> Tensor {
        Tensor::from_storage(Storage::Cuda(self.storage), dims, BackpropOp::none(), false)
    }

    pub fn storage(self) -> CudaStorage {
        self.storage
    }
}

impl Gpu {
    pub fn of(t: &Tensor) -> Result<Self> {
        Ok(Self { device: t.device().as_cuda_device()?.clone() })
    }

    /// The number of the device.
    pub fn ordinal(&self) -> usize {
        self.device.cuda_stream().context().ordinal()
    }

    /// The device's one stream; makes the device this thread's.
    pub fn stream(&self) -> Result<CUstream> {
        let stream = self.device.cuda_stream();
        stream.context().bind_to_thread().map_err(Error::wrap)?;
        Ok(stream.cu_stream())
    }

    /// Memory for `n` elements, as it is found.
    pub fn made(&self, kind: Kind, n: usize) -> Result<Made> {
        // SAFETY: whoever makes it fills it: the kernels write every element of their results.
        let storage = unsafe {
            match kind {
                Kind::F32 => self.wrap(self.device.alloc::<f32>(n)?),
                Kind::Bf16 => self.wrap(self.device.alloc::<bf16>(n)?),
            }
        };
        self.placed(storage)
    }

    pub fn zeros(&self, kind: Kind, n: usize) -> Result<Made> {
        let storage = match kind {
            Kind::F32 => self.wrap(self.device.alloc_zeros::<f32>(n)?),
            Kind::Bf16 => self.wrap(self.device.alloc_zeros::<bf16>(n)?),
        };
        self.placed(storage)
    }

    /// A number of the type.
    pub fn number(&self, kind: Kind, x: f64) -> Result<Made> {
        let storage = match kind {
            Kind::F32 => self.wrap(self.device.clone_htod(&[x as f32])?),
            Kind::Bf16 => self.wrap(self.device.clone_htod(&[bf16::from_f64(x)])?),
        };
        self.placed(storage)
    }

    pub fn ids(&self, ids: &[u32]) -> Result<Made> {
        let storage = self.wrap(self.device.clone_htod(ids)?);
        self.placed(storage)
    }

    fn wrap<T: candle_core::cuda_backend::CudaDType>(&self, slice: CudaSlice<T>) -> CudaStorage {
        CudaStorage::wrap_cuda_slice(slice, self.device.clone())
    }

    /// What a storage that nothing else holds is, with its address.
    pub fn placed(&self, storage: CudaStorage) -> Result<Made> {
        let at = self.address(&storage, 0)?;
        Ok(Made { storage, at })
    }

    /// The address of element `from`. One stream does all the work, so nothing is to be waited for.
    fn address(&self, storage: &CudaStorage, from: usize) -> Result<At> {
        let stream = self.device.cuda_stream();
        Ok(match &storage.slice {
            CudaStorageSlice::F32(x) => x.device_ptr(&stream).0 + 4 * from as u64,
            CudaStorageSlice::BF16(x) => x.device_ptr(&stream).0 + 2 * from as u64,
            CudaStorageSlice::U32(x) => x.device_ptr(&stream).0 + 4 * from as u64,
            CudaStorageSlice::F64(x) => x.device_ptr(&stream).0 + 8 * from as u64,
            _ => return Err(Error::UnsupportedDTypeForOp(DType::U8, "a kernel").bt()),
        })
    }

    /// The number in f64 that `fill` makes.
    pub fn read_f64(&self, fill: impl FnOnce(At) -> Result<()>) -> Result<f64> {
        let storage = self.wrap(self.device.alloc_zeros::<f64>(1)?);
        let made = self.placed(storage)?;
        fill(made.at)?;
        made.tensor(()).to_scalar()
    }
}

/// Calls `f` with the device and the addresses of contiguous tensors of it.
pub(super) fn reading<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce(&Gpu, [At; N]) -> Result<R>,
) -> Result<R> {
    let gpu = Gpu::of(tensors[0])?;
    let tensors: Vec<Tensor> = tensors.iter().map(|t| t.contiguous()).collect::<Result<_>>()?;
    let held: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut at = [0; N];
    for (at, (storage, layout)) in at.iter_mut().zip(&held) {
        let Storage::Cuda(cuda) = &**storage else {
            return Err(Error::Msg("a CUDA kernel got a tensor of another device".into()));
        };
        *at = gpu.address(cuda, offset(layout)?)?;
    }
    f(&gpu, at)
}

fn offset(layout: &Layout) -> Result<usize> {
    let found = layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "cuda" })?;
    Ok(found.0)
}

impl Machine for Gpu {
    type Room = CudaSlice<u8>;

    fn room(&self, bytes: usize) -> Result<(Self::Room, At)> {
        // SAFETY: intermediate results are written before they are read. Freed memory is given out again in
        // the order of the stream: after the kernels that use it.
        let room = unsafe { self.device.alloc::<u8>(bytes.max(1))? };
        let at = room.device_ptr(&self.device.cuda_stream()).0;
        Ok((room, at))
    }

    fn send(&self, bytes: &[u8]) -> Result<(Self::Room, At)> {
        let room = self.device.clone_htod(bytes)?;
        let at = room.device_ptr(&self.device.cuda_stream()).0;
        Ok((room, at))
    }

    fn fetch(&self, at: At, bytes: usize) -> Result<Vec<u8>> {
        let mut copy = vec![0; bytes];
        let stream = self.stream()?;
        // SAFETY: `copy` has as many bytes and lives until they are there; the stream keeps the order.
        unsafe { result::memcpy_dtoh_async(&mut copy, at, stream) }.map_err(Error::wrap)?;
        self.device.cuda_stream().synchronize().map_err(Error::wrap)?;
        Ok(copy)
    }

    unsafe fn launch(&self, kernel: &str, shape: Shape, args: &[Arg]) -> Result<()> {
        let func = self.function(kernel)?;
        if shape.shared > USUAL_SHARED {
            let what = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            func.set_attribute(what, shape.shared as i32).map_err(Error::wrap)?;
        }
        let stream = self.device.cuda_stream();
        let mut builder = stream.launch_builder(&func);
        for arg in args {
            match arg {
                Arg::At(x) | Arg::U64(x) => builder.arg(x),
                Arg::U32(x) => builder.arg(x),
                Arg::F32(x) => builder.arg(x),
            };
        }
        let [x, y, z] = shape.grid;
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (shape.threads, 1, 1),
            shared_mem_bytes: shape.shared,
        };
        // SAFETY: the caller's promise about arguments and memory.
        unsafe { builder.launch(config) }.map_err(Error::wrap)?;
        Ok(())
    }
}

impl Gpu {
    /// A kernel of the PTX that is in the program, or, if the driver refuses that, of what NVRTC makes of the
    /// sources here and now.
    fn function(&self, kernel: &str) -> Result<CudaFunction> {
        static REFUSED: AtomicBool = AtomicBool::new(false);
        static COMPILED: OnceLock<std::result::Result<String, String>> = OnceLock::new();
        let refused = if REFUSED.load(Ordering::Relaxed) {
            None
        } else {
            match self.device.get_or_load_custom_func(kernel, "woolshed", PTX) {
                Ok(func) => return Ok(func.into_cuda_function()),
                Err(error) => Some(error),
            }
        };
        let compiled = COMPILED.get_or_init(|| self.compiled());
        match compiled {
            Ok(ptx) => {
                REFUSED.store(true, Ordering::Relaxed);
                let func = self.device.get_or_load_custom_func(kernel, "woolshed-nvrtc", ptx)?;
                Ok(func.into_cuda_function())
            }
            Err(why) => Err(Error::Msg(format!(
                "the driver refuses the kernel `{kernel}` ({}), and NVRTC does not compile it: {why}; \
                 a driver for CUDA 13 (580 or later) reads it",
                refused.map_or_else(|| "as before".into(), |error| error.to_string())
            ))),
        }
    }

    fn compiled(&self) -> std::result::Result<String, String> {
        let report = crate::device::cuda_report();
        if !report.libraries.iter().any(|(name, path)| *name == "libnvrtc" && path.is_some()) {
            return Err("libnvrtc was not found".into());
        }
        let capability = self.device.cuda_stream().context().compute_capability();
        let (major, minor) = capability.map_err(|error| error.to_string())?;
        let options = CompileOptions {
            options: vec![
                "--std=c++17".into(),
                format!("--gpu-architecture=compute_{major}{minor}"),
            ],
            ..CompileOptions::default()
        };
        let ptx = compile_ptx_with_opts(SOURCE, options).map_err(|error| format!("{error:?}"))?;
        Ok(ptx.to_src())
    }
}
