//! Frames on a socket, and the messages they carry.
//!
//! ```text
//! identities... | <IDS|MSG> | signature | header | parent_header | metadata | content | buffers...
//! signature = hex(HMAC-SHA256(key, header ++ parent_header ++ metadata ++ content)), empty without a key
//! ```
//!
//! Headers stay JSON objects, so fields this kernel does not know come back to the sender unchanged
//! in `parent_header`. Source: "Messaging in Jupyter", section "The Wire Protocol".

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::error::WireError;

/// The protocol version written into every header.
///
/// 5.5 because the iopub socket is an XPUB that greets subscribers with `iopub_welcome`. Subshells,
/// the other addition of 5.5, are optional and not announced.
pub const PROTOCOL: &str = "5.5";

/// The frame between the identities and the message.
const DELIMITER: &[u8] = b"<IDS|MSG>";

/// A JSON object.
pub type Fields = Map<String, Value>;

/// The header of the request that causes a message; shared by everything the request causes.
pub type Parent = Arc<Fields>;

/// A message that came in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Routing frames, to be put before the reply.
    pub identities: Vec<Bytes>,
    /// The header with every field it came with.
    pub header: Parent,
    /// The content; an object whatever the sender wrote.
    pub content: Fields,
    /// Binary frames after the content.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "comm messages carry them; no comm is open yet")
    )]
    pub buffers: Vec<Bytes>,
}

impl Incoming {
    /// The message type; [`Wire::decode`] lets none without one pass.
    pub fn kind(&self) -> &str {
        self.header.get("msg_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// A string of the content, empty when it is absent or no string.
    pub fn text(&self, field: &str) -> &str {
        self.content.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A truth value of the content, or `otherwise`.
    pub fn flag(&self, field: &str, otherwise: bool) -> bool {
        self.content.get(field).and_then(Value::as_bool).unwrap_or(otherwise)
    }

    /// A whole number of the content, if it is there.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.content.get(field).and_then(Value::as_i64)
    }

    /// A message to the sender; its type is the request's with `_reply` for `_request`.
    pub fn reply(&self, content: Value) -> Outgoing {
        let kind = self.kind();
        let stem = kind.strip_suffix("_request").unwrap_or(kind);
        Outgoing {
            identities: self.identities.clone(),
            kind: format!("{stem}_reply"),
            parent: Some(self.header.clone()),
            content,
            buffers: Vec::new(),
        }
    }
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Routing frames of a reply; the topic of a broadcast.
    pub identities: Vec<Bytes>,
    /// The message type.
    pub kind: String,
    /// The request that causes it, if one does.
    pub parent: Option<Parent>,
    /// The content, an object.
    pub content: Value,
    /// Binary frames after the content.
    pub buffers: Vec<Bytes>,
}

impl Outgoing {
    /// A broadcast to every front end.
    pub fn broadcast(parent: &Parent, kind: &str, content: Value) -> Self {
        Self {
            identities: vec![Bytes::from(format!("kernel.{kind}"))],
            kind: kind.to_owned(),
            parent: Some(parent.clone()),
            content,
            buffers: Vec::new(),
        }
    }
}

/// Reads and writes the messages of one kernel session.
pub struct Wire {
    session: String,
    key: Option<Hmac<Sha256>>,
}

impl Wire {
    /// A new session that signs with `key`; an empty key means unsigned messages.
    pub fn new(key: &str) -> Self {
        let key = (!key.is_empty()).then(|| {
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length")
        });
        Self { session: Uuid::new_v4().to_string(), key }
    }

    /// Reads a message from the frames of a socket.
    ///
    /// # Errors
    /// A frame is missing or no JSON object, or the signature does not fit the key.
    pub fn decode(&self, mut frames: Vec<Bytes>) -> Result<Incoming, WireError> {
        let at = frames
            .iter()
            .position(|frame| frame.as_ref() == DELIMITER)
            .ok_or(WireError::NoDelimiter { frames: frames.len() })?;
        let body = frames.split_off(at + 1);
        frames.truncate(at);
        let [signature, header, parent, metadata, content, buffers @ ..] = body.as_slice() else {
            return Err(WireError::TooFewFrames { got: body.len() });
        };
        if let Some(key) = &self.key {
            let mut mac = key.clone();
            for frame in [header, parent, metadata, content] {
                mac.update(frame);
            }
            let claimed = from_hex(signature).ok_or(WireError::BadSignature)?;
            // Compares in constant time.
            mac.verify_slice(&claimed).map_err(|_| WireError::BadSignature)?;
        }
        let header = object("header", header)?;
        if header.get("msg_type").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(WireError::NoType);
        }
        // Nothing here needs the parent or the metadata of a request, but they have to be sound.
        object("parent_header", parent)?;
        object("metadata", metadata)?;
        Ok(Incoming {
            identities: frames,
            header: Arc::new(header),
            content: object("content", content)?,
            buffers: buffers.to_vec(),
        })
    }

    /// Writes a message as frames, with a fresh id and the current time.
    pub fn encode(&self, message: Outgoing) -> Vec<Bytes> {
        let header = json!({
            "msg_id": Uuid::new_v4().to_string(),
            "session": self.session,
            "username": "kernel",
            "date": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            "msg_type": message.kind,
            "version": PROTOCOL,
        });
        let parent = match &message.parent {
            Some(parent) => serde_json::to_vec(parent.as_ref()),
            None => Ok(b"{}".to_vec()),
        };
        let body = [
            header.to_string().into_bytes(),
            parent.expect("a JSON object always serialises"),
            b"{}".to_vec(),
            message.content.to_string().into_bytes(),
        ];
        let signature = self.key.as_ref().map_or_else(String::new, |key| {
            let mut mac = key.clone();
            for frame in &body {
                mac.update(frame);
            }
            to_hex(&mac.finalize().into_bytes())
        });
        let mut frames = message.identities;
        frames.push(Bytes::from_static(DELIMITER));
        frames.push(Bytes::from(signature));
        frames.extend(body.into_iter().map(Bytes::from));
        frames.extend(message.buffers);
        frames
    }
}

/// Parses a frame that has to be a JSON object.
fn object(frame: &'static str, bytes: &[u8]) -> Result<Fields, WireError> {
    serde_json::from_slice(bytes).map_err(|source| WireError::BadJson { frame, source })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String never fails");
        hex
    })
}

fn from_hex(hex: &[u8]) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    hex.chunks_exact(2)
        .map(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Outgoing {
        let parent: Parent = Arc::new(Map::new());
        Outgoing {
            identities: vec![Bytes::from_static(b"peer")],
            buffers: vec![Bytes::from_static(b"\x00\xff")],
            ..Outgoing::broadcast(&parent, "execute_request", json!({"code": "1+1"}))
        }
    }

    #[test]
    fn a_message_survives_the_way_over_the_wire() {
        for key in ["", "secret"] {
            let wire = Wire::new(key);
            let message = wire.decode(wire.encode(request())).unwrap();
            assert_eq!(message.kind(), "execute_request");
            assert_eq!(message.text("code"), "1+1");
            assert_eq!(message.identities, [Bytes::from_static(b"peer")]);
            assert_eq!(message.buffers, [Bytes::from_static(b"\x00\xff")]);
        }
    }

    #[test]
    fn a_reply_carries_every_field_of_the_requests_header_back() {
        let wire = Wire::new("");
        let mut frames = wire.encode(request());
        frames[3] = Bytes::from_static(
            br#"{"msg_id":"a","msg_type":"kernel_info_request","subshell_id":"s","later":[1]}"#,
        );
        let request = wire.decode(frames).unwrap();
        let frames = wire.encode(request.reply(json!({"status": "ok"})));
        assert_eq!(frames[0], Bytes::from_static(b"peer"));
        let parent: Value = serde_json::from_slice(&frames[4]).unwrap();
        assert_eq!(parent["later"], json!([1]));
        assert_eq!(parent["subshell_id"], "s");
        let header: Value = serde_json::from_slice(&frames[3]).unwrap();
        assert_eq!(header["msg_type"], "kernel_info_reply");
    }

    #[test]
    fn a_message_signed_with_another_key_is_refused() {
        let frames = Wire::new("theirs").encode(request());
        assert!(matches!(Wire::new("ours").decode(frames), Err(WireError::BadSignature)));
        let unsigned = Wire::new("").encode(request());
        assert!(matches!(Wire::new("ours").decode(unsigned), Err(WireError::BadSignature)));
    }

    #[test]
    fn the_signature_covers_four_frames_and_not_the_buffers() {
        let wire = Wire::new("secret");
        let frames = wire.encode(request());
        for frame in 3..7 {
            let mut changed = frames.clone();
            changed[frame] = Bytes::from_static(b"{\"msg_type\":\"x\"}");
            assert!(matches!(wire.decode(changed), Err(WireError::BadSignature)));
        }
        let mut changed = frames;
        changed[7] = Bytes::from_static(b"other");
        assert!(wire.decode(changed).is_ok());
    }

    #[test]
    fn a_signature_is_the_one_of_rfc_4231() {
        // RFC 4231, test case 2: key "Jefe", data "what do ya want for nothing?".
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        assert_eq!(
            to_hex(&mac.finalize().into_bytes()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn broken_frames_are_errors_and_never_panics() {
        let wire = Wire::new("");
        assert!(matches!(wire.decode(vec![]), Err(WireError::NoDelimiter { frames: 0 })));
        let short = vec![Bytes::from_static(DELIMITER), Bytes::new()];
        assert!(matches!(wire.decode(short), Err(WireError::TooFewFrames { got: 1 })));
        let mut frames = wire.encode(request());
        frames[6] = Bytes::from_static(b"[1]");
        assert!(matches!(wire.decode(frames), Err(WireError::BadJson { frame: "content", .. })));
        let mut frames = wire.encode(request());
        frames[3] = Bytes::from_static(b"{}");
        assert!(matches!(wire.decode(frames), Err(WireError::NoType)));
        assert_eq!(from_hex(b"0g"), None);
        assert_eq!(from_hex("é".as_bytes()), None);
        assert_eq!(from_hex(b"abc"), None);
    }
}
