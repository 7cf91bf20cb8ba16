//! One request and its answer.

use std::collections::HashMap;

use base64::Engine as _;
use rhai::{Blob, Dynamic, Map};

use super::bench::{Bench, CallError};
use super::wire::{self, Bytes, Handles, WireError};
use crate::session::Display;

const CALL: u8 = 2;
const NAMED: u8 = 3;
const BIND: u8 = 4;
const RELEASE: u8 = 5;
const CHECK: u8 = 6;
const FORMS: u8 = 7;

/// The kind of a blob, as `wire.rs` writes it.
const BLOB: u8 = 5;

/// From how many bytes on a blob is not copied.
const LONG: usize = 1 << 16;

/// The body of an answer; its last part may be long.
#[derive(Debug)]
pub struct Answer {
    /// How it went, and the value.
    pub head: Vec<u8>,
    /// The bytes of a blob, which follow.
    pub long: Option<Blob>,
}

/// What one connection holds, and what it asks.
pub struct Caller<'a> {
    bench: &'a Bench,
    held: Held<'a>,
}

/// The handles of a connection. They go with it.
struct Held<'a> {
    bench: &'a Bench,
    things: HashMap<u64, Dynamic>,
    last: u64,
}

impl Handles for Held<'_> {
    fn keep(&mut self, value: Dynamic) -> (u64, String) {
        self.last += 1;
        let kind = self.bench.kind(&value);
        self.things.insert(self.last, value);
        (self.last, kind)
    }

    fn find(&self, number: u64) -> Option<Dynamic> {
        self.things.get(&number).cloned()
    }
}

impl From<WireError> for CallError {
    fn from(error: WireError) -> Self {
        CallError::Failed(error.to_string())
    }
}

impl<'a> Caller<'a> {
    /// A connection that holds nothing yet.
    pub fn new(bench: &'a Bench) -> Self {
        Self { bench, held: Held { bench, things: HashMap::new(), last: 0 } }
    }

    /// The body of the answer to the body of a request.
    pub fn answer(&mut self, request: Vec<u8>) -> Answer {
        let value = match long_value(request) {
            Ok((name, value)) => self.bench.bind(&name, value).map(|()| Dynamic::UNIT),
            Err(request) => self.value(&mut Bytes(&request)),
        };
        let mut head = vec![0];
        let mut long = None;
        match value {
            Ok(value) if value.as_blob_ref().is_ok_and(|blob| blob.len() >= LONG) => {
                let blob = value.into_blob().unwrap_or_default();
                head.push(BLOB);
                wire::put_count(&mut head, blob.len());
                long = Some(blob);
            }
            Ok(value) => wire::put(&mut head, value, &mut self.held),
            Err(CallError::Failed(reason)) => {
                head[0] = 1;
                wire::put_text(&mut head, &reason);
            }
            Err(CallError::Interrupted) => head[0] = 2,
        }
        Answer { head, long }
    }

    fn value(&mut self, request: &mut Bytes<'_>) -> Result<Dynamic, CallError> {
        match request.byte()? {
            CALL => {
                let property = request.byte()? != 0;
                let name = request.text()?;
                let count = request.count()?;
                let mut arguments = Vec::new();
                for _ in 0..count {
                    arguments.push(request.value(&self.held)?);
                }
                self.bench.call(&name, property, arguments)
            }
            NAMED => self.bench.named(&request.text()?),
            BIND => {
                let name = request.text()?;
                let value = request.value(&self.held)?;
                self.bench.bind(&name, value).map(|()| Dynamic::UNIT)
            }
            RELEASE => {
                let number = u64::from_le_bytes(request.eight()?);
                self.held.things.remove(&number);
                Ok(Dynamic::UNIT)
            }
            CHECK if self.bench.stopping() => Err(CallError::Interrupted),
            CHECK => Ok(Dynamic::UNIT),
            FORMS => {
                let value = request.value(&self.held)?;
                Ok(Dynamic::from_map(by_mime(self.bench.forms(&value)?)))
            }
            _ => Err(WireError::Broken.into()),
        }
    }
}

/// Name and value of a request that binds a long blob: the request itself becomes the value. Any other
/// request comes back.
fn long_value(mut request: Vec<u8>) -> Result<(String, Dynamic), Vec<u8>> {
    if request.len() < LONG || request[0] != BIND {
        return Err(request);
    }
    let mut bytes = Bytes(&request[1..]);
    let name = bytes.text().ok().filter(|_| bytes.byte() == Ok(BLOB));
    let fits = bytes.count().is_ok_and(|count| count == bytes.0.len());
    let before = request.len() - bytes.0.len();
    match name {
        Some(name) if fits => {
            request.drain(..before);
            Ok((name, Dynamic::from_blob(request)))
        }
        _ => Err(request),
    }
}

/// The forms of a display by mime type, pictures in base 64.
fn by_mime(display: Display) -> Map {
    let png = display.png.map(|png| base64::engine::general_purpose::STANDARD.encode(png));
    let forms = [
        ("text/plain", Some(display.text)),
        ("text/html", display.html),
        ("text/markdown", display.markdown),
        ("image/svg+xml", display.svg),
        ("image/png", png),
    ];
    forms.into_iter().filter_map(|(mime, body)| Some((mime.into(), body?.into()))).collect()
}
