//! What can go wrong with a model, from its folder or hub id to its forward pass.
//!
//! Every variant carries the values a person needs to act: which file, which field or tensor, what
//! stands there, what would be right, and one thing to try.

use std::path::PathBuf;

use candle_core::DType;

use crate::hub::HubError;

/// Any error of the model folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    // ---- finding a model and reading its files ----
    /// No folder and no hub id fits.
    #[error("there is no model `{spec}`; looked for {}", looked.join(", and for "))]
    NotFound {
        /// What was asked for.
        spec: String,
        /// Every place that was tried.
        looked: Vec<String>,
    },
    /// The name could be a folder or a hub id, and it is neither.
    #[error("there is no folder `{}`, and as a hub id: {hub}", folder.display())]
    NeitherFolderNorHub {
        /// The folder that was looked for.
        folder: PathBuf,
        /// Why the hub does not give it.
        #[source]
        hub: Box<HubError>,
    },
    /// A file stands where a folder is needed.
    #[error(
        "`{}` is a file; give the folder that holds config.json and model.safetensors",
        path.display()
    )]
    NotAFolder {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder lacks a file that every model has.
    #[error("the folder `{}` has no {wanted}; it has: {has}", dir.display())]
    MissingFile {
        /// The folder.
        dir: PathBuf,
        /// The file, or the files of which one would do.
        wanted: &'static str,
        /// The first names the folder has.
        has: String,
    },
    /// The operating system refused an operation on a file.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// `read`, `write`, `rename`, ..
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason given.
        source: std::io::Error,
    },
    /// A file holds the pointer that Git LFS leaves in place of a file it has not fetched.
    #[error(
        "`{}` is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder",
        file.display()
    )]
    LfsPointer {
        /// The file.
        file: PathBuf,
    },

    // ---- config.json and the shard index ----
    /// A file is not the JSON it should be.
    #[error("`{}` is not valid JSON: {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// The parser's word, with line and column.
        source: serde_json::Error,
    },
    /// A field that has no default is absent.
    #[error("`{}` lacks `{field}`; {hint}", file.display())]
    MissingField {
        /// The file.
        file: PathBuf,
        /// The field.
        field: String,
        /// What to add.
        hint: &'static str,
    },
    /// A field has a value that cannot be used.
    #[error("`{}`: {field} is {value}, it must be {rule}; nearest: {nearest}", file.display())]
    BadField {
        /// The file.
        file: PathBuf,
        /// The field.
        field: String,
        /// Its value, as JSON.
        value: String,
        /// What a legal value is.
        rule: &'static str,
        /// The nearest legal values.
        nearest: String,
    },
    /// A field asks for something this engine does not do.
    #[error(
        "`{}`: {field} is {value}, which is not supported; supported: {supported}",
        file.display()
    )]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The field.
        field: String,
        /// Its value, as JSON.
        value: String,
        /// What is supported.
        supported: &'static str,
    },

    // ---- safetensors ----
    /// The header of a safetensors file cannot be understood.
    #[error("`{}` is not a sound safetensors file: {source}; fetch it again", file.display())]
    Header {
        /// The file.
        file: PathBuf,
        /// What is wrong with the header.
        source: Box<safetensors::SafeTensorError>,
    },
    /// A safetensors file is shorter or longer than its header says.
    #[error(
        "`{}` has {size} bytes, its header promises {promised}: {}; fetch it again",
        file.display(),
        if size < promised { "it was cut short on its way" } else { "something was appended" }
    )]
    WrongSize {
        /// The file.
        file: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The size its header asks for, in bytes.
        promised: u64,
    },
    /// The index names a shard that is not in the folder.
    #[error(
        "`{}` names the shard {shard}, which is not beside it; fetch that file too",
        index.display()
    )]
    MissingShard {
        /// The index file.
        index: PathBuf,
        /// The absent file.
        shard: String,
    },
    /// The configuration promises a tensor that no file has.
    #[error("`{}` has no tensor {tensor}; {hint}", file.display())]
    MissingTensor {
        /// The file, or the index of the shards.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The nearest name, or the field that would make the tensor needless.
        hint: String,
    },
    /// A tensor has another shape than the configuration promises.
    #[error(
        "config.json says {because} so {tensor} should be {promised:?}, `{}` has {found:?}; \
         the two files do not belong together", file.display()
    )]
    WrongShape {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: Box<str>,
        /// The shape by the configuration.
        promised: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
        /// The fields that make the shape, as `intermediate_size 172`.
        because: Box<str>,
    },
    /// A tensor has a number type that is not read.
    #[error(
        "`{}`: {tensor} is {found}, read are F32, BF16, F16 and F64; quantised checkpoints are not \
         supported, use the unquantised one", file.display()
    )]
    WrongDtype {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: safetensors::Dtype,
    },
    /// The computing type is not one the engine computes in.
    #[error("models compute in f32 or f64, not in {}; use f32", dtype.as_str())]
    ComputeDtype {
        /// The type asked for.
        dtype: DType,
    },

    // ---- tokenizer ----
    /// A tokenizer.json cannot be understood.
    #[error("`{}` is not a tokenizer this engine reads: {source}", file.display())]
    TokenizerFile {
        /// The file.
        file: PathBuf,
        /// The parser's word.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text cannot be turned into ids.
    #[error("the tokenizer cannot encode the text `{text}`: {source}")]
    Encode {
        /// The first characters of the text.
        text: String,
        /// The tokenizer's word.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Ids cannot be turned into text.
    #[error("the tokenizer cannot decode {count} ids: {source}")]
    Decode {
        /// How many ids.
        count: usize,
        /// The tokenizer's word.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Text is needed and the model came without a tokenizer.
    #[error(
        "the model `{model}` has no tokenizer: tokenizer.json is missing beside its weights; put the \
         file there and load again, or work with token ids"
    )]
    NoTokenizer {
        /// The model's name.
        model: String,
    },

    // ---- saving ----
    /// Checkpoints are not written in this type.
    #[error("checkpoints are written in f32, bf16 or f16, not in {}", dtype.as_str())]
    SaveDtype {
        /// The type asked for.
        dtype: DType,
    },
    /// A layer has lost a part, which a checkpoint cannot say.
    #[error(
        "layer {layer} has no {part}; a checkpoint needs both parts in every layer: cut whole \
         layers, or keep this part"
    )]
    MissingPart {
        /// The layer, from 0.
        layer: usize,
        /// `attention` or `mlp`.
        part: &'static str,
    },
    /// A tensor does not have the one shape a checkpoint has for it.
    #[error(
        "{tensor} is {found:?}, the configuration says {because} so it should be {promised:?}; a \
         checkpoint has one width for all layers: cut to a uniform shape"
    )]
    Uneven {
        /// The tensor; its name holds the layer.
        tensor: String,
        /// The shape by the configuration.
        promised: Vec<usize>,
        /// The shape of the tensor.
        found: Vec<usize>,
        /// The fields that make the shape.
        because: Box<str>,
    },
    /// Configuration and weights disagree on whether the head is tied.
    #[error(
        "tie_word_embeddings is {tied}, and the weights {} an output projection; set \
         `config.tied` to {}", if *tied { "have" } else { "lack" }, !tied
    )]
    HeadMismatch {
        /// What the configuration says.
        tied: bool,
    },
    /// Configuration and weights disagree on which biases and norms there are.
    #[error(
        "a {family} of this configuration has {promised} where the weights have {found}; set \
         `config.family` and `config.attention_bias` to what the weights hold"
    )]
    FamilyMismatch {
        /// The family by the configuration.
        family: crate::shape::Family,
        /// The tensor it promises.
        promised: String,
        /// The tensor that stands there.
        found: String,
    },
    /// Configuration and weights disagree on the number of layers.
    #[error(
        "the weights have {layers} layers, num_hidden_layers says {says}; set `config.layers` to \
         {layers}"
    )]
    LayerCount {
        /// Layers in the weights.
        layers: usize,
        /// Layers by the configuration.
        says: usize,
    },
    /// A value does not fit into f16.
    #[error("{tensor} holds {value:e}, f16 ends at 65504; save as bf16 or f32")]
    HalfOverflow {
        /// The tensor.
        tensor: String,
        /// Its largest magnitude.
        value: f64,
    },
    /// The folder to save into holds files that are no model's.
    #[error("`{}` holds other files ({files}); save into a new or empty folder", dir.display())]
    ForeignFiles {
        /// The folder.
        dir: PathBuf,
        /// The first of those files.
        files: String,
    },

    /// A file of the hub.
    #[error(transparent)]
    Hub(HubError),

    // ---- computing ----
    /// A token id lies outside the vocabulary.
    #[error(
        "token id {id} is outside the vocabulary of {vocab} (0 to {})",
        vocab.saturating_sub(1)
    )]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// The size of the vocabulary, V.
        vocab: usize,
    },
    /// A sequence is longer than the model's positions.
    #[error("{tokens} tokens are more than the {max} positions of the model; shorten the text")]
    TooLong {
        /// Tokens in the sequence.
        tokens: usize,
        /// The most there can be.
        max: usize,
    },
    /// The caller asked the work to stop.
    #[error("stopped on request")]
    Interrupted,
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<HubError> for ModelError {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Interrupted => Self::Interrupted,
            other => Self::Hub(other),
        }
    }
}

impl ModelError {
    /// Makes the error of `action` on `path`, for `map_err`.
    pub(super) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
