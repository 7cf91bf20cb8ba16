//! What can go wrong with charts and tables.

use std::path::PathBuf;

/// An error of charts and tables.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The columns of a table differ in length.
    #[error(
        "column `{column}` has {rows} rows, but column `{first}` has {expected}; \
         give every column {expected} values"
    )]
    UnevenColumns {
        /// The column that differs.
        column: String,
        /// Its number of rows.
        rows: usize,
        /// The first column of the table.
        first: String,
        /// The number of rows of the first column.
        expected: usize,
    },
    /// Two columns of a table have one name.
    #[error("two columns are called `{column}`; rename one of them")]
    DuplicateColumn {
        /// The name used twice.
        column: String,
    },
    /// A table has no column of that name.
    #[error("no column `{column}`{hint}; the columns are {columns}")]
    NoColumn {
        /// The name asked for.
        column: String,
        /// ` (did you mean ...?)`, or nothing.
        hint: String,
        /// The names there are, separated by commas.
        columns: String,
    },
    /// A page that a table does not have.
    #[error(
        "no page {page}: {rows} rows make {pages} pages, counted from 1; try .page({})",
        (*page).clamp(1, *pages)
    )]
    NoPage {
        /// The page asked for.
        page: usize,
        /// The number of pages.
        pages: usize,
        /// The number of rows.
        rows: usize,
    },
    /// A table has no row of that number.
    #[error("no row {row}: the table has {rows} rows, counted from 0")]
    NoRow {
        /// The row asked for.
        row: usize,
        /// The number of rows.
        rows: usize,
    },
    /// A column holds another type than an operation needs.
    #[error("column `{column}` holds {holds}; {what} {wanted}")]
    WrongType {
        /// The column.
        column: String,
        /// What it holds.
        holds: String,
        /// What the operation has or needs.
        wanted: &'static str,
        /// How the two meet.
        what: &'static str,
    },
    /// Two tables hold different types under one name.
    #[error(
        "column `{column}` holds {first} in one table and {other} in another; rename one of them"
    )]
    MixedColumn {
        /// The column.
        column: String,
        /// What it holds in the first table.
        first: String,
        /// What it holds in the other.
        other: String,
    },
    /// A pivot has two values for one cell.
    #[error(
        "two rows have `{rows}` {row} and `{columns}` {column}; group them to one figure first"
    )]
    PairTwice {
        /// The column whose values name the rows.
        rows: String,
        /// Its value in both rows.
        row: String,
        /// The column whose values name the columns.
        columns: String,
        /// Its value in both rows.
        column: String,
    },
    /// A word that is none of those an operation knows.
    #[error("there is no {what} `{word}`; did you mean `{nearest}`? (known: {known})")]
    NoWord {
        /// What the word should name.
        what: &'static str,
        /// The word.
        word: String,
        /// The closest known word.
        nearest: String,
        /// All known words.
        known: String,
    },
    /// A file cannot be read as a table.
    #[error("cannot read {} as a table: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place.
        why: String,
    },
    /// The data frame refuses the columns.
    #[error("cannot build the table `{title}`: {source}")]
    Frame {
        /// The table's title.
        title: String,
        /// What polars says.
        source: polars::prelude::PolarsError,
    },
    /// A file cannot be written.
    #[error(
        "cannot write {}: {source}; check that the folder exists, is writable and has room",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A Parquet file cannot be written.
    #[error("cannot write {} as Parquet: {source}; try CSV", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What polars says.
        source: polars::prelude::PolarsError,
    },
    /// The scale of a PNG is out of range.
    #[error("a PNG scale of {scale} is out of range; use {least} to {most} (2 suits most screens)")]
    Scale {
        /// The scale asked for.
        scale: f64,
        /// The smallest legal scale.
        least: f64,
        /// The largest legal scale.
        most: f64,
    },
    /// The font that comes with the program cannot be read.
    #[error("the built-in font {font} cannot be read; this build is damaged, build it again")]
    Font {
        /// The font.
        font: &'static str,
    },
    /// The drawing backend failed.
    #[error("cannot draw the chart `{title}` as {kind}: {source}")]
    Draw {
        /// The chart's title.
        title: String,
        /// `SVG` or `PNG`.
        kind: &'static str,
        /// What the backend says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Of the run that is shown.
    #[error(transparent)]
    Run(#[from] crate::run::RunError),
}
