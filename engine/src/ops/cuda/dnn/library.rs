//! cuDNN's library, opened when attention first asks for it, and its descriptors.
//!
//! Of its interface only the graph part is used: a descriptor is made, given attributes, and finalised, which
//! checks it. Every number that a call gives back is looked at.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use super::numbers::*;
use crate::device::library::{Opened, open, path};

/// The names that it may have. The version is in the name: 9 has this interface.
pub(super) const NAMES: [&str; 1] = ["libcudnn.so.9"];
/// The oldest version whose kernels clear their sums themselves.
const OLDEST: usize = 90_600;
/// The first that is not known.
const NEXT: usize = 100_000;

/// Why cuDNN is not used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum DnnError {
    #[error("libcudnn.so.9 was not found")]
    Missing,
    #[error("{found} lacks the function {function}")]
    Function { found: String, function: &'static str },
    #[error("cuDNN {} is not one of 9.6 to 9.x", version(*.0))]
    Version(usize),
    #[error("cuDNN says `{text}` ({status}) when it is to {step}{why}")]
    Refused { step: &'static str, status: c_int, text: String, why: String },
    #[error("cuDNN knows no kernel for this shape")]
    NoKernel,
    #[error("its {what} differ by {gap:.2e} of ours (limit {limit:.0e})")]
    Differs { what: &'static str, gap: f64, limit: f64 },
    #[error("its {0} are not the same bits twice")]
    Unsteady(&'static str),
    #[error("cuDNN's sum of gradients has no fixed order")]
    Unordered,
    #[error("{0}")]
    Candle(String),
}

impl From<candle_core::Error> for DnnError {
    fn from(error: candle_core::Error) -> Self {
        Self::Candle(error.to_string())
    }
}

/// A version as people write it.
pub(super) fn version(number: usize) -> String {
    format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}

type Status = c_int;
type Raw = *mut c_void;

type GetVersion = unsafe extern "C" fn() -> usize;
type ErrorString = unsafe extern "C" fn(Status) -> *const c_char;
type LastError = unsafe extern "C" fn(*mut c_char, usize);
type OnHandle = unsafe extern "C" fn(Raw) -> Status;
type Create = unsafe extern "C" fn(*mut Raw) -> Status;
type SetStream = unsafe extern "C" fn(Raw, Raw) -> Status;
type Make = unsafe extern "C" fn(c_int, *mut Raw) -> Status;
type Set = unsafe extern "C" fn(Raw, c_int, c_int, i64, *const c_void) -> Status;
type Get = unsafe extern "C" fn(Raw, c_int, c_int, i64, *mut i64, *mut c_void) -> Status;
type Execute = unsafe extern "C" fn(Raw, Raw, Raw) -> Status;

/// The functions, of one library.
#[derive(Debug)]
pub(crate) struct Library {
    /// As `cudnnGetVersion` gives it: 91600 for 9.16.0.
    pub version: usize,
    error_string: ErrorString,
    last_error: LastError,
    create: Create,
    destroy: OnHandle,
    set_stream: SetStream,
    make: Make,
    discard: OnHandle,
    finalize: OnHandle,
    set: Set,
    get: Get,
    execute: Execute,
}

impl Library {
    /// Opens the library under the first of its names that there is.
    ///
    /// # Errors
    /// None there, one too old or too new, a function that it lacks.
    pub fn open(names: &[&str]) -> Result<Self, DnnError> {
        let (opened, name) = open(names).ok_or(DnnError::Missing)?;
        macro_rules! function {
            ($name:literal, $kind:ty) => {{
                let missing = || DnnError::Function { found: path(name), function: $name };
                let at = symbol(opened, $name).ok_or_else(missing)?;
                // SAFETY: the header of version 9 declares the function of this name with this type.
                unsafe { std::mem::transmute::<*mut c_void, $kind>(at) }
            }};
        }
        let get_version = function!("cudnnGetVersion", GetVersion);
        // SAFETY: it takes nothing and gives a number.
        let version = unsafe { get_version() };
        if !(OLDEST..NEXT).contains(&version) {
            return Err(DnnError::Version(version));
        }
        Ok(Self {
            version,
            error_string: function!("cudnnGetErrorString", ErrorString),
            last_error: function!("cudnnGetLastErrorString", LastError),
            create: function!("cudnnCreate", Create),
            destroy: function!("cudnnDestroy", OnHandle),
            set_stream: function!("cudnnSetStream", SetStream),
            make: function!("cudnnBackendCreateDescriptor", Make),
            discard: function!("cudnnBackendDestroyDescriptor", OnHandle),
            finalize: function!("cudnnBackendFinalize", OnHandle),
            set: function!("cudnnBackendSetAttribute", Set),
            get: function!("cudnnBackendGetAttribute", Get),
            execute: function!("cudnnBackendExecute", Execute),
        })
    }

    fn done(&self, step: &'static str, status: Status) -> Result<(), DnnError> {
        if status == CUDNN_STATUS_SUCCESS {
            return Ok(());
        }
        // SAFETY: it gives a text that lives as long as the library.
        let text = unsafe { CStr::from_ptr((self.error_string)(status)) };
        let text = text.to_string_lossy().into_owned();
        Err(DnnError::Refused { step, status, text, why: self.why() })
    }

    /// What the library adds to its last number.
    fn why(&self) -> String {
        let mut room = vec![0u8; 512];
        // SAFETY: it writes at most as many bytes as there are, the last one a 0.
        unsafe { (self.last_error)(room.as_mut_ptr().cast(), room.len()) };
        let text = CStr::from_bytes_until_nul(&room).unwrap_or_default().to_string_lossy();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() { text } else { format!(": {text}") }
    }
}

fn symbol(of: Opened, name: &'static str) -> Option<*mut c_void> {
    of.symbol(&std::ffi::CString::new(name).ok()?)
}

/// cuDNN on one device, with the stream that its kernels run on.
pub(crate) struct Handle<'l> {
    library: &'l Library,
    at: Raw,
}

// SAFETY: a handle may go from thread to thread; whoever has it is the only one that uses it.
unsafe impl Send for Handle<'_> {}

impl<'l> Handle<'l> {
    /// On the device that is current for this thread.
    ///
    /// # Safety
    /// `stream` is one of this device's, and lives longer than the handle.
    pub unsafe fn new(library: &'l Library, stream: Raw) -> Result<Self, DnnError> {
        let mut at = null_mut();
        // SAFETY: the library writes one address.
        library.done("start", unsafe { (library.create)(&mut at) })?;
        let new = Self { library, at };
        // SAFETY: the caller's promise.
        library.done("take a stream", unsafe { (library.set_stream)(new.at, stream) })?;
        Ok(new)
    }

    pub(super) fn raw(&self) -> Raw {
        self.at
    }

    /// Starts the kernels of a plan.
    ///
    /// # Safety
    /// `pack` names memory for everything that the plan reads and writes.
    pub(super) unsafe fn execute(
        &self,
        plan: &Descriptor<'_>,
        pack: &Descriptor<'_>,
    ) -> Result<(), DnnError> {
        let library = self.library;
        // SAFETY: both are finalised descriptors of this library; the caller's promise.
        library.done("run", unsafe { (library.execute)(self.at, plan.at, pack.at) })
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is ours. There is nobody to tell of a refusal.
        unsafe { (self.library.destroy)(self.at) };
    }
}

/// A descriptor, discarded when it is dropped.
pub(super) struct Descriptor<'l> {
    library: &'l Library,
    at: Raw,
}

// SAFETY: descriptors are plain memory of the library; whoever has one is the only one that uses it.
unsafe impl Send for Descriptor<'_> {}

impl<'l> Descriptor<'l> {
    pub fn new(library: &'l Library, kind: i32) -> Result<Self, DnnError> {
        let mut at = null_mut();
        // SAFETY: the library writes one address.
        library.done("make a descriptor", unsafe { (library.make)(kind, &mut at) })?;
        Ok(Self { library, at })
    }

    /// Sets attribute `name` to elements of cuDNN's type `kind`.
    ///
    /// # Safety
    /// `T` is how C holds an element of that type.
    unsafe fn put<T>(&self, name: i32, kind: i32, values: &[T]) -> Result<&Self, DnnError> {
        let (n, at) = (values.len() as i64, values.as_ptr().cast());
        // SAFETY: `n` elements stand there, by the caller's promise of that size; the library copies them.
        let status = unsafe { (self.library.set)(self.at, name, kind, n, at) };
        self.library.done("take an attribute", status)?;
        Ok(self)
    }

    /// One of the numbered words: a data type, a mode.
    pub fn word(&self, name: i32, kind: i32, value: i32) -> Result<&Self, DnnError> {
        // SAFETY: an enumeration is an int.
        unsafe { self.put(name, kind, &[value]) }
    }

    pub fn longs(&self, name: i32, values: &[i64]) -> Result<&Self, DnnError> {
        // SAFETY: 64-bit numbers.
        unsafe { self.put(name, CUDNN_TYPE_INT64, values) }
    }

    pub fn float(&self, name: i32, value: f32) -> Result<&Self, DnnError> {
        // SAFETY: a float.
        unsafe { self.put(name, CUDNN_TYPE_FLOAT, &[value]) }
    }

    pub fn flag(&self, name: i32, value: bool) -> Result<&Self, DnnError> {
        // SAFETY: a C++ bool, one byte.
        unsafe { self.put(name, CUDNN_TYPE_BOOLEAN, &[value]) }
    }

    pub fn addresses(&self, name: i32, kind: i32, values: &[Raw]) -> Result<&Self, DnnError> {
        // SAFETY: pointers and handles are addresses.
        unsafe { self.put(name, kind, values) }
    }

    pub fn others(&self, name: i32, others: &[&Self]) -> Result<&Self, DnnError> {
        let raw: Vec<Raw> = others.iter().map(|other| other.at).collect();
        self.addresses(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, &raw)
    }

    /// Sets what is text.
    #[cfg(test)]
    pub fn text(&self, name: i32, kind: i32, text: &str) -> Result<&Self, DnnError> {
        // SAFETY: bytes.
        unsafe { self.put(name, kind, text.as_bytes()) }
    }

    /// Has the library check the whole.
    pub fn finalize(&self, step: &'static str) -> Result<(), DnnError> {
        // SAFETY: the descriptor is ours.
        self.library.done(step, unsafe { (self.library.finalize)(self.at) })
    }

    pub fn long(&self, name: i32) -> Result<i64, DnnError> {
        let (mut value, mut n) = (0i64, 0i64);
        let at = (&raw mut value).cast();
        // SAFETY: room for the one element that is asked for.
        let status = unsafe { (self.library.get)(self.at, name, CUDNN_TYPE_INT64, 1, &mut n, at) };
        self.library.done("tell a size", status)?;
        Ok(value)
    }

    /// The descriptors of type `kind` that the attribute lists.
    pub fn list(&self, name: i32, kind: i32) -> Result<Vec<Self>, DnnError> {
        let of = CUDNN_TYPE_BACKEND_DESCRIPTOR;
        let mut n = 0i64;
        // SAFETY: no element is asked for, only their number.
        let status = unsafe {
            (self.library.get)(self.at, name, of, 0, &mut n, null::<c_void>().cast_mut())
        };
        self.library.done("count its kernels", status)?;
        let made: Result<Vec<Self>, _> =
            (0..n.max(0)).map(|_| Self::new(self.library, kind)).collect();
        let mut made = made?;
        let mut raw: Vec<Raw> = made.iter().map(|one| one.at).collect();
        let (room, at) = (raw.len() as i64, raw.as_mut_ptr().cast());
        // SAFETY: the library fills descriptors that were made for it, as many as it says.
        let status = unsafe { (self.library.get)(self.at, name, of, room, &mut n, at) };
        self.library.done("list its kernels", status)?;
        made.truncate(n.max(0) as usize);
        Ok(made)
    }
}

impl Drop for Descriptor<'_> {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours. There is nobody to tell of a refusal.
        unsafe { (self.library.discard)(self.at) };
    }
}
