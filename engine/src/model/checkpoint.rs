//! A model from a folder in the Hugging Face layout: `config.json`, safetensors, `tokenizer.json`.
//!
//! Everything is checked before the first tensor is made: the header of every safetensors file, and
//! every tensor the configuration promises, with its shape and type. Then tensors are converted one
//! by one out of a memory map, so that the peak is the model in the computing type and one tensor
//! more.

mod archive;
mod promise;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensorError;

pub(super) use self::archive::weight_map;
use self::archive::{Archive, Shard, map_file};
pub(super) use self::promise::promises;
use super::{
    AttentionBiases, AttentionWeights, HeadNorms, LayerWeights, LlamaConfig, MlpWeights, Model,
    ModelError, ModelOrigin, Tokenizer, Weights,
};
use crate::progress::{Progress, Unwatched, Watch};

/// File names of the Hugging Face layout.
pub(super) const CONFIG: &str = "config.json";
pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// What stands before the keys that a saved model's provenance has in its safetensors metadata.
pub(super) const PROVENANCE: &str = "woolshed.";

/// Where a model's tensors go and in which type they compute.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The device; the CPU by default.
    pub device: Device,
    /// The computing type: f32 (default), or f64 in checks.
    pub dtype: DType,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { device: Device::Cpu, dtype: DType::F32 }
    }
}

/// Loads the model in a folder; its name is the folder's.
///
/// An absent `tokenizer.json` is no error: see [`Model::tokenizer`]. Tensors the configuration has
/// no use for are listed in the model's provenance, except rotary caches, which are recomputed.
///
/// # Units
/// Progress counts the bytes of the checkpoint.
///
/// # Errors
/// A file is absent, damaged or contradicts `config.json`; [`ModelError::Interrupted`] when `watch`
/// asks to stop.
pub fn load_folder(
    dir: &Path,
    options: &LoadOptions,
    watch: &dyn Watch,
) -> Result<Model, ModelError> {
    if dir.is_file() {
        return Err(ModelError::NotAFolder { path: dir.to_path_buf() });
    }
    let full = dir.canonicalize().map_err(ModelError::io("read", dir))?;
    let name =
        full.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
    let model = load_named(dir, &name, &name, options, watch)?;
    Ok(Model { origin: ModelOrigin::Folder { path: full }, ..model })
}

/// Loads a folder under a given name; `source` is what provenance says of where it came from.
pub(super) fn load_named(
    dir: &Path,
    name: &str,
    source: &str,
    options: &LoadOptions,
    watch: &dyn Watch,
) -> Result<Model, ModelError> {
    let config_file = dir.join(CONFIG);
    if !config_file.exists() {
        return Err(missing_file(dir, CONFIG));
    }
    let config = LlamaConfig::from_file(&config_file)?;
    let (label, shards, place) = if dir.join(SINGLE).exists() {
        (dir.join(SINGLE), vec![SINGLE.to_string()], None)
    } else if dir.join(INDEX).exists() {
        let place = weight_map(&dir.join(INDEX))?;
        let shards: BTreeSet<String> = place.values().cloned().collect();
        (dir.join(INDEX), shards.into_iter().collect(), Some(place))
    } else {
        return Err(missing_file(dir, "model.safetensors or model.safetensors.index.json"));
    };
    let mut maps = Vec::with_capacity(shards.len());
    for shard in shards {
        let file = dir.join(&shard);
        if !file.exists() {
            return Err(ModelError::MissingShard { index: label, shard });
        }
        let bytes = map_file(&file)?;
        maps.push((shard, file, bytes));
    }
    let mut archive = Archive { label, shards: Vec::new(), place };
    for (shard, file, bytes) in &maps {
        archive.shards.push(Shard::open(shard, file, bytes)?);
    }
    let tokenizer_file = dir.join(TOKENIZER);
    let tokenizer =
        if tokenizer_file.exists() { Some(Tokenizer::from_file(&tokenizer_file)?) } else { None };
    assemble(name, source, config, &archive, tokenizer, options, watch)
}

/// Loads a model carried in memory: the bytes of its three files. Empty `tokenizer` bytes mean
/// none.
///
/// # Errors
/// As [`load_folder`]; files are named `NAME/config.json` and so on.
pub fn load_bytes(
    name: &str,
    config: &[u8],
    safetensors: &[u8],
    tokenizer: &[u8],
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let dir = Path::new(name);
    let config = LlamaConfig::from_bytes(&dir.join(CONFIG), config)?;
    let file = dir.join(SINGLE);
    let shards = vec![Shard::open(SINGLE, &file, safetensors)?];
    let archive = Archive { label: file.clone(), shards, place: None };
    let tokenizer = match tokenizer {
        [] => None,
        bytes => Some(Tokenizer::from_bytes(&dir.join(TOKENIZER), bytes.to_vec())?),
    };
    assemble(name, name, config, &archive, tokenizer, options, &Unwatched)
}

fn missing_file(dir: &Path, wanted: &'static str) -> ModelError {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    names.sort_unstable();
    let has = if names.is_empty() { "nothing".to_string() } else { some(&names) };
    ModelError::MissingFile { dir: dir.to_path_buf(), wanted, has }
}

/// Lists the first eight of `names` and counts the rest.
pub(super) fn some(names: &[String]) -> String {
    let (shown, rest) = names.split_at(names.len().min(8));
    let tail = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{tail}", shown.join(", "))
}

/// Checks the archive against the configuration, then makes the model.
fn assemble(
    name: &str,
    source: &str,
    config: LlamaConfig,
    archive: &Archive,
    tokenizer: Option<Tokenizer>,
    options: &LoadOptions,
    watch: &dyn Watch,
) -> Result<Model, ModelError> {
    if !matches!(options.dtype, DType::F32 | DType::F64) {
        return Err(ModelError::ComputeDtype { dtype: options.dtype });
    }
    let (total, unused) = check_archive(&config, archive)?;
    let mut progress = Progress {
        what: format!("load {name}"),
        done: 0,
        total: Some(total),
        unit: "bytes",
        note: String::new(),
    };
    let mut take = |tensor: &str| -> Result<Tensor, ModelError> {
        if watch.stop_requested() {
            return Err(ModelError::Interrupted);
        }
        let (made, bytes) = make_tensor(archive, tensor, options)?;
        progress.done += bytes;
        watch.tick(&progress);
        Ok(made)
    };
    let weights = take_weights(&config, &mut take)?;
    let mut provenance: Vec<(String, String)> = carried(archive);
    if !provenance.iter().any(|(key, _)| key == "source") {
        provenance.push(("source".to_string(), source.to_string()));
    }
    if !unused.is_empty() {
        provenance.retain(|(key, _)| key != "unused_tensors");
        provenance.push(("unused_tensors".to_string(), some(&unused)));
    }
    Ok(Model {
        name: name.to_string(),
        config,
        weights: Arc::new(weights),
        tokenizer: tokenizer.map(Arc::new),
        provenance,
        origin: ModelOrigin::Unknown,
    })
}

/// Checks that every promised tensor is there with its shape and a type that is read. Gives the
/// bytes of those tensors and the names of the others, rotary caches left out.
fn check_archive(
    config: &LlamaConfig,
    archive: &Archive,
) -> Result<(u64, Vec<String>), ModelError> {
    let mut unused = archive.names();
    let mut total = 0;
    for promise in promises(config) {
        let Some((shard, info)) = archive.find(&promise.name) else {
            return Err(archive.missing(promise.name));
        };
        let file = shard.file.to_path_buf();
        if candle_dtype(info.dtype).is_none() {
            return Err(ModelError::WrongDtype { file, tensor: promise.name, found: info.dtype });
        }
        let promised = promise.shape(config);
        if info.shape != promised {
            let because = promise.because(config, &info.shape);
            let found = info.shape.clone();
            let tensor = promise.name.into();
            return Err(ModelError::WrongShape { file, tensor, promised, found, because });
        }
        total += (info.data_offsets.1 - info.data_offsets.0) as u64;
        unused.remove(&promise.name);
    }
    let is_rotary_cache = |name: &String| name.contains(".rotary_emb.");
    Ok((total, unused.into_iter().filter(|name| !is_rotary_cache(name)).collect()))
}

fn candle_dtype(dtype: safetensors::Dtype) -> Option<DType> {
    match dtype {
        safetensors::Dtype::F32 => Some(DType::F32),
        safetensors::Dtype::BF16 => Some(DType::BF16),
        safetensors::Dtype::F16 => Some(DType::F16),
        safetensors::Dtype::F64 => Some(DType::F64),
        _ => None,
    }
}

/// Copies one tensor out of the file into the computing type; tells its size in the file in bytes.
fn make_tensor(
    archive: &Archive,
    name: &str,
    options: &LoadOptions,
) -> Result<(Tensor, u64), ModelError> {
    let absent = || archive.missing(name.to_string());
    let (shard, info) = archive.find(name).ok_or_else(absent)?;
    let (from, to) = info.data_offsets;
    let broken = || ModelError::Header {
        file: shard.file.to_path_buf(),
        source: Box::new(SafeTensorError::InvalidOffset(name.to_string())),
    };
    let bytes = shard.data.get(from..to).ok_or_else(broken)?;
    let dtype = candle_dtype(info.dtype).ok_or_else(|| ModelError::WrongDtype {
        file: shard.file.to_path_buf(),
        tensor: name.to_string(),
        found: info.dtype,
    })?;
    let stored = Tensor::from_raw_buffer(bytes, dtype, &info.shape, &Device::Cpu)?;
    let made = stored.to_dtype(options.dtype)?.to_device(&options.device)?;
    Ok((made, bytes.len() as u64))
}

/// Puts the tensors in their places, taking each by its checkpoint name.
fn take_weights(
    config: &LlamaConfig,
    take: &mut dyn FnMut(&str) -> Result<Tensor, ModelError>,
) -> Result<Weights, ModelError> {
    let embed = take("model.embed_tokens.weight")?;
    let mut layers = Vec::new();
    for l in 0..config.layers {
        let mut bias = |name: &str| take(&format!("model.layers.{l}.self_attn.{name}_proj.bias"));
        let biases = match config.attention_bias {
            true => Some(AttentionBiases {
                q: bias("q")?,
                k: bias("k")?,
                v: bias("v")?,
                o: config.family.biases_output().then(|| bias("o")).transpose()?,
            }),
            false => None,
        };
        let mut part = |name: &str| take(&format!("model.layers.{l}.{name}.weight"));
        let head_norms = match config.family.has_head_norms() {
            true => Some(HeadNorms { q: part("self_attn.q_norm")?, k: part("self_attn.k_norm")? }),
            false => None,
        };
        let attention = AttentionWeights {
            norm: part("input_layernorm")?,
            q: part("self_attn.q_proj")?,
            k: part("self_attn.k_proj")?,
            v: part("self_attn.v_proj")?,
            o: part("self_attn.o_proj")?,
            biases,
            head_norms,
        };
        let mlp = MlpWeights {
            norm: part("post_attention_layernorm")?,
            gate: part("mlp.gate_proj")?,
            up: part("mlp.up_proj")?,
            down: part("mlp.down_proj")?,
        };
        layers.push(LayerWeights { attention: Some(attention), mlp: Some(mlp) });
    }
    let norm = take("model.norm.weight")?;
    // A tied model uses its embeddings even when the file holds a head, as Hugging Face does.
    let head = if config.tied { None } else { Some(take("lm_head.weight")?) };
    Ok(Weights { embed, layers, norm, head })
}

/// Gives the provenance that a saved model carries in its metadata.
fn carried(archive: &Archive) -> Vec<(String, String)> {
    let mut pairs = BTreeSet::new();
    for (key, value) in archive.shards.iter().flat_map(|s| s.header.metadata().iter().flatten()) {
        if let Some(key) = key.strip_prefix(PROVENANCE) {
            pairs.insert((key.to_string(), value.clone()));
        }
    }
    pairs.into_iter().collect()
}
