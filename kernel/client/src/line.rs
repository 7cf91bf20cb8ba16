//! The connection to the kernel, and what goes over it.
//!
//! Every message is its length (8 bytes, little end first) and its body. A request begins with a byte
//! that says what is asked, an answer with one that says how it went; values follow, each behind a byte
//! for its kind, numbers little end first. The kernel's side of it is `rust/wire.rs` there.
//!
//! evcxr links a copy of this crate into every cell. What must be one for all of them, the open
//! connection, lies at an address that an environment variable of this process tells.

use std::env;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crate::value::Map;
use crate::{Error, Result, Value};

const HELLO: u8 = 1;
const CALL: u8 = 2;
const NAMED: u8 = 3;
const BIND: u8 = 4;
const RELEASE: u8 = 5;
const CHECK: u8 = 6;
const FORMS: u8 = 7;

/// A thing that lives in the kernel. Clones name the same thing; when the last one goes, the kernel
/// forgets this process's hold on it. What a Rhai cell has a name for stays.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Held>);

#[derive(Debug)]
struct Held {
    id: u64,
    kind: String,
}

impl Handle {
    /// The type of the thing, as scripts name it: `Run`.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// Calls a method of the thing.
    ///
    /// # Errors
    /// The method fails.
    pub fn call(&self, method: &str, arguments: Vec<Value>) -> Result<Value> {
        let mut all = vec![Value::Handle(self.clone())];
        all.extend(arguments);
        call(method, false, all)
    }

    /// Reads a property of the thing.
    ///
    /// # Errors
    /// There is no such property.
    pub fn property(&self, name: &str) -> Result<Value> {
        call(name, true, vec![Value::Handle(self.clone())])
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut request = vec![RELEASE];
        request.extend_from_slice(&self.id.to_le_bytes());
        // A kernel that is gone holds nothing.
        let _ = ask(&request);
    }
}

/// Calls a script function, or reads a property.
pub fn call(name: &str, property: bool, arguments: Vec<Value>) -> Result<Value> {
    let mut request = vec![CALL, property.into()];
    put_text(&mut request, name);
    put_count(&mut request, arguments.len());
    for argument in &arguments {
        put(&mut request, argument);
    }
    ask(&request)
}

/// The value that Rhai cells call `name`.
pub fn named(name: &str) -> Result<Value> {
    let mut request = vec![NAMED];
    put_text(&mut request, name);
    ask(&request)
}

/// Makes a value known to Rhai cells.
pub fn bind(name: &str, value: Value) -> Result<()> {
    let mut request = vec![BIND];
    put_text(&mut request, name);
    put(&mut request, &value);
    ask(&request).map(|_| ())
}

/// The forms a value can be shown in, by mime type.
pub fn forms(value: Value) -> Result<Map> {
    let mut request = vec![FORMS];
    put(&mut request, &value);
    ask(&request)?.to()
}

/// Fails when the user wants the cell to stop.
pub fn check() -> Result<()> {
    ask(&[CHECK]).map(|_| ())
}

/// Tells the machinery under the cell how this standard library's stdout is flushed.
pub fn publish_flush() {
    extern "C" fn flush() {
        // There is nobody to tell.
        let _ = io::stdout().flush();
    }
    env::set_var("WOOLSHED_FLUSH", format!("{:x}", flush as *const () as usize));
}

/// The connection as all copies of this crate know it: two fields in a fixed order.
#[repr(C)]
struct Shared {
    taken: AtomicBool,
    socket: i32,
}

/// The right to speak; given back when it goes.
struct Turn(&'static Shared);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

impl Turn {
    fn take(shared: &'static Shared) -> Self {
        let mut tries = 0_u32;
        while shared.taken.swap(true, Ordering::Acquire) {
            tries += 1;
            if tries < 100 {
                std::thread::yield_now();
            } else {
                // Another thread's call may take minutes.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Self(shared)
    }

    /// The socket, left open when the value goes.
    fn socket(&self) -> ManuallyDrop<UnixStream> {
        // SAFETY: the number was given up by the `UnixStream` that opened it and is never closed.
        ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(self.0.socket) })
    }
}

/// The one connection of this process, opened on its first use.
fn shared() -> Result<&'static Shared> {
    const ADDRESS: &str = "WOOLSHED_LINE";
    if let Some(address) = env::var(ADDRESS).ok().and_then(|a| usize::from_str_radix(&a, 16).ok()) {
        // SAFETY: a copy of this crate in this process put a leaked `Shared` there; its layout is C's.
        return Ok(unsafe { &*(address as *const Shared) });
    }
    let said = |name: &str| {
        env::var(name).map_err(|_| {
            Error::NoKernel("this is no cell of a Woolshed notebook (no address is given)".into())
        })
    };
    let (path, token) = (said("WOOLSHED_SOCKET")?, said("WOOLSHED_TOKEN")?);
    let gone = |e: io::Error| Error::NoKernel(e.to_string());
    let mut socket = UnixStream::connect(&path).map_err(gone)?;
    let mut hello = vec![HELLO];
    put_text(&mut hello, &token);
    send(&mut socket, &hello).map_err(gone)?;
    read_answer(&receive(&mut socket).map_err(gone)?)?;
    let shared = Shared { taken: AtomicBool::new(false), socket: socket.into_raw_fd() };
    let shared: &'static Shared = Box::leak(Box::new(shared));
    env::set_var(ADDRESS, format!("{:x}", shared as *const Shared as usize));
    Ok(shared)
}

/// Sends a request and waits for its answer.
fn ask(request: &[u8]) -> Result<Value> {
    let answer = {
        let turn = Turn::take(shared()?);
        let mut socket = turn.socket();
        send(&mut socket, request)
            .and_then(|()| receive(&mut socket))
            .map_err(|e| Error::NoKernel(e.to_string()))?
    };
    // After the turn: reading may let go of handles, which speak themselves.
    read_answer(&answer)
}

fn send(socket: &mut UnixStream, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u64).to_le_bytes();
    if body.len() < 4096 {
        // One piece: the kernel wakes once.
        return socket.write_all(&[&length, body].concat());
    }
    socket.write_all(&length)?;
    socket.write_all(body)
}

fn receive(socket: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    socket.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
    let mut body = Vec::with_capacity(length);
    socket.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

fn read_answer(body: &[u8]) -> Result<Value> {
    let mut bytes = Bytes(body);
    let broken = || Error::NoKernel("its answer cannot be read".into());
    match bytes.byte().ok_or_else(broken)? {
        0 => bytes.value().ok_or_else(broken),
        1 => Err(Error::Failed(bytes.text().ok_or_else(broken)?)),
        2 => Err(Error::Interrupted),
        _ => Err(broken()),
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put(out: &mut Vec<u8>, value: &Value) {
    macro_rules! packed {
        ($kind:literal, $values:expr) => {{
            out.push($kind);
            put_count(out, $values.len());
            out.reserve(8 * $values.len());
            $values.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
        }};
    }
    match value {
        Value::Unit => out.push(0),
        Value::Bool(x) => out.extend([1, u8::from(*x)]),
        Value::Int(x) => {
            out.push(2);
            out.extend_from_slice(&x.to_le_bytes());
        }
        Value::Float(x) => {
            out.push(3);
            out.extend_from_slice(&x.to_le_bytes());
        }
        Value::Text(text) => {
            out.push(4);
            put_text(out, text);
        }
        Value::Bytes(bytes) => {
            out.push(5);
            put_count(out, bytes.len());
            out.extend_from_slice(bytes);
        }
        Value::Array(values) => {
            out.push(6);
            put_count(out, values.len());
            values.iter().for_each(|value| put(out, value));
        }
        Value::Map(map) => {
            out.push(7);
            put_count(out, map.len());
            for (key, value) in map {
                put_text(out, key);
                put(out, value);
            }
        }
        Value::Handle(handle) => {
            out.push(8);
            out.extend_from_slice(&handle.0.id.to_le_bytes());
            put_text(out, &handle.0.kind);
        }
        Value::F32(values) => packed!(9, values),
        Value::F64(values) => packed!(10, values),
        Value::I64(values) => packed!(11, values),
    }
}

/// Bytes that are read from the front; none where they end too early.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.try_into().ok()
    }

    fn count(&mut self) -> Option<usize> {
        u64::from_le_bytes(self.eight()?).try_into().ok()
    }

    fn text(&mut self) -> Option<String> {
        let count = self.count()?;
        String::from_utf8(self.take(count)?.to_vec()).ok()
    }

    fn packed<const N: usize, T>(&mut self, read: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
        let count = self.count()?;
        let bytes = self.take(count.checked_mul(N)?)?;
        Some(bytes.chunks_exact(N).map(|b| read(b.try_into().expect("N bytes"))).collect())
    }

    fn value(&mut self) -> Option<Value> {
        Some(match self.byte()? {
            0 => Value::Unit,
            1 => Value::Bool(self.byte()? != 0),
            2 => Value::Int(i64::from_le_bytes(self.eight()?)),
            3 => Value::Float(f64::from_le_bytes(self.eight()?)),
            4 => Value::Text(self.text()?),
            5 => {
                let count = self.count()?;
                Value::Bytes(self.take(count)?.to_vec())
            }
            6 => {
                let count = self.count()?;
                // Every value has a byte at least: a count that lies reserves nothing.
                let mut values = Vec::with_capacity(count.min(self.0.len()));
                for _ in 0..count {
                    values.push(self.value()?);
                }
                Value::Array(values)
            }
            7 => {
                let mut map = Map::new();
                for _ in 0..self.count()? {
                    map.insert(self.text()?, self.value()?);
                }
                Value::Map(map)
            }
            8 => {
                let id = u64::from_le_bytes(self.eight()?);
                Value::Handle(Handle(Arc::new(Held { id, kind: self.text()? })))
            }
            9 => Value::F32(self.packed(f32::from_le_bytes)?),
            10 => Value::F64(self.packed(f64::from_le_bytes)?),
            11 => Value::I64(self.packed(i64::from_le_bytes)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_as_it_went_and_cut_bytes_give_none() {
        let value = Value::Array(vec![
            Value::Unit,
            Value::from(true),
            Value::from(-3),
            Value::from(0.1),
            Value::from("é"),
            Value::from(vec![1_u8, 2]),
            Value::from(vec![0.5_f32]),
            Value::from(vec![0.5_f64, f64::INFINITY]),
            Value::from(vec![i64::MIN]),
            Value::from(crate::options! { a: 1 }),
        ]);
        let mut bytes = Vec::new();
        put(&mut bytes, &value);
        assert_eq!(Bytes(&bytes).value(), Some(value));
        for end in 0..bytes.len() {
            assert_eq!(Bytes(&bytes[..end]).value(), None, "{end} bytes");
        }
    }

    #[test]
    fn outside_a_notebook_a_call_says_so() {
        assert!(matches!(check(), Err(Error::NoKernel(reason)) if reason.contains("no cell")));
    }
}
