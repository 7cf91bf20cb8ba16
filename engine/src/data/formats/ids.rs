//! Bytes to token ids: u16, u32, i64 and their kin, little endian, every id checked against the
//! vocabulary.

use serde::{Deserialize, Serialize};

use super::fault::ShardFault;

/// The type token ids are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// One byte.
    U8,
    /// One byte with a sign.
    I8,
    /// Two bytes: what LLM-Shearing writes.
    U16,
    /// Two bytes with a sign.
    I16,
    /// Four bytes.
    U32,
    /// Four bytes with a sign.
    I32,
    /// Eight bytes.
    U64,
    /// Eight bytes with a sign: what older data and PyTorch write.
    I64,
}

impl TokenType {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::U8, Self::I8, Self::U16, Self::I16, Self::U32, Self::I32, Self::U64, Self::I64];

    /// Gives its name: `u16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
        }
    }

    /// Gives the type called `name`: `u16`, or `uint16` as numpy says.
    pub fn from_name(name: &str) -> Option<Self> {
        let short = match name.strip_prefix("uint") {
            Some(bits) => format!("u{bits}"),
            None => name.strip_prefix("int").map_or(name.into(), |bits| format!("i{bits}")),
        };
        Self::ALL.into_iter().find(|t| t.name() == short)
    }

    /// Gives the bytes of one id.
    pub fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 => 4,
            Self::U64 | Self::I64 => 8,
        }
    }

    /// Appends the ids that `bytes` hold to `out`, which is as before when there is a fault.
    ///
    /// # Errors
    /// [`ShardFault::Width`], [`ShardFault::IdPastVocab`].
    pub(crate) fn decode(
        self,
        bytes: &[u8],
        vocab: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), ShardFault> {
        if !bytes.len().is_multiple_of(self.width()) {
            return Err(ShardFault::Width { bytes: bytes.len(), type_name: self.name() });
        }
        let start = out.len();
        let vocab = vocab.min(u32::MAX as usize);
        // Out of range becomes u32::MAX, which no vocabulary holds: the slow search names it.
        let narrow = |id: i64| u32::try_from(id).unwrap_or(u32::MAX);
        match self {
            Self::U8 => out.extend(bytes.iter().map(|b| u32::from(*b))),
            Self::I8 => out.extend(bytes.iter().map(|b| narrow(i64::from(*b as i8)))),
            Self::U16 => out.extend(each(bytes).map(|b| u32::from(u16::from_le_bytes(b)))),
            Self::I16 => out.extend(each(bytes).map(|b| narrow(i64::from(i16::from_le_bytes(b))))),
            Self::U32 => out.extend(each(bytes).map(u32::from_le_bytes)),
            Self::I32 => out.extend(each(bytes).map(|b| narrow(i64::from(i32::from_le_bytes(b))))),
            Self::U64 => out.extend(
                each(bytes).map(|b| u32::try_from(u64::from_le_bytes(b)).unwrap_or(u32::MAX)),
            ),
            Self::I64 => out.extend(each(bytes).map(|b| narrow(i64::from_le_bytes(b)))),
        }
        let largest = out[start..].iter().copied().max().unwrap_or(0) as usize;
        if out.len() == start || largest < vocab {
            return Ok(());
        }
        let at = out[start..].iter().position(|id| *id as usize >= vocab).unwrap_or(0);
        out.truncate(start);
        Err(ShardFault::IdPastVocab { at, id: self.value(&bytes[at * self.width()..]), vocab })
    }

    /// Reads the first value as it is; one beyond i64 as the largest i64.
    fn value(self, bytes: &[u8]) -> i64 {
        let mut wide = [0; 8];
        let width = self.width();
        wide[..width].copy_from_slice(&bytes[..width]);
        let value = u64::from_le_bytes(wide);
        match self {
            Self::I8 => i64::from(value as u8 as i8),
            Self::I16 => i64::from(value as u16 as i16),
            Self::I32 => i64::from(value as u32 as i32),
            Self::I64 => value as i64,
            _ => i64::try_from(value).unwrap_or(i64::MAX),
        }
    }
}

fn each<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(t: TokenType, bytes: &[u8], vocab: usize) -> Result<Vec<u32>, String> {
        let mut out = vec![7];
        match t.decode(bytes, vocab, &mut out) {
            Ok(()) => Ok(out.split_off(1)),
            Err(fault) => {
                assert_eq!(out, [7], "a fault leaves the ids as they were");
                Err(fault.to_string())
            }
        }
    }

    #[test]
    fn every_type_gives_the_same_ids() {
        let ids = [0_u8, 1, 77, 127];
        for t in TokenType::ALL {
            let wide = |id: &u8| [vec![*id], vec![0; t.width() - 1]].concat();
            let bytes: Vec<u8> = ids.iter().flat_map(wide).collect();
            assert_eq!(decode(t, &bytes, 128).unwrap(), [0, 1, 77, 127], "{}", t.name());
            let told = decode(t, &bytes, 127).unwrap_err();
            assert!(told.contains("token 3 is id 127, but the vocabulary ends at 126"), "{told}");
            assert_eq!(TokenType::from_name(t.name()), Some(t));
        }
        assert_eq!(TokenType::from_name("uint16"), Some(TokenType::U16));
        assert_eq!(TokenType::from_name("float32"), None);
    }

    #[test]
    fn negative_and_huge_ids_are_named_as_they_stand() {
        let big = 1 << 33;
        assert!(
            decode(TokenType::I64, &(-3_i64).to_le_bytes(), big).unwrap_err().contains("id -3")
        );
        assert!(decode(TokenType::I16, &(-1_i16).to_le_bytes(), 9).unwrap_err().contains("id -1"));
        let told = decode(TokenType::U64, &u64::MAX.to_le_bytes(), 9).unwrap_err();
        assert!(told.contains("id 9223372036854775807"), "{told}");
        assert!(
            decode(TokenType::U32, &[0; 6], 9).unwrap_err().starts_with("6 bytes are no whole")
        );
    }
}
