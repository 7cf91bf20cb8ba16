use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::ids::TokenType;
use super::*;
use crate::data::golden;
use crate::progress::Unwatched;

const COLUMNS: [(&str, MdsColumn); 2] = [("tokens", MdsColumn::Bytes), ("set", MdsColumn::Text)];
const VOCAB: usize = 32_000;

/// Rows of ids that no other type fits.
fn rows(n: usize, seq_len: usize) -> Vec<Vec<u32>> {
    let id = |i: usize| (1 + i * 7_919 % 31_999) as u32;
    (0..n).map(|r| (0..seq_len).map(|t| id(r * seq_len + t)).collect()).collect()
}

fn bytes(ids: &[u32], kind: TokenType) -> Vec<u8> {
    ids.iter().flat_map(|id| u64::from(*id).to_le_bytes()[..kind.width()].to_vec()).collect()
}

pub(super) fn write(dir: &Path, rows: &[Vec<u32>], kind: TokenType, options: &MdsOptions) {
    let mut writer = MdsWriter::create(dir, &COLUMNS, options).unwrap();
    for (i, row) in rows.iter().enumerate() {
        let set = ["cc", "wiki"][i % 2];
        writer.write(&[set.as_bytes(), &bytes(row, kind)]).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), rows.len());
}

pub(super) fn read(mds: &Mds, given: Option<TokenType>) -> Result<Vec<u32>, DataError> {
    let column = mds.token_column("tokens", given, VOCAB, 64)?;
    let mut ids = Vec::new();
    for tokens in mds.tokens(column)? {
        tokens.read(0, tokens.len() as usize, &mut ids)?;
    }
    Ok(ids)
}

fn read_dir(dir: &Path, given: Option<TokenType>) -> Result<Vec<u32>, DataError> {
    read(&Mds::open(dir, &Unwatched)?, given)
}

#[test]
fn golden_shards_have_the_counts_and_tokens_of_their_summary() {
    for folder in golden::folders("shearing/mds") {
        let summary = fs::read(folder.join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
        let mut read = 0;
        for (split, told) in summary["splits"].as_object().unwrap() {
            let dir = folder.join(split);
            if !dir.is_dir() {
                continue;
            }
            let mds = Mds::open(&dir, &Unwatched).unwrap();
            assert_eq!(mds.samples() as u64, told["samples"].as_u64().unwrap(), "{split}");
            let ids = read_dir(&dir, None).unwrap();
            assert_eq!(ids.len(), 64 * mds.samples());
            let numbers = |ids: &[u32]| ids.iter().map(|id| f64::from(*id)).collect::<Vec<_>>();
            assert_eq!(numbers(&ids[..8]), golden::numbers(&told["first_tokens"]));
            assert_eq!(numbers(&ids[ids.len() - 8..]), golden::numbers(&told["last_tokens"]));
            let set = mds.column("set", "set").unwrap();
            let mut sets: Vec<&str> = mds.each().map(|(s, i)| s.text(i, set).unwrap()).collect();
            sets.dedup();
            sets.sort_unstable();
            let want = told["sets"].as_array().unwrap();
            assert_eq!(sets, want.iter().map(|set| set.as_str().unwrap()).collect::<Vec<_>>());
            read += 1;
        }
        assert!(read >= 2, "{} holds {read} splits", folder.display());
    }
}

#[test]
fn golden_shards_written_again_are_the_same_bytes() {
    for folder in golden::folders("shearing/mds/for_prune/cc") {
        let mds = Mds::open(&folder, &Unwatched).unwrap();
        let out = tempfile::tempdir().unwrap();
        let options = MdsOptions { size_limit: 2_048, hashes: false, zstd: None };
        let mut writer = MdsWriter::create(out.path(), &COLUMNS, &options).unwrap();
        for (shard, i) in mds.each() {
            writer.write(&[shard.column(i, 0).unwrap(), shard.column(i, 1).unwrap()]).unwrap();
        }
        writer.finish().unwrap();
        for name in ["index.json", "shard.00000.mds", "shard.00001.mds"] {
            let read = |dir: &Path| fs::read(dir.join(name)).unwrap();
            assert_eq!(read(out.path()), read(&folder), "{name}");
        }
    }
}

#[test]
fn what_is_written_is_read_back_in_every_type_and_packing() {
    let rows = rows(37, 64);
    for kind in [TokenType::U16, TokenType::U32, TokenType::I64] {
        for zstd in [None, Some(3)] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), &rows, kind, &MdsOptions { size_limit: 2_500, zstd, hashes: true });
            // A shard of 2,500 bytes holds at most 17 samples of 64 u16.
            assert!(fs::read_dir(dir.path()).unwrap().count() > 3);
            for given in [None, Some(kind)] {
                assert_eq!(read_dir(dir.path(), given).unwrap(), rows.concat(), "{kind:?}");
            }
        }
    }
}

#[test]
fn samples_of_any_length_are_joined() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<Vec<u32>> = (0..30).map(|i| rows(1, i % 5 * 10).concat()).collect();
    let options = MdsOptions { size_limit: 600, ..MdsOptions::default() };
    write(dir.path(), &rows, TokenType::U16, &options);
    let mds = Mds::open(dir.path(), &Unwatched).unwrap();
    let column = mds.token_column("tokens", Some(TokenType::U16), VOCAB, 64).unwrap();
    let all = rows.concat();
    let mut first = 0;
    for tokens in mds.tokens(column).unwrap() {
        let n = tokens.len() as usize;
        for (start, take) in [(0, n), (3, 5), (n - 1, 1), (9, 12)] {
            let mut out = Vec::new();
            tokens.read(start as u64, take, &mut out).unwrap();
            assert_eq!(out, all[first + start..first + start + take]);
        }
        first += n;
    }
    assert_eq!(first, all.len());
}

#[test]
fn a_type_that_cannot_be_told_is_asked_for() {
    let told = |ids: Vec<Vec<u32>>, kind| {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &ids, kind, &MdsOptions::default());
        read_dir(dir.path(), None).map_err(|error| error.to_string())
    };
    let zeros = told(vec![vec![0; 100]; 2], TokenType::U16).unwrap_err();
    assert!(zeros.contains("can be read as i64 or u32 or u16: set `token_type`"), "{zeros}");
    assert_eq!(told(vec![vec![0; 64]; 2], TokenType::U16).unwrap(), [0; 128]);
    let large = told(vec![vec![40_000; 64]], TokenType::U16).unwrap_err();
    assert!(large.contains("can be read as no type that keeps every id"), "{large}");
}

#[test]
fn a_column_that_is_not_there_or_holds_no_tokens_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &rows(3, 8), TokenType::U16, &MdsOptions::default());
    let mds = Mds::open(dir.path(), &Unwatched).unwrap();
    let told = |name| mds.token_column(name, None, VOCAB, 8).unwrap_err().to_string();
    assert!(
        told("token").contains("no column `token`; did you mean `tokens`?"),
        "{}",
        told("token")
    );
    assert!(
        told("set").contains("column `set` is encoded as `str`; tokens are"),
        "{}",
        told("set")
    );
    let bad = MdsOptions { size_limit: 0, ..MdsOptions::default() };
    assert!(
        MdsWriter::create(dir.path(), &COLUMNS, &bad)
            .unwrap_err()
            .to_string()
            .contains("size_limit is 0")
    );
    let mut writer = MdsWriter::create(dir.path(), &COLUMNS, &MdsOptions::default()).unwrap();
    let told = writer.write(&[b"cc"]).unwrap_err().to_string();
    assert!(told.starts_with("1 values for 2 columns (set, tokens)"), "{told}");
}

#[test]
fn a_bad_sample_is_named_with_its_shard() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = rows(20, 64);
    rows[18][5] = 32_001;
    let options = MdsOptions { size_limit: 2_500, ..MdsOptions::default() };
    write(dir.path(), &rows, TokenType::U16, &options);
    let told = read_dir(dir.path(), Some(TokenType::U16)).unwrap_err().to_string();
    // 16 samples fit in the first shard.
    let want = "shard.00001.mds sample 2: token 5 is id 32001, but the vocabulary ends at 31999";
    assert!(told.contains(want), "{told}");
}

/// Runs Python with the format's own package; none, and a line that says so, where it is not there.
fn python(script: &str, dir: &Path) -> Option<String> {
    let there = Command::new("python3").args(["-c", "import streaming"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        println!("not run: python3 with the package mosaicml-streaming is not there");
        return None;
    }
    let output = Command::new("python3").arg("-c").arg(script).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

const PYTHON_READS: &str = "
import sys, numpy as np
from streaming import LocalDataset
for sample in LocalDataset(local=sys.argv[1]):
    print(sample['set'], *np.frombuffer(sample['tokens'], dtype=np.uint16))
";

#[test]
fn the_formats_own_package_reads_what_is_written() {
    let rows = rows(37, 64);
    for zstd in [None, Some(3)] {
        let dir = tempfile::tempdir().unwrap();
        let options = MdsOptions { size_limit: 2_500, zstd, hashes: true };
        write(dir.path(), &rows, TokenType::U16, &options);
        if zstd.is_some() {
            // LocalDataset reads unpacked shards only; the package unpacks them in StreamingDataset.
            let unpack = "
import sys, os, json
from streaming.base.compression import decompress
from streaming.base.hashing import get_hash
for s in json.load(open(sys.argv[1] + '/index.json'))['shards']:
    raw = open(os.path.join(sys.argv[1], s['zip_data']['basename']), 'rb').read()
    assert get_hash('sha256', raw) == s['zip_data']['hashes']['sha256']
    data = decompress(s['compression'], raw)
    assert get_hash('sha256', data) == s['raw_data']['hashes']['sha256']
    open(os.path.join(sys.argv[1], s['raw_data']['basename']), 'wb').write(data)
";
            if python(unpack, dir.path()).is_none() {
                return;
            }
        }
        let Some(printed) = python(PYTHON_READS, dir.path()) else { return };
        let line = |(i, row): (usize, &Vec<u32>)| {
            let ids: Vec<String> = row.iter().map(u32::to_string).collect();
            format!("{} {}\n", ["cc", "wiki"][i % 2], ids.join(" "))
        };
        assert_eq!(printed, rows.iter().enumerate().map(line).collect::<String>());
    }
}

const PYTHON_WRITES: &str = "
import sys, numpy as np
from streaming import MDSWriter
ids = (1 + np.arange(37 * 64) * 7919 % 31999).reshape(37, 64)
def write(name, encoding, value, **options):
    columns = {'tokens': encoding, 'set': 'str', 'n': 'int', 'x': 'float32'}
    with MDSWriter(out=sys.argv[1] + '/' + name, columns=columns, size_limit=4000, **options) as out:
        for i, row in enumerate(ids):
            out.write({'tokens': value(row), 'set': ['cc', 'wiki'][i % 2], 'n': i, 'x': np.float32(i)})
write('u16', 'bytes', lambda r: r.astype(np.uint16).tobytes(), hashes=['sha1', 'xxh64'])
write('i64', 'bytes', lambda r: r.astype(np.int64).tobytes(), compression='zstd:7', hashes=['sha256'])
write('any', 'ndarray', lambda r: r.astype(np.int32))
write('kind', 'ndarray:uint16', lambda r: r.astype(np.uint16), compression='zstd')
write('fixed', 'ndarray:uint32:64', lambda r: r.astype(np.uint32), hashes=['md5'])
";

#[test]
fn what_the_formats_own_package_writes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    if python(PYTHON_WRITES, dir.path()).is_none() {
        return;
    }
    for name in ["u16", "i64", "any", "kind", "fixed"] {
        let ids = read_dir(&dir.path().join(name), None).unwrap();
        assert_eq!(ids, rows(37, 64).concat(), "{name}");
    }
    // One of its hashes, each in turn, finds a changed byte.
    for (name, algorithm) in [("u16", "sha1"), ("i64", "sha256")] {
        let folder = dir.path().join(name);
        let index = fs::read_to_string(folder.join("index.json")).unwrap();
        let at = index.find(&format!("\"{algorithm}\": \"")).unwrap() + algorithm.len() + 5;
        let other = if &index[at..=at] == "0" { "1" } else { "0" };
        let changed = format!("{}{other}{}", &index[..at], &index[at + 1..]);
        fs::write(folder.join("index.json"), changed).unwrap();
        let told = read_dir(&folder, None).unwrap_err().to_string();
        assert!(told.contains(&format!("its {algorithm} is not the one")), "{told}");
    }
}

#[test]
fn arrays_carry_their_type_and_shape() {
    // Bytes as `streaming` 0.13 encodes `np.arange(3, dtype=np.uint16)` and a (2, 2) of int64.
    let flat = [16, 4, 3, 0, 0, 1, 0, 2, 0];
    let read = |encoding: &str, sample: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let columns = [("tokens", MdsColumn::Bytes)];
        let mut writer = MdsWriter::create(
            dir.path(),
            &columns,
            &MdsOptions { hashes: false, ..MdsOptions::default() },
        )
        .unwrap();
        writer.write(&[sample]).unwrap();
        writer.finish().unwrap();
        for file in ["index.json", "shard.00000.mds"] {
            // Five letters stand where `bytes` stood, so that no offset moves.
            let path = dir.path().join(file);
            let bytes = fs::read(&path).unwrap();
            let at = bytes.windows(7).position(|w| w == b"\"bytes\"").unwrap();
            let mut changed = bytes.clone();
            changed.splice(at..at + 7, format!("\"{encoding}\"").into_bytes());
            fs::write(&path, changed).unwrap();
        }
        let grown = encoding.len() - 5;
        let shard = dir.path().join("shard.00000.mds");
        let mut bytes = fs::read(&shard).unwrap();
        for at in [4, 8] {
            let offset = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + grown as u32;
            bytes[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        }
        fs::write(&shard, &bytes).unwrap();
        let index = fs::read_to_string(dir.path().join("index.json")).unwrap();
        let old = format!("\"bytes\": {}", bytes.len() - grown);
        let index = index.replace(&old, &format!("\"bytes\": {}", bytes.len()));
        fs::write(dir.path().join("index.json"), index).unwrap();
        read_dir(dir.path(), None).map_err(|error| error.to_string())
    };
    assert_eq!(read("ndarray", &flat).unwrap(), [0, 1, 2]);
    assert_eq!(read("ndarray:uint16", &flat[1..]).unwrap(), [0, 1, 2]);
    let square = [65, 8, 2, 2].into_iter().chain((5_i64..9).flat_map(i64::to_le_bytes));
    assert_eq!(read("ndarray", &square.collect::<Vec<u8>>()).unwrap(), [5, 6, 7, 8]);
    let told = read("ndarray", &flat[..8]).unwrap_err();
    assert!(told.contains("sample 0: the head of its array is damaged"), "{told}");
    let told = read("ndarray:float32", &flat).unwrap_err();
    assert!(told.contains("column `tokens` is encoded as `ndarray:float32`"), "{told}");
}
