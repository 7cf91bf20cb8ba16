//! What the process that runs user code tells its host: one datagram of a socket pair each.
//!
//! A datagram comes whole or not at all, so a process that dies in the middle of a word leaves a
//! stream that can still be read. A long content is cut into parts.

use std::io;
use std::os::unix::net::UnixDatagram;

/// The environment variable that carries the number of the socket.
pub const SOCKET: &str = "WOOLSHED_FRAMES";

/// The environment variable that carries the number of the pipe for stderr.
pub const STDERR: &str = "WOOLSHED_STDERR";

/// The longest datagram: what every system sends without being asked for more.
pub const LONGEST: usize = if cfg!(target_os = "linux") { 32 * 1024 } else { 2000 };

/// One thing the process says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The code of a cell is loaded and runs.
    Running,
    /// Text on stdout, not always whole lines.
    Text(Vec<u8>),
    /// A content begins; its mime type.
    Begin(String),
    /// The next part of the content.
    Part(Vec<u8>),
    /// The content is whole.
    End,
    /// The cell panicked.
    Panicked,
    /// A `?` ended the cell.
    Returned,
    /// The code of the cell is over.
    Done,
    /// From the host to itself: everything said before has been read.
    Sync,
}

impl Frame {
    /// The datagrams of a frame: one, or several for a long text or part.
    fn datagrams(&self) -> Vec<Vec<u8>> {
        let one = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
        let many = |kind: u8, bytes: &[u8]| {
            bytes.chunks(LONGEST - 1).map(|part| one(kind, part)).collect::<Vec<_>>()
        };
        match self {
            Frame::Running => vec![one(b'r', &[])],
            Frame::Text(text) => many(b't', text),
            Frame::Begin(mime) => vec![one(b'b', &mime.as_bytes()[..mime.len().min(LONGEST - 1)])],
            Frame::Part(bytes) => many(b'p', bytes),
            Frame::End => vec![one(b'e', &[])],
            Frame::Panicked => vec![one(b'x', &[])],
            Frame::Returned => vec![one(b'q', &[])],
            Frame::Done => vec![one(b'd', &[])],
            Frame::Sync => vec![one(b's', &[])],
        }
    }

    /// Reads a datagram; none for an unknown kind.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let (kind, rest) = datagram.split_first()?;
        Some(match kind {
            b'r' => Frame::Running,
            b't' => Frame::Text(rest.to_vec()),
            b'b' => Frame::Begin(String::from_utf8_lossy(rest).into_owned()),
            b'p' => Frame::Part(rest.to_vec()),
            b'e' => Frame::End,
            b'x' => Frame::Panicked,
            b'q' => Frame::Returned,
            b'd' => Frame::Done,
            b's' => Frame::Sync,
            _ => return None,
        })
    }

    /// Sends the frame; waits while the reader is behind.
    ///
    /// # Errors
    /// The reader is gone.
    pub fn send(&self, socket: &UnixDatagram) -> io::Result<()> {
        for datagram in self.datagrams() {
            while let Err(error) = socket.send(&datagram) {
                match error.raw_os_error() {
                    // Some systems say that there is no room instead of waiting for it.
                    Some(libc::ENOBUFS) => std::thread::sleep(std::time::Duration::from_millis(1)),
                    Some(libc::EINTR) => {}
                    _ => return Err(error),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_comes_back_as_it_went_and_long_ones_in_parts() {
        let frames = [
            Frame::Running,
            Frame::Text(b"\r10 %".to_vec()),
            Frame::Begin("image/svg+xml".into()),
            Frame::Part(b"<svg/>".to_vec()),
            Frame::End,
            Frame::Panicked,
            Frame::Returned,
            Frame::Done,
            Frame::Sync,
        ];
        for frame in frames {
            let datagrams = frame.datagrams();
            assert_eq!(datagrams.len(), 1);
            assert_eq!(Frame::read(&datagrams[0]), Some(frame));
        }
        let long = vec![7; 3 * LONGEST];
        let datagrams = Frame::Part(long.clone()).datagrams();
        assert!(datagrams.iter().all(|d| d.len() <= LONGEST));
        let whole: Vec<u8> = datagrams.iter().flat_map(|d| d[1..].to_vec()).collect();
        assert_eq!(whole, long);
        assert_eq!(Frame::read(b"?"), None);
        assert_eq!(Frame::read(b""), None);
    }
}
