//! A machine without a GPU: the kernels, compiled as C++, on the host (`engine/cuda/emulate`).

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor};

use crate::device::library::open;

use super::calls::{Arg, At, Kind, Machine, Shape, bf16_bits};

type Emulate = unsafe extern "C" fn(
    *const c_char,
    *const c_uint,
    c_uint,
    c_uint,
    *mut *mut c_void,
    c_int,
) -> *const c_char;
type Names = unsafe extern "C" fn() -> *const c_char;

/// The compiled kernels.
pub struct Library {
    emulate: Emulate,
    names: Names,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda")
}

/// Compiles and loads the kernels, once; none where there is no C++ compiler.
pub fn library() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    let found = LIBRARY.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("libemulated.so");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let built = Command::new(&compiler)
            .args(["-std=c++17", "-O2", "-shared", "-fPIC", "-Wno-unknown-pragmas", "-o"])
            .arg(&path)
            .arg(folder().join("emulate/emulate.cpp"))
            .output();
        let built = match built {
            Ok(built) => built,
            Err(error) => {
                eprintln!("NOT CHECKED: the CUDA kernels on the host; `{compiler}` says: {error}");
                return None;
            }
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let (of, _) = open(&[&path.to_string_lossy()]).expect("the kernels load");
        let symbol = |name| of.symbol(name).expect("a function of emulate.cpp");
        // SAFETY: the library was just built from our source, with the signatures above.
        unsafe {
            Some(Library {
                emulate: std::mem::transmute::<*mut c_void, Emulate>(symbol(c"woolshed_emulate")),
                names: std::mem::transmute::<*mut c_void, Names>(symbol(c"woolshed_kernels")),
            })
        }
    });
    found.as_ref()
}

impl Library {
    /// The names of the kernels.
    pub fn names(&self) -> Vec<&'static str> {
        // SAFETY: it gives a text that lives as long as the library, which is never closed.
        let names = unsafe { CStr::from_ptr((self.names)()) };
        names.to_str().expect("ASCII").lines().collect()
    }
}

/// The machine; `backwards` runs blocks and threads in the other order.
pub struct Host {
    pub library: &'static Library,
    pub backwards: bool,
}

impl Machine for Host {
    type Room = Vec<u128>;

    fn room(&self, bytes: usize) -> Result<(Vec<u128>, At)> {
        // What is read before it is written is not a number.
        let room = vec![u128::MAX; bytes.div_ceil(16)];
        let at = room.as_ptr() as u64;
        Ok((room, at))
    }

    fn send(&self, bytes: &[u8]) -> Result<(Vec<u128>, At)> {
        let (mut room, at) = self.room(bytes.len())?;
        for (place, some) in room.iter_mut().zip(bytes.chunks(16)) {
            let mut all = [0; 16];
            all[..some.len()].copy_from_slice(some);
            *place = u128::from_ne_bytes(all);
        }
        Ok((room, at))
    }

    fn fetch(&self, at: At, bytes: usize) -> Result<Vec<u8>> {
        // SAFETY: memory of a room, which lives and has as many bytes.
        Ok(unsafe { std::slice::from_raw_parts(at as *const u8, bytes) }.to_vec())
    }

    unsafe fn launch(&self, kernel: &str, shape: Shape, args: &[Arg]) -> Result<()> {
        let name = CString::new(kernel).expect("a name without a 0");
        let pointers = args.iter().map(|arg| match arg {
            Arg::At(x) | Arg::U64(x) => std::ptr::from_ref(x).cast_mut().cast(),
            Arg::U32(x) => std::ptr::from_ref(x).cast_mut().cast(),
            Arg::F32(x) => std::ptr::from_ref(x).cast_mut().cast(),
        });
        let mut pointers: Vec<*mut c_void> = pointers.collect();
        let Shape { grid, threads, shared } = shape;
        // SAFETY: the caller's promise about arguments; the names and the grid live through the call.
        let fault = unsafe {
            (self.library.emulate)(
                name.as_ptr(),
                grid.as_ptr(),
                threads,
                shared,
                pointers.as_mut_ptr(),
                c_int::from(self.backwards),
            )
        };
        if fault.is_null() {
            return Ok(());
        }
        // SAFETY: a text that lives as long as the library.
        let fault = unsafe { CStr::from_ptr(fault) };
        Err(candle_core::Error::Msg(format!("{kernel}: {}", fault.to_string_lossy())))
    }
}

/// Elements between guards that are not numbers: reading beyond shows in the results, writing in the guards.
pub struct Elements {
    kind: Kind,
    bytes: Vec<u8>,
    n: usize,
}

const GUARD: usize = 256;

impl Elements {
    /// Of a tensor, rounded.
    pub fn of(kind: Kind, t: &Tensor) -> Self {
        let data = t.flatten_all().and_then(|t| t.to_dtype(DType::F32)?.to_vec1::<f32>());
        let data = data.expect("numbers");
        let mut new = Self::filled(kind, data.len(), 0xff);
        for (place, x) in new.bytes[GUARD..].chunks_exact_mut(kind.bytes()).zip(data) {
            match kind {
                Kind::F32 => place.copy_from_slice(&x.to_le_bytes()),
                Kind::Bf16 => place.copy_from_slice(&bf16_bits(x).to_le_bytes()),
            }
        }
        new
    }

    pub fn of_ids(ids: &[u32]) -> Self {
        let mut new = Self::filled(Kind::F32, ids.len(), 0xff);
        for (place, x) in new.bytes[GUARD..].chunks_exact_mut(4).zip(ids) {
            place.copy_from_slice(&x.to_le_bytes());
        }
        new
    }

    /// Unset: not numbers.
    pub fn unset(kind: Kind, n: usize) -> Self {
        Self::filled(kind, n, 0xff)
    }

    pub fn zeros(kind: Kind, n: usize) -> Self {
        Self::filled(kind, n, 0)
    }

    fn filled(kind: Kind, n: usize, with: u8) -> Self {
        let mut bytes = vec![0xff; 2 * GUARD + (n * kind.bytes()).next_multiple_of(16)];
        bytes[GUARD..GUARD + n * kind.bytes()].fill(with);
        Self { kind, bytes, n }
    }

    pub fn at(&self) -> At {
        let at = self.bytes[GUARD..].as_ptr() as u64;
        assert_eq!(at % 16, 0, "the allocator gives multiples of 16");
        at
    }

    /// The elements; fails if a guard was written over.
    pub fn read(&self, shape: &[usize]) -> Tensor {
        let end = GUARD + self.n * self.kind.bytes();
        let intact = self.bytes[..GUARD].iter().chain(&self.bytes[end..]).all(|&b| b == 0xff);
        assert!(intact, "a kernel wrote beyond its result");
        let elements = self.bytes[GUARD..end].chunks_exact(self.kind.bytes());
        let data: Vec<f64> = elements
            .map(|x| match self.kind {
                Kind::F32 => f32::from_le_bytes([x[0], x[1], x[2], x[3]]),
                Kind::Bf16 => f32::from_bits(u32::from(u16::from_le_bytes([x[0], x[1]])) << 16),
            })
            .map(f64::from)
            .collect();
        Tensor::from_vec(data, shape, &Device::Cpu).expect("a tensor")
    }
}

/// A tensor as the elements of a type hold it, in f64.
pub fn rounded(kind: Kind, t: &Tensor) -> Tensor {
    Elements::of(kind, t).read(t.dims())
}
