//! A file as bytes: mapped, so that the system pages in what is read and drops it again.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::data::DataError;

/// The bytes of a file, or bytes that were unpacked from one.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// Mapped: takes no memory that the system cannot take back.
    Mapped(Mmap),
    /// In memory: what a compressed file held.
    Memory(Vec<u8>),
}

impl Bytes {
    /// Maps a file.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub(crate) fn map(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Read { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            return Ok(Self::Memory(Vec::new()));
        }
        // SAFETY: the map is read-only and lives as long as the value that owns it; every byte is a
        // legal u8. The one thing nobody can rule out is another process that changes the file
        // meanwhile: ids may then be wrong where no checksum covers them, and a file cut short ends
        // this process. Our own files are renamed into place when whole, never changed.
        let map = unsafe { Mmap::map(&file) };
        Ok(Self::Mapped(map.map_err(failed)?))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}

/// Reads the little-endian u32 at byte `at`, if the bytes reach that far.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}

/// Reads the little-endian u64 at byte `at`, if the bytes reach that far.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let end = at.checked_add(8)?;
    Some(u64::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}
