//! What can be wrong inside a shard, a token file or an index. The error around it names the file
//! and, for a shard, the sample.

use super::ids::TokenType;

/// What is wrong with a shard or a token file.
#[derive(Debug, thiserror::Error)]
pub enum ShardFault {
    /// The file has another size than its index or header says.
    #[error(
        "holds {got} bytes where {want} are due: it is cut short or not this file; copy it again"
    )]
    Size {
        /// Bytes there are.
        got: u64,
        /// Bytes there should be.
        want: u64,
    },
    /// The header counts other samples than the index.
    #[error("its header counts {got} samples, its index {want}: copy both again, from one version")]
    Count {
        /// Samples by the header.
        got: u64,
        /// Samples by the index.
        want: u64,
    },
    /// An offset points outside its legal range.
    #[error(
        "offset {offset} of entry {entry} lies outside {from}..={to}: the table is damaged; copy the shard again"
    )]
    Offset {
        /// The entry of the table, from 0.
        entry: usize,
        /// Where it points, bytes.
        offset: u64,
        /// Lowest legal offset.
        from: u64,
        /// Highest legal offset.
        to: u64,
    },
    /// The description inside the shard is not JSON.
    #[error("the description in its head is not JSON: {source}; copy the shard again")]
    Description {
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// The description inside the shard differs from the index.
    #[error(
        "the description in its head has other columns than the index: copy both again, from one version"
    )]
    OtherColumns,
    /// The columns of a sample do not fill it exactly.
    #[error("its columns need {need} bytes, it has {got}: the shard is damaged; copy it again")]
    Columns {
        /// Bytes the columns ask for.
        need: u64,
        /// Bytes the sample has.
        got: u64,
    },
    /// A text column is not UTF-8.
    #[error("column `{column}` is not UTF-8 from byte {byte} on")]
    NotUtf8 {
        /// The column.
        column: String,
        /// First bad byte, from 0.
        byte: usize,
    },
    /// The tokens' bytes are no whole number of tokens.
    #[error(
        "{bytes} bytes are no whole number of {type_name} tokens: set `token_type` to what was written"
    )]
    Width {
        /// Bytes of the column.
        bytes: usize,
        /// The type they were read as.
        type_name: &'static str,
    },
    /// The head of an n-dimensional array is not sound.
    #[error("the head of its array is damaged (byte {byte}): copy the shard again")]
    Array {
        /// The byte that makes no sense, from the column's start.
        byte: usize,
    },
    /// A token lies outside the vocabulary.
    #[error("token {at} is id {id}, but the vocabulary ends at {}: use the tokenizer it was made with, or set `token_type`", vocab.saturating_sub(1))]
    IdPastVocab {
        /// Which token of the sample, from 0.
        at: usize,
        /// Its id.
        id: i64,
        /// V, the vocabulary size.
        vocab: usize,
    },
    /// A sample has another number of tokens than the first one, though it is as long.
    #[error(
        "it has {got} tokens where the first sample has {want}: the shard is damaged; copy it again"
    )]
    Tokens {
        /// Tokens it has.
        got: usize,
        /// Tokens of the first sample.
        want: usize,
    },
    /// A checksum does not fit.
    #[error(
        "its {algorithm} is not the one written down for it: the file is damaged or changed; copy it again"
    )]
    Hash {
        /// `sha256`, `xxh64`.
        algorithm: String,
    },
    /// Compressed data cannot be unpacked.
    #[error("it is not sound {codec} data: {source}; copy it again")]
    Compressed {
        /// `zstd`.
        codec: &'static str,
        /// The decoder's reason.
        source: std::io::Error,
    },
    /// A token file does not begin like one.
    #[error("it does not begin like a token file: make it again with `prepare`")]
    Magic,
    /// A token file of a version or type that is not known.
    #[error("its {field} is {got}, not {legal}: make it again with `prepare`")]
    Header {
        /// The field.
        field: &'static str,
        /// What it says.
        got: u64,
        /// What is known.
        legal: &'static str,
    },
    /// A block of a token file does not fit its checksum.
    #[error(
        "tokens {first} to {last} do not fit their checksum: the file is damaged; make it again with `prepare`"
    )]
    Block {
        /// First token of the block, from 0.
        first: u64,
        /// Last token of the block.
        last: u64,
    },
}

/// What is wrong with an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexFault {
    /// It is not JSON, or a field is missing or of another type.
    #[error("{source}; it is written last, so the folder may be incomplete: copy it again")]
    NotJson {
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// A version or format that is not known.
    #[error("{field} is {got}; this program reads {legal}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// What it says.
        got: String,
        /// What is known.
        legal: &'static str,
    },
    /// The lists that describe the columns differ in length.
    #[error("shard {shard} lists {names} column names, {encodings} encodings and {sizes} sizes")]
    Lengths {
        /// The shard, from 0.
        shard: usize,
        /// Names.
        names: usize,
        /// Encodings.
        encodings: usize,
        /// Sizes.
        sizes: usize,
    },
    /// Two shards have different columns.
    #[error("shard {shard} has other columns than shard 0: keep data of one kind in one folder")]
    OtherColumns {
        /// The shard, from 0.
        shard: usize,
    },
    /// A file name that leaves the folder.
    #[error("shard {shard} names the file `{name}`, which is not inside this folder")]
    Outside {
        /// The shard, from 0.
        shard: usize,
        /// The name.
        name: String,
    },
    /// No shard, so no sample.
    #[error("it lists no shard")]
    Empty,
    /// A column that is not there.
    #[error("there is no column `{column}`; {hint}: name it with the option `{option}`")]
    NoColumn {
        /// What was asked for.
        column: String,
        /// The nearest name, or all of them.
        hint: String,
        /// The option that names it.
        option: &'static str,
    },
    /// A column whose encoding holds no tokens.
    #[error(
        "column `{column}` is encoded as `{encoding}`; tokens are `bytes` or `ndarray` of whole numbers"
    )]
    Encoding {
        /// The column.
        column: String,
        /// Its encoding.
        encoding: String,
    },
    /// Bytes that fit no token type, or more than one.
    #[error("column `{column}` can be read as {}: set `token_type`", readings(fits))]
    TokenType {
        /// The column.
        column: String,
        /// The types that give ids of the vocabulary.
        fits: Vec<TokenType>,
    },
}

fn readings(fits: &[TokenType]) -> String {
    match fits {
        [] => "no type that keeps every id in the vocabulary".into(),
        fits => fits.iter().map(|t| t.name()).collect::<Vec<_>>().join(" or "),
    }
}
