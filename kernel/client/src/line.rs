//! The connection to the kernel, and what goes over it.
//!
//! Every message is its length (8 bytes, little end first) and its body. A request begins with a byte
//! that says what is asked, an answer with one that says how it went; values follow, each behind a byte
//! for its kind, numbers little end first. The kernel's side of it is `rust/wire.rs` there.
//!
//! Values that are millions of numbers are neither copied into a message nor out of one.

use std::io::{self, Read};
use std::sync::Arc;

use crate::packed::{self, Packed};
use crate::socket::{shared, Socket, Turn};
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
        let mut request = Message::of(&[RELEASE]);
        request.short.extend_from_slice(&self.id.to_le_bytes());
        // A kernel that is gone holds nothing.
        let _ = ask(&request);
    }
}

/// Calls a script function, or reads a property.
pub fn call(name: &str, property: bool, arguments: Vec<Value>) -> Result<Value> {
    let mut request = Message::of(&[CALL, property.into()]);
    put_text(&mut request.short, name);
    put_count(&mut request.short, arguments.len());
    for argument in &arguments {
        request.put(argument);
    }
    ask(&request)
}

/// The value that Rhai cells call `name`.
pub fn named(name: &str) -> Result<Value> {
    let mut request = Message::of(&[NAMED]);
    put_text(&mut request.short, name);
    ask(&request)
}

/// Makes a value known to Rhai cells.
pub fn bind(name: &str, value: Value) -> Result<()> {
    let mut request = Message::of(&[BIND]);
    put_text(&mut request.short, name);
    request.put(&value);
    ask(&request).map(|_| ())
}

/// The forms a value can be shown in, by mime type.
pub fn forms(value: Value) -> Result<Map> {
    let mut request = Message::of(&[FORMS]);
    request.put(&value);
    ask(&request)?.to()
}

/// Fails when the user wants the cell to stop.
pub fn check() -> Result<()> {
    ask(&Message::of(&[CHECK])).map(|_| ())
}

/// Says the token to a connection that has just been opened.
pub fn introduce(socket: &mut Socket, token: &str) -> Result<()> {
    let mut hello = Message::of(&[HELLO]);
    put_text(&mut hello.short, token);
    hello.send(socket).and_then(|()| receive(socket)).map_err(gone)?.value().map(|_| ())
}

fn gone(error: io::Error) -> Error {
    Error::NoKernel(error.to_string())
}

/// Sends a request and waits for its answer.
fn ask(request: &Message<'_>) -> Result<Value> {
    let answer = {
        let turn = Turn::take(shared()?);
        let mut socket = turn.socket();
        request.send(&mut socket).and_then(|()| receive(&mut socket)).map_err(gone)?
    };
    // After the turn: reading may let go of handles, which speak themselves.
    answer.value()
}

/// A message: bytes, and between them what is too long to be copied there.
#[derive(Default)]
struct Message<'a> {
    short: Vec<u8>,
    /// Each stands behind so many of the short bytes.
    long: Vec<(usize, &'a [u8])>,
}

/// From how many bytes on nothing is copied.
const LONG: usize = 1 << 16;

impl<'a> Message<'a> {
    fn of(bytes: &[u8]) -> Self {
        Self { short: bytes.to_vec(), long: Vec::new() }
    }

    fn send(&self, socket: &mut Socket) -> io::Result<()> {
        let length =
            self.short.len() + self.long.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let length = (length as u64).to_le_bytes();
        if self.long.is_empty() {
            // One piece: the kernel wakes once.
            return socket.write_all(&[&length, &self.short[..]].concat());
        }
        socket.write_all(&length)?;
        let mut done = 0;
        for (at, bytes) in &self.long {
            socket.write_all(&self.short[done..*at])?;
            socket.write_all(bytes)?;
            done = *at;
        }
        socket.write_all(&self.short[done..])
    }

    fn put_packed<T: Packed>(&mut self, kind: u8, values: &'a [T]) {
        self.short.push(kind);
        put_count(&mut self.short, values.len());
        match packed::bytes(values) {
            Some(bytes) if bytes.len() >= LONG => self.long.push((self.short.len(), bytes)),
            Some(bytes) => self.short.extend_from_slice(bytes),
            None => values.iter().for_each(|x| x.put(&mut self.short)),
        }
    }

    fn put(&mut self, value: &'a Value) {
        let out = &mut self.short;
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
            Value::Bytes(bytes) => self.put_packed(5, bytes),
            Value::Array(values) => {
                out.push(6);
                put_count(out, values.len());
                values.iter().for_each(|value| self.put(value));
            }
            Value::Map(map) => {
                out.push(7);
                put_count(out, map.len());
                for (key, value) in map {
                    put_text(&mut self.short, key);
                    self.put(value);
                }
            }
            Value::Handle(handle) => {
                out.push(8);
                out.extend_from_slice(&handle.0.id.to_le_bytes());
                put_text(out, &handle.0.kind);
            }
            Value::F32(values) => self.put_packed(9, values),
            Value::F64(values) => self.put_packed(10, values),
            Value::I64(values) => self.put_packed(11, values),
        }
    }
}

/// An answer, as it came.
enum Answer {
    Bytes(Vec<u8>),
    /// One long value, read to where it stays.
    Long(Value),
}

impl Answer {
    fn value(self) -> Result<Value> {
        match self {
            Answer::Bytes(bytes) => read_answer(&bytes),
            Answer::Long(value) => Ok(value),
        }
    }
}

fn receive(socket: &mut Socket) -> io::Result<Answer> {
    let mut length = [0; 8];
    socket.read_first(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
    // How it went, a kind and a count.
    let mut body = vec![0; length.min(10)];
    socket.read_exact(&mut body)?;
    if let (true, [0, kind, count @ ..]) = (length >= LONG, &body[..]) {
        let count = u64::from_le_bytes(count.try_into().map_err(io::Error::other)?) as usize;
        let left = length - 10;
        let long = match kind {
            5 if count == left => Some(Value::Bytes(packed::read(socket, count)?)),
            9 if count * 4 == left => Some(Value::F32(packed::read(socket, count)?)),
            10 if count * 8 == left => Some(Value::F64(packed::read(socket, count)?)),
            11 if count * 8 == left => Some(Value::I64(packed::read(socket, count)?)),
            _ => None,
        };
        if let Some(value) = long {
            return Ok(Answer::Long(value));
        }
    }
    let read = body.len();
    body.resize(length, 0);
    socket.read_exact(&mut body[read..])?;
    Ok(Answer::Bytes(body))
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
        let mut message = Message::default();
        message.put(&value);
        let bytes = message.short;
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
