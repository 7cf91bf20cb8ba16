//! Which attention a CUDA device runs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::sync::{Mutex, OnceLock};

use candle_core::{Error, Result};

use super::library::{Handle, Library, NAMES};
use super::{Asked, Dnn, VARIABLE};
use crate::ops::cuda::calls::{At, Attended, Heads, On};
use crate::ops::cuda::gpu::Gpu;

/// cuDNN on a device, or why it is not used there.
enum State {
    Ready(Dnn<'static>),
    Not(String),
}

/// By the number of the device.
fn states() -> std::sync::MutexGuard<'static, HashMap<usize, State>> {
    static STATES: OnceLock<Mutex<HashMap<usize, State>>> = OnceLock::new();
    STATES.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner())
}

fn asked() -> Result<Asked> {
    Asked::of(std::env::var(VARIABLE).ok().as_deref()).map_err(Error::Msg)
}

/// The library, looked for once.
fn library() -> std::result::Result<&'static Library, String> {
    static LIBRARY: OnceLock<std::result::Result<Library, String>> = OnceLock::new();
    let found = LIBRARY.get_or_init(|| Library::open(&NAMES).map_err(|error| error.to_string()));
    found.as_ref().map_err(Clone::clone)
}

fn start(gpu: &Gpu) -> Result<State> {
    let asked = asked()?;
    if asked == Asked::Own {
        return Ok(State::Not(format!("{VARIABLE} is `own`")));
    }
    let stream = gpu.stream()?;
    let ready = library().and_then(|library| {
        // SAFETY: the stream is the device's one stream, which lives as long as the program.
        let handle = unsafe { Handle::new(library, stream.cast::<c_void>()) };
        Ok(Dnn::new(library, handle.map_err(|error| error.to_string())?, asked))
    });
    match ready {
        Ok(ready) => Ok(State::Ready(ready)),
        Err(why) if asked == Asked::Dnn => {
            Err(Error::Msg(format!("{VARIABLE} is `cudnn`, but {why}; unset it")))
        }
        Err(why) => Ok(State::Not(why)),
    }
}

/// Calls `f` with cuDNN on the device of `gpu`; false where it is not used.
fn with(gpu: &Gpu, f: impl FnOnce(&mut Dnn<'static>) -> Result<bool>) -> Result<bool> {
    let mut states = states();
    let state = match states.entry(gpu.ordinal()) {
        Entry::Occupied(before) => before.into_mut(),
        Entry::Vacant(place) => place.insert(start(gpu)?),
    };
    match state {
        State::Ready(dnn) => {
            // A thread that has not used the device yet has to be told of it.
            gpu.stream()?;
            f(dnn)
        }
        State::Not(_) => Ok(false),
    }
}

/// Causal attention of turned queries and keys, by whichever kernel is to.
///
/// # Safety
/// As [`On::attention`].
pub(crate) unsafe fn attention(on: &On<'_, Gpu>, of: Attended, s: Heads) -> Result<()> {
    // SAFETY: the caller's promise; handle and machine have the device's one stream.
    if with(on.machine, |dnn| unsafe { dnn.forward(on, of, s) })? {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { on.attention(of, s) }
}

/// Its gradients, by whichever kernel is to.
///
/// # Safety
/// As [`On::attention_back`].
pub(crate) unsafe fn attention_back(
    on: &On<'_, Gpu>,
    of: Attended,
    g: At,
    to: [At; 3],
    s: Heads,
) -> Result<()> {
    // SAFETY: the caller's promise; handle and machine have the device's one stream.
    if with(on.machine, |dnn| unsafe { dnn.backward(on, of, g, to, s) })? {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { on.attention_back(of, g, to, s) }
}

/// Which attention has run on a device so far, and why; nothing before the first.
pub(crate) fn said(number: usize) -> Vec<String> {
    match states().get(&number) {
        None => Vec::new(),
        Some(State::Not(why)) => vec![format!("our own kernel ({why})")],
        Some(State::Ready(dnn)) => match dnn.said() {
            none if none.is_empty() => {
                vec!["our own kernel (no shape that cuDNN takes yet)".into()]
            }
            said => said,
        },
    }
}
