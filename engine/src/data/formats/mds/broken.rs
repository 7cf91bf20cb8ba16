//! Ten thousand damaged shards, indices and token files: each is refused with its name, or gives the
//! tokens it always gave.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::ids::TokenType;
use super::super::map::Bytes;
use super::super::tokens::TokenFile;
use super::super::tokens_write::tests::file_of;
use super::index::Index;
use super::tests::{read, write};
use super::*;
use crate::rng::Stream;

const SEED: u64 = 20_261_122;
const VOCAB: usize = 32_000;

type Files = BTreeMap<String, Vec<u8>>;

/// Small shards in memory: 16 rows of 24 tokens, seven a shard.
fn files(options: &MdsOptions) -> (Files, Vec<u32>) {
    let rows: Vec<Vec<u32>> = (0..16)
        .map(|r| (0..24).map(|t| (1 + (r * 24 + t) * 7_919 % 31_999) as u32).collect())
        .collect();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &rows, TokenType::U16, &MdsOptions { size_limit: 700, ..options.clone() });
    let mut files = Files::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        files.insert(path.file_name().unwrap().to_str().unwrap().into(), fs::read(&path).unwrap());
    }
    (files, rows.concat())
}

/// Reads as [`Mds::open`] does, from memory; a file that is not there is an error of its name.
fn open(files: &Files) -> Result<Vec<u32>, DataError> {
    let file = PathBuf::from("index.json");
    let index = Index::parse(&files["index.json"])
        .map_err(|fault| DataError::Index { file: file.clone(), fault })?;
    let mut shards = Vec::new();
    for info in &index.shards {
        let name = &info.zip_data.as_ref().unwrap_or(&info.raw_data).basename;
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let bytes = files
            .get(name)
            .ok_or_else(|| DataError::Read { path: name.into(), source: missing() })?;
        let shard = match &info.zip_data {
            Some(zip) => Shard::packed(name.into(), bytes, info, zip)?,
            None => Shard::new(name.into(), Bytes::Memory(bytes.clone()), info)?,
        };
        shards.push(Arc::new(shard));
    }
    let first = index.shards[0].clone();
    let (names, encodings) = (first.column_names, first.column_encodings);
    read(&Mds { file, names, encodings, shards }, Some(TokenType::U16))
}

/// Damages bytes in one of the ways disks, copies and people do.
fn damage(bytes: &mut Vec<u8>, stream: &mut Stream) {
    let mut below = |n: usize| (stream.uniform() * n as f64) as usize;
    let at = below(bytes.len().max(1));
    let n = (1 + below(16)).min(bytes.len() - at);
    match below(8) {
        0 => bytes.truncate(at),
        1 => bytes.extend(std::iter::repeat_n(0, n)),
        2 => bytes[at..at + n].fill(0),
        3 => bytes[at..at + n].fill(0xff),
        4 => drop(bytes.drain(at..at + n)),
        5 => {
            let part = bytes[at..at + n].to_vec();
            let to = below(bytes.len() - n + 1);
            bytes[to..to + n].copy_from_slice(&part);
        }
        6 => bytes[at] = bytes[at].wrapping_add(1),
        _ => bytes[at] ^= 1 << below(8),
    }
}

/// Damages one of the files, which `chosen` names; none when nothing changed.
fn damaged(files: &Files, case: u64, purpose: &str) -> Option<(Files, String)> {
    let mut stream = Stream::new(SEED, purpose, case);
    let pick = (stream.uniform() * files.len() as f64) as usize;
    let name = files.keys().nth(pick).unwrap().clone();
    let mut changed = files.clone();
    damage(changed.get_mut(&name).unwrap(), &mut stream);
    (changed[&name] != files[&name]).then_some((changed, name))
}

fn names_its_file(error: &DataError) {
    let told = error.to_string();
    let named = ["index.json", "shard.0000", ".mds"].iter().any(|name| told.contains(name));
    // A damaged index can name a column or file otherwise; it then stands in the error itself.
    assert!(named || told.contains("cannot be read"), "{told}");
}

#[test]
fn damaged_shards_with_hashes_are_refused_or_give_the_same_tokens() {
    for (purpose, zstd) in [("broken/raw", None), ("broken/zstd", Some(3))] {
        let (files, ids) = files(&MdsOptions { zstd, ..MdsOptions::default() });
        assert_eq!(open(&files).unwrap(), ids);
        let mut refused = 0;
        for case in 0..2_500 {
            let Some((changed, name)) = damaged(&files, case, purpose) else { continue };
            match open(&changed) {
                Ok(read) => {
                    assert_eq!(read, ids, "case {case} of {purpose} gives other tokens");
                    // Of the index, a few bytes change nothing: blanks, and what nobody reads.
                    assert_eq!(name, "index.json", "case {case} of {purpose}");
                }
                Err(error) => {
                    names_its_file(&error);
                    refused += 1;
                }
            }
        }
        assert!(refused > 2_000, "{refused}");
    }
}

#[test]
fn damaged_shards_without_hashes_are_refused_or_give_the_bytes_that_stand_there() {
    let (files, ids) = files(&MdsOptions { hashes: false, ..MdsOptions::default() });
    assert_eq!(open(&files).unwrap(), ids);
    let index = Index::parse(&files["index.json"]).unwrap();
    let (mut refused, mut changed_ids) = (0, 0);
    for case in 0..2_500 {
        let Some((changed, name)) = damaged(&files, case, "broken/bare") else { continue };
        match open(&changed) {
            Err(error) => {
                names_its_file(&error);
                refused += 1;
            }
            Ok(read) if name == "index.json" => assert_eq!(read, ids, "case {case}"),
            Ok(read) => {
                // The tokens as they stand where the sound shard has them: the last 48 bytes of
                // each of its samples. Without a hash nothing can know better.
                let mut want = Vec::new();
                for info in &index.shards {
                    let name = &info.raw_data.basename;
                    let (sound, now) = (&files[name], &changed[name]);
                    for i in 0..info.samples {
                        let at = 8 + 4 * i;
                        let end =
                            u32::from_le_bytes(sound[at..at + 4].try_into().unwrap()) as usize;
                        TokenType::U16.decode(&now[end - 48..end], VOCAB, &mut want).unwrap();
                    }
                }
                assert_eq!(read, want, "case {case} gives tokens from another place");
                changed_ids += usize::from(read != ids);
            }
        }
    }
    assert!(refused > 1_000 && changed_ids > 50, "{refused} refused, {changed_ids} changed");
}

#[test]
fn damaged_compression_without_hashes_does_no_harm() {
    let (files, ids) = files(&MdsOptions { zstd: Some(1), hashes: false, ..MdsOptions::default() });
    assert_eq!(open(&files).unwrap(), ids);
    let mut refused = 0;
    for case in 0..1_000 {
        let Some((changed, _)) = damaged(&files, case, "broken/bare-zstd") else { continue };
        if let Err(error) = open(&changed) {
            names_its_file(&error);
            refused += 1;
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn a_damaged_token_file_is_always_refused() {
    for (purpose, vocab) in [("broken/u16", 32_000), ("broken/u32", 70_000)] {
        let ids: Vec<u32> = (0..9_000).map(|i| 1 + i * 7_919 % (vocab as u32 - 1)).collect();
        let sound = file_of(&ids, vocab);
        let read = |bytes: Vec<u8>| {
            let file = TokenFile::new(Path::new("d/x.tokens"), Bytes::Memory(bytes), vocab)?;
            let mut out = Vec::new();
            file.read(0, file.header.tokens as usize, &mut out)?;
            Ok::<_, DataError>(out)
        };
        assert_eq!(read(sound.clone()).unwrap(), ids);
        for case in 0..1_000 {
            let mut bytes = sound.clone();
            // Half the cases damage the header, where a random place falls too rarely.
            let mut stream = Stream::new(SEED, purpose, case);
            if case % 2 == 0 {
                let at = (stream.uniform() * 128.0) as usize;
                bytes[at] ^= 1 << (stream.uniform() * 8.0) as usize;
            } else {
                damage(&mut bytes, &mut stream);
            }
            if bytes != sound {
                let told = read(bytes).expect_err("a damaged file").to_string();
                assert!(told.contains("x.tokens"), "{told}");
            }
        }
    }
}
