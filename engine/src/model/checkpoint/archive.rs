//! The safetensors files of a checkpoint as one set of tensors, with every header checked.
//!
//! A file is mapped into memory, its header is read and compared with its size; nothing is copied
//! here. With an index, a tensor is looked for in the shard the index names, as other loaders do.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Metadata, SafeTensors, TensorInfo};
use serde_json::Value;

use crate::model::ModelError;
use crate::model::tokenizer::is_lfs_pointer;

/// Reads where an index puts every tensor: tensor name to the name of a file beside the index.
pub(in crate::model) fn weight_map(index: &Path) -> Result<HashMap<String, String>, ModelError> {
    let file = || index.to_path_buf();
    let bytes = std::fs::read(index).map_err(ModelError::io("read", index))?;
    let json: Value = serde_json::from_slice(&bytes)
        .map_err(|source| ModelError::Json { file: file(), source })?;
    let Some(map) = json.get("weight_map").and_then(Value::as_object) else {
        let hint = "it maps every tensor to its shard; fetch the index again";
        return Err(ModelError::MissingField { file: file(), field: "weight_map".into(), hint });
    };
    let place = |(tensor, shard): (&String, &Value)| match shard.as_str() {
        // Only a name in the same folder: an index must not reach other files.
        Some(name) if is_plain_name(name) => Ok((tensor.clone(), name.to_string())),
        _ => Err(ModelError::BadField {
            file: file(),
            field: format!("weight_map.{tensor}"),
            value: shard.to_string(),
            rule: "the name of a .safetensors file beside the index",
            nearest: "\"model-00001-of-00001.safetensors\"".to_string(),
        }),
    };
    map.iter().map(place).collect()
}

fn is_plain_name(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains(['/', '\\', ':']) && !name.starts_with('.')
}

/// Maps a file into memory for reading.
pub(super) fn map_file(path: &Path) -> Result<Mmap, ModelError> {
    let file = File::open(path).map_err(ModelError::io("read", path))?;
    // SAFETY: the map is read-only, stays inside the load that made it, and every byte pattern is a
    // legal u8. The one thing nobody can rule out is another process that changes the file
    // meanwhile: numbers may then be wrong, and a file cut short ends this process. A model is
    // saved by renaming a finished file into place, which leaves a map of the old one whole.
    let map = unsafe { Mmap::map(&file) };
    map.map_err(ModelError::io("map", path))
}

/// One safetensors file whose header has been checked.
pub(super) struct Shard<'a> {
    name: &'a str,
    pub(super) file: &'a Path,
    pub(super) header: Metadata,
    /// What comes after the header.
    pub(super) data: &'a [u8],
}

impl<'a> Shard<'a> {
    pub(super) fn open(name: &'a str, file: &'a Path, bytes: &'a [u8]) -> Result<Self, ModelError> {
        if is_lfs_pointer(bytes) {
            return Err(ModelError::LfsPointer { file: file.to_path_buf() });
        }
        match SafeTensors::read_metadata(bytes) {
            Ok((length, header)) => Ok(Self { name, file, header, data: &bytes[8 + length..] }),
            Err(source) => Err(match promised_size(bytes) {
                Some(promised) if promised != bytes.len() as u64 => {
                    let size = bytes.len() as u64;
                    ModelError::WrongSize { file: file.to_path_buf(), size, promised }
                }
                _ => ModelError::Header { file: file.to_path_buf(), source: Box::new(source) },
            }),
        }
    }
}

/// Works out the size a safetensors file should have from a header that failed its check: 8 bytes
/// of length, the header, the last byte a tensor uses.
fn promised_size(bytes: &[u8]) -> Option<u64> {
    // The format's own limit of 100 MB tells a length from noise.
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    if length > 100_000_000 {
        return None;
    }
    let Some(header) = usize::try_from(length).ok().and_then(|n| bytes.get(8..8 + n)) else {
        return Some(8 + length);
    };
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header).ok()?;
    let ends = header.values().filter_map(|info| info.get("data_offsets")?.get(1)?.as_u64());
    (8 + length).checked_add(ends.max()?)
}

/// The safetensors files of a checkpoint as one set of tensors.
pub(super) struct Archive<'a> {
    /// The single file or the index, for messages.
    pub(super) label: PathBuf,
    pub(super) shards: Vec<Shard<'a>>,
    /// Tensor name to shard name; none when there is a single file.
    pub(super) place: Option<HashMap<String, String>>,
}

impl<'a> Archive<'a> {
    /// Finds a tensor in the shard that the index names.
    pub(super) fn find(&self, name: &str) -> Option<(&Shard<'a>, &TensorInfo)> {
        let shard = match &self.place {
            None => self.shards.first()?,
            Some(place) => {
                let wanted = place.get(name)?;
                self.shards.iter().find(|shard| shard.name == wanted)?
            }
        };
        Some((shard, shard.header.info(name)?))
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        self.shards.iter().flat_map(|shard| shard.header.offset_keys()).collect()
    }

    /// Makes the error for a tensor that is not there, with the nearest name or the field to
    /// change.
    pub(super) fn missing(&self, tensor: String) -> ModelError {
        let names = self.names();
        let nearest = names.iter().min_by_key(|name| strsim::levenshtein(name, &tensor));
        let hint = match nearest {
            _ if tensor == "lm_head.weight" => {
                "if the model shares its embeddings, set \"tie_word_embeddings\": true in config.json"
                    .to_string()
            }
            _ if self.place.is_some() && names.contains(&tensor) => {
                "the index does not name the shard that has it; fetch the index again".to_string()
            }
            Some(name) => format!("the nearest name it has is {name}"),
            None => "it has no tensor at all".to_string(),
        };
        ModelError::MissingTensor { file: self.label.clone(), tensor, hint }
    }
}
