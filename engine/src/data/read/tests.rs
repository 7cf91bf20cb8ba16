use std::fs;
use std::io::Write;

use super::super::tokenise::pieces;
use super::*;
use crate::progress::Unwatched;

const FIELDS: Fields = Fields { text: "text", tokens: "tokens" };

fn read_field(name: &str, bytes: &[u8], fields: Fields) -> Result<Vec<Document>, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    let mut documents = Documents::open(&path, fields, &Unwatched)?;
    let mut found = Vec::new();
    while let Some(document) = documents.next()? {
        found.push(document);
    }
    assert_eq!(documents.bytes_read(), bytes.len() as u64);
    Ok(found)
}

fn read(name: &str, bytes: &[u8]) -> Result<Vec<Document>, DataError> {
    read_field(name, bytes, FIELDS)
}

fn error(name: &str, bytes: &[u8]) -> String {
    let error = read(name, bytes).unwrap_err().to_string();
    error.split_once(name).map_or(error.clone(), |(_, rest)| rest.trim().to_string())
}

fn document(text: &str, line: usize) -> Document {
    Document::whole(text.into(), line)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const TWO: &str = "{\"text\": \"one\", \"meta\": {\"text\": 1}}\n\n{\"text\":\"\"}\r\n\
                   {\"n\": 3, \"text\": \"two\\nlines\"}";

#[test]
fn lines_are_documents_and_empty_ones_are_skipped() {
    let two = [document("one", 1), document("two\nlines", 4)];
    assert_eq!(read("x.jsonl", TWO.as_bytes()).unwrap(), two);
    assert_eq!(read("x.jsonl", format!("\u{feff}{TWO}\n").as_bytes()).unwrap(), two);
    let packed = zstd::stream::encode_all(TWO.as_bytes(), 3).unwrap();
    assert_eq!(read("x.jsonl.zst", &packed).unwrap(), two);
    assert_eq!(read("x.JSONL.gz", &gzip(TWO.as_bytes())).unwrap(), two);
    // Files that were put end to end, as `cat a.gz b.gz` does.
    let (head, tail) = TWO.split_at(20);
    let joined = [gzip(head.as_bytes()), gzip(tail.as_bytes())].concat();
    assert_eq!(read("x.jsonl.gz", &joined).unwrap(), two);
}

#[test]
fn a_text_file_is_one_document() {
    assert_eq!(read("x.txt", b"one\n\ntwo\n").unwrap(), [document("one\n\ntwo\n", 1)]);
    assert_eq!(read("x.txt.gz", &gzip(b"one\n\ntwo\n")).unwrap(), [document("one\n\ntwo\n", 1)]);
    assert_eq!(read("x.txt", "\u{feff}one".as_bytes()).unwrap(), [document("one", 1)]);
    assert_eq!(read("x.txt", b" \n\n").unwrap(), []);
}

#[test]
fn a_long_text_file_comes_in_parts_that_change_no_piece() {
    let line = "some words, and a \u{20ac} that may fall on a boundary\n";
    let text = line.repeat(2 * PART / line.len() + 1_000);
    let parts = read("x.txt", text.as_bytes()).unwrap();
    assert_eq!(parts.len(), 3);
    let ends: Vec<_> = parts.iter().map(|part| (part.starts, part.ends)).collect();
    assert_eq!(ends, [(true, false), (false, false), (false, true)]);
    let texts: Vec<&str> = parts
        .iter()
        .map(|part| match &part.body {
            Body::Text(text) => text.as_str(),
            Body::Ids(_) => panic!("a text file holds text"),
        })
        .collect();
    assert_eq!(texts.concat(), text);
    assert_eq!(texts.iter().flat_map(|text| pieces(text)).collect::<Vec<_>>(), pieces(&text));
    assert_eq!(parts[1].line, 1 + texts[0].lines().count());
}

#[test]
fn another_field_can_hold_the_document() {
    let fields = Fields { text: "content", ..FIELDS };
    let line = b"{\"content\": \"a\", \"text\": 3}\n";
    assert_eq!(read_field("x.jsonl", line, fields).unwrap(), [document("a", 1)]);
    let fields = Fields { text: "contents", ..FIELDS };
    let told = read_field("x.jsonl", line, fields).unwrap_err().to_string();
    assert!(
        told.contains(
            "line 1 has no field `contents`, only content, text: did you mean `content`? \
             Option `text_field` names it"
        ),
        "{told}"
    );
}

#[test]
fn broken_lines_are_named() {
    let lines = "{\"text\": \"fine\"}\n".repeat(16);
    let broken = error("x.jsonl", format!("{lines}{{\"text\": \"cut of").as_bytes());
    assert!(broken.starts_with("line 17: not JSON: EOF while parsing"), "{broken}");
    assert_eq!(
        error("x.jsonl", b"{\"content\": \"a\", \"id\": 3}\n"),
        "line 1 has no field `text`, only content, id: name the one that holds the document with \
         the option `text_field`"
    );
    assert!(error("x.jsonl", b"[1]\n").starts_with("line 1 has no field `text`, only a list"));
    assert!(error("x.jsonl", b"{\"text\": 7}\n").starts_with("line 1: `text` is a number"));
    assert!(error("x.jsonl", b"{\"text\": null}").starts_with("line 1: `text` is null"));
}

#[test]
fn bytes_that_are_not_utf_8_are_named() {
    let latin = b"{\"text\": \"fine\"}\n{\"text\": \"caf\xe9\"}\n";
    assert!(error("x.jsonl", latin).starts_with("line 2, byte 14 of the line: not UTF-8"));
    assert!(error("x.txt", b"fine\nca\xe9\n").starts_with("line 2, byte 3 of the line"));
    assert!(error("x.txt", b"fine\ncut\xe2\x82").starts_with("line 2, byte 4 of the line"));
}

#[test]
fn damaged_compression_is_named() {
    assert!(error("x.jsonl.zst", TWO.as_bytes()).contains("not sound zstd data"));
    let packed = zstd::stream::encode_all(TWO.as_bytes(), 3).unwrap();
    assert!(error("x.jsonl.zst", &packed[..packed.len() - 4]).contains("not sound zstd data"));
    assert!(error("x.jsonl.gz", TWO.as_bytes()).contains("not sound gzip data"));
    let packed = gzip(TWO.as_bytes());
    let told = error("x.jsonl.gz", &packed[..packed.len() - 4]);
    assert!(told.contains("not sound gzip data") && told.contains("`gzip -t`"), "{told}");
}

#[test]
fn a_parquet_column_gives_text_or_ids() {
    use polars::prelude::{Column, DataFrame, NamedFrom, ParquetWriter, Series};
    let lists: Vec<Series> = [vec![1_i64, 5, 2], vec![7], vec![]]
        .into_iter()
        .map(|ids| Series::new("".into(), ids))
        .collect();
    let columns = vec![
        Column::new("id".into(), [1_i32, 2, 3]),
        Column::new("text".into(), [Some("one"), None, Some("three")]),
        Column::new("tokens".into(), lists),
    ];
    let mut frame = DataFrame::new(3, columns).unwrap();
    let write = |frame: &mut DataFrame| {
        let mut bytes = Vec::new();
        // Two row groups.
        ParquetWriter::new(&mut bytes).with_row_group_size(Some(2)).finish(frame).unwrap();
        bytes
    };
    let bytes = write(&mut frame);
    let ids = |ids: &[u32], line| Document {
        body: Body::Ids(ids.to_vec()),
        line,
        starts: true,
        ends: true,
    };
    let lists = [ids(&[1, 5, 2], 1), ids(&[7], 2), ids(&[], 3)];
    assert_eq!(read("x.parquet", &bytes).unwrap(), lists);
    let texts = [document("one", 1), document("three", 3)];
    let only_text = Fields { tokens: "ids", ..FIELDS };
    assert_eq!(read_field("x.parquet", &bytes, only_text).unwrap(), texts);
    let told = |fields| read_field("x.parquet", &bytes, fields).unwrap_err().to_string();
    let told_name = told(Fields { text: "texts", tokens: "ids" });
    assert!(told_name.contains("has no column `texts`; did you mean `text`?"), "{told_name}");
    let told_type = told(Fields { text: "id", tokens: "ids" });
    assert!(told_type.contains("column `id` holds Int32"), "{told_type}");
    let cut = error("x.parquet", &bytes[..bytes.len() - 9]);
    assert!(cut.contains("is not sound parquet data"), "{cut}");
}
