//! Script values as bytes; the client crate's `line.rs` is the other side.
//!
//! A value is a byte for its kind and what belongs to it, numbers little end first. Arrays of numbers of
//! one kind are packed. What is no plain value stays here and goes as a number: a handle.

use rhai::{Array, Blob, Dynamic, Map};

/// Turns values into bytes and back; knows the handles of one connection.
pub trait Handles {
    /// Keeps a thing for the other side: its number, and its type as scripts name it.
    fn keep(&mut self, value: Dynamic) -> (u64, String);

    /// The thing with a number.
    fn find(&self, number: u64) -> Option<Dynamic>;
}

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// They end too early, or are of no known kind.
    #[error("the request cannot be read")]
    Broken,
    /// A handle that this connection does not hold.
    #[error("this handle is of an earlier process; ask for the value again with lab.value(name)")]
    Stranger,
}

/// Values inside values, at most: deeper ones are no data.
const DEEPEST: usize = 100;

/// Adds a length.
pub fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

/// Adds a text behind its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Adds a value.
pub fn put(out: &mut Vec<u8>, value: Dynamic, handles: &mut impl Handles) {
    let value = value.flatten();
    if value.is_unit() {
        out.push(0);
    } else if let Ok(x) = value.as_bool() {
        out.extend([1, u8::from(x)]);
    } else if let Ok(n) = value.as_int() {
        out.push(2);
        out.extend_from_slice(&n.to_le_bytes());
    } else if let Ok(x) = value.as_float() {
        out.push(3);
        out.extend_from_slice(&x.to_le_bytes());
    } else if let Ok(c) = value.as_char() {
        out.push(4);
        put_text(out, c.encode_utf8(&mut [0; 4]));
    } else if let Ok(text) = value.as_immutable_string_ref() {
        out.push(4);
        put_text(out, &text);
    } else if let Some(bytes) = value.read_lock::<Blob>() {
        out.push(5);
        put_count(out, bytes.len());
        out.extend_from_slice(&bytes);
    } else if value.is_array() {
        put_array(out, value.into_array().unwrap_or_default(), handles);
    } else if value.is_map() {
        let map = value.try_cast::<Map>().unwrap_or_default();
        out.push(7);
        put_count(out, map.len());
        for (key, value) in map {
            put_text(out, &key);
            put(out, value, handles);
        }
    } else {
        let (number, kind) = handles.keep(value);
        out.push(8);
        out.extend_from_slice(&number.to_le_bytes());
        put_text(out, &kind);
    }
}

fn put_array(out: &mut Vec<u8>, values: Array, handles: &mut impl Handles) {
    if !values.is_empty() && values.iter().all(Dynamic::is_float) {
        out.push(10);
        put_count(out, values.len());
        out.reserve(8 * values.len());
        for x in &values {
            out.extend_from_slice(&x.as_float().unwrap_or_default().to_le_bytes());
        }
    } else if !values.is_empty() && values.iter().all(Dynamic::is_int) {
        out.push(11);
        put_count(out, values.len());
        out.reserve(8 * values.len());
        for n in &values {
            out.extend_from_slice(&n.as_int().unwrap_or_default().to_le_bytes());
        }
    } else {
        out.push(6);
        put_count(out, values.len());
        values.into_iter().for_each(|value| put(out, value, handles));
    }
}

/// Bytes that are read from the front.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(WireError::Broken)?;
        self.0 = rest;
        Ok(front)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    /// The next eight bytes.
    pub fn eight(&mut self) -> Result<[u8; 8], WireError> {
        self.take(8)?.try_into().map_err(|_| WireError::Broken)
    }

    /// The next length.
    pub fn count(&mut self) -> Result<usize, WireError> {
        u64::from_le_bytes(self.eight()?).try_into().map_err(|_| WireError::Broken)
    }

    /// The next text.
    pub fn text(&mut self) -> Result<String, WireError> {
        let count = self.count()?;
        String::from_utf8(self.take(count)?.to_vec()).map_err(|_| WireError::Broken)
    }

    /// The next value.
    pub fn value(&mut self, handles: &impl Handles) -> Result<Dynamic, WireError> {
        self.value_within(handles, DEEPEST)
    }

    fn value_within(&mut self, handles: &impl Handles, depth: usize) -> Result<Dynamic, WireError> {
        let depth = depth.checked_sub(1).ok_or(WireError::Broken)?;
        Ok(match self.byte()? {
            0 => Dynamic::UNIT,
            1 => Dynamic::from_bool(self.byte()? != 0),
            2 => Dynamic::from_int(i64::from_le_bytes(self.eight()?)),
            3 => Dynamic::from_float(f64::from_le_bytes(self.eight()?)),
            4 => Dynamic::from(self.text()?),
            5 => {
                let count = self.count()?;
                Dynamic::from_blob(self.take(count)?.to_vec())
            }
            6 => {
                let count = self.count()?;
                // Every value has a byte at least: a length that lies reserves nothing.
                let mut values = Array::with_capacity(count.min(self.0.len()));
                for _ in 0..count {
                    values.push(self.value_within(handles, depth)?);
                }
                Dynamic::from_array(values)
            }
            7 => {
                let mut map = Map::new();
                for _ in 0..self.count()? {
                    map.insert(self.text()?.into(), self.value_within(handles, depth)?);
                }
                Dynamic::from_map(map)
            }
            8 => {
                let number = u64::from_le_bytes(self.eight()?);
                self.text()?;
                handles.find(number).ok_or(WireError::Stranger)?
            }
            9 => self.packed(|b: [u8; 4]| Dynamic::from_float(f32::from_le_bytes(b).into()))?,
            10 => self.packed(|b: [u8; 8]| Dynamic::from_float(f64::from_le_bytes(b)))?,
            11 => self.packed(|b: [u8; 8]| Dynamic::from_int(i64::from_le_bytes(b)))?,
            _ => return Err(WireError::Broken),
        })
    }

    fn packed<const N: usize>(
        &mut self,
        read: impl Fn([u8; N]) -> Dynamic,
    ) -> Result<Dynamic, WireError> {
        let count = self.count()?;
        let bytes = self.take(count.checked_mul(N).ok_or(WireError::Broken)?)?;
        let values = bytes.chunks_exact(N).map(|b| read(b.try_into().expect("N bytes each")));
        Ok(Dynamic::from_array(values.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps things in a list.
    #[derive(Default)]
    struct Kept(Vec<Dynamic>);

    impl Handles for Kept {
        fn keep(&mut self, value: Dynamic) -> (u64, String) {
            self.0.push(value);
            (self.0.len() as u64 - 1, "Thing".into())
        }

        fn find(&self, number: u64) -> Option<Dynamic> {
            self.0.get(usize::try_from(number).ok()?).cloned()
        }
    }

    #[test]
    fn values_come_back_as_they_went_and_cut_or_deep_bytes_are_refused() {
        let rhai = rhai::Engine::new();
        let code = r#"[1, 2.5, "é", true, (), #{a: [0.5, 1.5], b: [1, 2]}, timestamp()]"#;
        let value: Dynamic = rhai.eval(code).unwrap();
        let mut kept = Kept::default();
        let mut bytes = Vec::new();
        put(&mut bytes, value.clone(), &mut kept);
        let back = Bytes(&bytes).value(&kept).unwrap();
        assert_eq!(back.to_string(), value.to_string());
        for end in 0..bytes.len() {
            assert!(Bytes(&bytes[..end]).value(&kept).is_err(), "{end} bytes");
        }
        assert_eq!(Bytes(&bytes).value(&Kept::default()).unwrap_err(), WireError::Stranger);
        let deep: Vec<u8> =
            std::iter::repeat_n([6, 1, 0, 0, 0, 0, 0, 0, 0], 100_000).flatten().collect();
        assert_eq!(Bytes(&deep).value(&kept).unwrap_err(), WireError::Broken);
        let long = [&[10][..], &u64::MAX.to_le_bytes()].concat();
        assert_eq!(Bytes(&long).value(&kept).unwrap_err(), WireError::Broken);
    }
}
