//! One request and its answer.

use std::collections::HashMap;

use base64::Engine as _;
use rhai::{Dynamic, Map};

use super::bench::{Bench, CallError};
use super::wire::{self, Bytes, Handles, WireError};
use crate::session::Display;

const CALL: u8 = 2;
const NAMED: u8 = 3;
const BIND: u8 = 4;
const RELEASE: u8 = 5;
const CHECK: u8 = 6;
const FORMS: u8 = 7;

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
    pub fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        match self.value(&mut Bytes(request)) {
            Ok(value) => {
                let mut out = vec![0];
                wire::put(&mut out, value, &mut self.held);
                out
            }
            Err(CallError::Failed(reason)) => {
                let mut out = vec![1];
                wire::put_text(&mut out, &reason);
                out
            }
            Err(CallError::Interrupted) => vec![2],
        }
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
