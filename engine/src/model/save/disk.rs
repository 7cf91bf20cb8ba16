//! A large file, written so that it can be stopped: in pieces, each brought to the disk soon.

use std::fs::File;
use std::io::{self, Write};

use crate::progress::{Progress, Watch};

/// The most that is written between two looks at the watch, in bytes.
const PIECE: usize = 4 << 20;

/// The most that waits for the disk, in bytes: the system would else keep all of it until the end.
const LOOSE: usize = 16 << 20;

/// A file that is written in pieces, each brought to the disk soon.
pub(super) struct Disk<'a> {
    file: File,
    watch: &'a dyn Watch,
    done: u64,
    total: u64,
    /// Bytes that may not be on the disk yet.
    loose: usize,
}

impl<'a> Disk<'a> {
    /// A file that will have about `total` bytes.
    pub(super) fn new(file: File, total: u64, watch: &'a dyn Watch) -> Self {
        Self { file, watch, done: 0, total, loose: 0 }
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Write for Disk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.watch.stop_requested() {
            return Err(io::Error::other("interrupted"));
        }
        let written = self.file.write(&bytes[..bytes.len().min(PIECE)])?;
        self.done += written as u64;
        self.loose += written;
        if self.loose >= LOOSE {
            self.file.sync_data()?;
            self.loose = 0;
        }
        self.watch.tick(&Progress {
            what: "save model".into(),
            done: self.done.min(self.total),
            total: Some(self.total),
            unit: "bytes",
            note: String::new(),
        });
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Stops after so many looks.
    struct After(AtomicUsize);

    impl Watch for After {
        fn stop_requested(&self) -> bool {
            self.0.fetch_sub(1, Ordering::Relaxed) == 0
        }
    }

    #[test]
    fn a_stop_is_seen_within_a_piece() {
        let file = tempfile::tempfile().unwrap();
        let watch = After(AtomicUsize::new(3));
        let mut disk = Disk::new(file, 0, &watch);
        assert!(disk.write_all(&vec![7; 10 * PIECE]).is_err());
        assert_eq!(disk.file().metadata().unwrap().len(), 3 * PIECE as u64);
    }
}
