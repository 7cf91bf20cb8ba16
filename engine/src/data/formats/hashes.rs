//! The named hashes an index may carry, in hex: SHA-1, the SHA-2 family, and XXH64.
//!
//! Source of XXH64: the xxHash specification, <https://github.com/Cyan4973/xxHash>.

use crate::digest::hex;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// The hash this program writes.
pub(crate) const OURS: &str = "sha256";

/// Gives a named hash of bytes in hex; none when the name is not known here.
pub(crate) fn hash(algorithm: &str, bytes: &[u8]) -> Option<String> {
    Some(match algorithm {
        "sha1" => sha1_smol::Sha1::from(bytes).digest().to_string(),
        "sha224" => hex(&Sha224::digest(bytes)),
        "sha256" => hex(&Sha256::digest(bytes)),
        "sha384" => hex(&Sha384::digest(bytes)),
        "sha512" => hex(&Sha512::digest(bytes)),
        "xxh64" => format!("{:016x}", xxh64(bytes)),
        _ => return None,
    })
}

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

fn round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

/// XXH64 with seed 0.
fn xxh64(bytes: &[u8]) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut state = if stripes.is_empty() {
        P5
    } else {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, P1.wrapping_neg()];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
        let sum = turned.fold(0_u64, u64::wrapping_add);
        lanes.iter().fold(sum, |s, lane| (s ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4))
    };
    state = state.wrapping_add(bytes.len() as u64);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        state ^= round(0, u64::from_le_bytes(*word));
        state = state.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        state ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(P1);
        state = state.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
    }
    for byte in rest {
        state = (state ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    state = (state ^ (state >> 33)).wrapping_mul(P2);
    state = (state ^ (state >> 29)).wrapping_mul(P3);
    state ^ (state >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python: `xxhash.xxh64(bytes(range(n))).hexdigest()` and `hashlib.sha1(b"abc")`.
    #[test]
    fn hashes_are_those_of_the_python_packages() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (n, want) in XXH64 {
            assert_eq!(hash("xxh64", &bytes[..n]).unwrap(), want, "{n} bytes");
        }
        assert_eq!(hash("sha1", b"abc").unwrap(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(hash("sha256", b"abc").unwrap().starts_with("ba7816bf8f01cfea"));
        assert_eq!(hash("sha512", b"abc").unwrap().len(), 128);
        assert_eq!(hash("md5", b"abc"), None);
    }

    const XXH64: [(usize, &str); 10] = [
        (0, "ef46db3751d8e999"),
        (3, "e5c7bb4533bc65dd"),
        (4, "ffced8604453cc1e"),
        (13, "13d17c4c779723a8"),
        (31, "c346d2b59b4d8ee1"),
        (32, "cbf59c5116ff32b4"),
        (47, "0d9883a03e7bfbb8"),
        (64, "f7c67301db6713f0"),
        (100, "6ac1e58032166597"),
        (255, "0f7d97507caad693"),
    ];
}
