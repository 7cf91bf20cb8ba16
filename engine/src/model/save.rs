//! A model to a folder that usual loaders open: Hugging Face's class of its family, and this engine.
//!
//! Everything is checked before the first byte, written into a temporary folder, and renamed into
//! place: a failure leaves no half-written file. The safetensors file is written here rather than
//! by the `safetensors` crate, so that tensors are converted one at a time, a conversion may fail,
//! and the same model gives the same bytes every time (that crate orders metadata at random).

mod disk;
#[cfg(test)]
pub(crate) mod tiny;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{DType, Device, Tensor};
use disk::Disk;
use serde_json::{Map, Value, json};

use super::checkpoint::{CONFIG, INDEX, PROVENANCE, SINGLE, TOKENIZER, promises, some};
use super::{LlamaConfig, Model, ModelError, ModelOrigin, Tokenizer, card};
use crate::progress::{Unwatched, Watch};

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION: &str = "generation_config.json";
/// Longest origin that goes into the metadata, bytes.
const CARRIED: usize = 256 << 10;

/// How a model is saved.
#[derive(Clone, Debug, Default)]
pub struct SaveOptions {
    /// The number type of the tensors: f32, bf16 or f16. None keeps the type the model was stored
    /// in (f32 if that is another).
    pub dtype: Option<DType>,
    /// What to say of the model's origin, beside what the model carries; ends up as `woolshed.KEY`
    /// in the metadata of the safetensors file. A key given here replaces the model's.
    pub provenance: Vec<(String, String)>,
}

impl Model {
    /// Saves the model into `dir` and gives the files written.
    ///
    /// A model that was made here gets a card, `README.md`; a card that somebody else wrote stays, and
    /// ours is `WOOLSHED.md` then.
    ///
    /// The folder is made if need be. In an existing one the files of another model are replaced,
    /// as a whole: what the new model lacks (a tokenizer, shards) is removed.
    ///
    /// # Errors
    /// Layers differ in shape or lack a part; a value does not fit f16; the folder holds files that
    /// are no model's; a file cannot be written.
    pub fn save(&self, dir: &Path, options: &SaveOptions) -> Result<Vec<PathBuf>, ModelError> {
        self.save_watched(dir, options, &Unwatched)
    }

    /// As [`Model::save`], told how far it is, and stopped on request: then the folder is as it was.
    ///
    /// # Errors
    /// As [`Model::save`]; an interrupt.
    pub fn save_watched(
        &self,
        dir: &Path,
        options: &SaveOptions,
        watch: &dyn Watch,
    ) -> Result<Vec<PathBuf>, ModelError> {
        let dtype = save_dtype(&self.config, options.dtype)?;
        self.check_uniform()?;
        let stale = replaceable(dir)?;
        let exists = dir.is_dir();
        let scratch = Scratch::new(dir, exists)?;
        let mut names = vec![SINGLE];
        write_safetensors(self, dtype, &self.metadata(options), &scratch.0.join(SINGLE), watch)?;
        if let Some(tokenizer) = &self.tokenizer {
            write(&scratch.0.join(TOKENIZER), tokenizer.bytes())?;
            let config = tokenizer_config(tokenizer, &self.config);
            write_json(&scratch.0.join(TOKENIZER_CONFIG), &config)?;
            names.extend([TOKENIZER, TOKENIZER_CONFIG]);
        }
        let ends =
            json!({ "bos_token_id": self.config.bos, "eos_token_id": self.config.eos_json() });
        write_json(&scratch.0.join(GENERATION), &ends)?;
        let config = LlamaConfig { dtype: long_name(dtype).to_string(), ..self.config.clone() };
        write_json(&scratch.0.join(CONFIG), &config.to_json())?;
        names.extend([GENERATION, CONFIG]);
        if let Some(text) = card::card(self) {
            let theirs = dir.join(card::CARD);
            let name = match theirs.exists() && !card::is_ours(&theirs) {
                true => card::BESIDE,
                false => card::CARD,
            };
            write(&scratch.0.join(name), text.as_bytes())?;
            // `config.json` stays last: with it a folder is a model.
            names.insert(0, name);
        }
        if exists {
            for name in &names {
                let (from, to) = (scratch.0.join(name), dir.join(name));
                std::fs::rename(from, &to).map_err(ModelError::io("write", &to))?;
            }
            for name in stale.iter().filter(|name| !names.contains(&name.as_str())) {
                let path = dir.join(name);
                std::fs::remove_file(&path).map_err(ModelError::io("remove", &path))?;
            }
        } else {
            std::fs::rename(&scratch.0, dir).map_err(ModelError::io("write", dir))?;
        }
        Ok(names.into_iter().map(|name| dir.join(name)).collect())
    }

    /// Checks that a checkpoint can say what the model is.
    fn check_uniform(&self) -> Result<(), ModelError> {
        self.config.check(Path::new(CONFIG))?;
        for (layer, weights) in self.weights.layers.iter().enumerate() {
            let part = match (&weights.attention, &weights.mlp) {
                (None, _) => "attention",
                (_, None) => "mlp",
                _ => continue,
            };
            return Err(ModelError::MissingPart { layer, part });
        }
        if self.weights.head.is_some() == self.config.tied {
            return Err(ModelError::HeadMismatch { tied: self.config.tied });
        }
        let (layers, says) = (self.weights.layers.len(), self.config.layers);
        if layers != says {
            return Err(ModelError::LayerCount { layers, says });
        }
        for (promise, (tensor, found)) in promises(&self.config).zip(self.weights.named()) {
            if promise.name != tensor {
                return Err(ModelError::FamilyMismatch {
                    family: self.config.family,
                    promised: promise.name,
                    found: tensor,
                });
            }
            let promised = promise.shape(&self.config);
            if promised != found.dims() {
                let because = promise.because(&self.config, found.dims());
                let found = found.dims().to_vec();
                return Err(ModelError::Uneven { tensor, promised, found, because });
            }
        }
        Ok(())
    }

    /// Gives the metadata of the safetensors file, sorted by key.
    fn metadata(&self, options: &SaveOptions) -> Vec<(String, String)> {
        let mut pairs = std::collections::BTreeMap::new();
        for (key, value) in self.provenance.iter().chain(&options.provenance) {
            pairs.insert(format!("{PROVENANCE}{key}"), value.clone());
        }
        // A model out of a file carries what the file said of its making; that it was read is no news.
        let made_here = !matches!(
            self.origin,
            ModelOrigin::Folder { .. } | ModelOrigin::Hub { .. } | ModelOrigin::Unknown
        );
        if made_here {
            let key = format!("{PROVENANCE}origin");
            match serde_json::to_string(&self.origin) {
                Ok(origin) if origin.len() <= CARRIED => drop(pairs.insert(key, origin)),
                // An origin that holds whole texts is left out: the header is read before all else.
                _ => drop(pairs.remove(&key)),
            }
        }
        // What Hugging Face's loader insists on: the layout of the tensors is PyTorch's.
        pairs.insert("format".to_string(), "pt".to_string());
        pairs.into_iter().collect()
    }
}

fn save_dtype(config: &LlamaConfig, asked: Option<DType>) -> Result<DType, ModelError> {
    match asked {
        Some(dtype @ (DType::F32 | DType::BF16 | DType::F16)) => Ok(dtype),
        Some(dtype) => Err(ModelError::SaveDtype { dtype }),
        None => Ok(match config.dtype.as_str() {
            "bfloat16" => DType::BF16,
            "float16" => DType::F16,
            _ => DType::F32,
        }),
    }
}

/// Gives the name `config.json` has for a type.
fn long_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        _ => "float32",
    }
}

/// Gives the name safetensors has for a type.
fn short_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "BF16",
        DType::F16 => "F16",
        _ => "F32",
    }
}

/// Lists the files of `dir` that a save may replace; an absent folder has none.
fn replaceable(dir: &Path) -> Result<Vec<String>, ModelError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    if !dir.is_dir() {
        return Err(ModelError::NotAFolder { path: dir.to_path_buf() });
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(ModelError::io("read", dir))? {
        let entry = entry.map_err(ModelError::io("read", dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.path().is_dir();
        names.push((name, is_folder));
    }
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for (name, is_folder) in names {
        if !is_folder && [card::CARD, card::BESIDE].contains(&name.as_str()) {
            if card::is_ours(&dir.join(&name)) {
                ours.push(name);
            }
            continue;
        }
        match (is_model_file(&name), is_folder) {
            (true, false) => ours.push(name),
            // Left by a save that was killed; the next one works beside it.
            (false, true) if is_scratch(&name) => {}
            _ => foreign.push(name),
        }
    }
    foreign.sort_unstable();
    if foreign.is_empty() {
        return Ok(ours);
    }
    Err(ModelError::ForeignFiles { dir: dir.to_path_buf(), files: some(&foreign) })
}

fn is_model_file(name: &str) -> bool {
    const KNOWN: [&str; 8] = [
        CONFIG,
        GENERATION,
        SINGLE,
        INDEX,
        TOKENIZER,
        TOKENIZER_CONFIG,
        "special_tokens_map.json",
        "tokenizer.model",
    ];
    KNOWN.contains(&name) || (name.starts_with("model-") && name.ends_with(".safetensors"))
}

const SCRATCH: (&str, &str) = (".woolshed-", ".tmp");

fn is_scratch(name: &str) -> bool {
    name.starts_with(SCRATCH.0) && name.ends_with(SCRATCH.1)
}

/// A temporary folder on the file system of the target, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder: inside an existing target, which may be a mount point or the working
    /// folder, beside one that is not there yet.
    fn new(dir: &Path, exists: bool) -> Result<Self, ModelError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let parent = match dir.parent() {
            _ if exists => dir,
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{}{}-{count}{}", SCRATCH.0, std::process::id(), SCRATCH.1));
        std::fs::create_dir_all(&path).map_err(ModelError::io("make the folder", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After a successful rename there is nothing left to remove; a failure to clean up must not
        // hide the error that led here.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes the tensors in the order of [`super::Weights::named`]: 8 bytes of header length, the
/// header padded to a multiple of 8 bytes, the tensors without gaps.
fn write_safetensors(
    model: &Model,
    dtype: DType,
    metadata: &[(String, String)],
    path: &Path,
    watch: &dyn Watch,
) -> Result<(), ModelError> {
    let tensors = model.weights.named();
    let mut header = Map::new();
    let pairs = metadata.iter().map(|(key, value)| (key.clone(), json!(value)));
    header.insert("__metadata__".to_string(), Value::Object(pairs.collect()));
    let mut end = 0;
    for (name, tensor) in &tensors {
        let start = end;
        end += tensor.elem_count() * dtype.size_in_bytes();
        let info = json!({
            "dtype": short_name(dtype), "shape": tensor.dims(), "data_offsets": [start, end]
        });
        header.insert(name.clone(), info);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let failed = |error| match watch.stop_requested() {
        true => ModelError::Interrupted,
        false => ModelError::io("write", path)(error),
    };
    let total = end as u64;
    let disk = Disk::new(File::create(path).map_err(failed)?, total, watch);
    let mut out = BufWriter::with_capacity(1 << 20, disk);
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    out.write_all(&header).map_err(failed)?;
    for (name, tensor) in &tensors {
        if dtype == DType::F16 {
            check_half(name, tensor)?;
        }
        let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(dtype)?;
        tensor.write_bytes(&mut out).map_err(|error| match error {
            candle_core::Error::Io(error) => failed(error),
            other => other.into(),
        })?;
    }
    let disk = out.into_inner().map_err(|error| failed(error.into_error()))?;
    // A rename may reach the disk before the content does; the content goes first.
    disk.file().sync_all().map_err(failed)
}

/// Checks that f16 can hold every value: what lies beyond would turn into infinity in silence.
fn check_half(name: &str, tensor: &Tensor) -> Result<(), ModelError> {
    let value = tensor.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    // 65520 is where rounding to the nearest leaves the largest f16 number, 65504.
    if value < 65520.0 || !value.is_finite() {
        return Ok(());
    }
    Err(ModelError::HalfOverflow { tensor: name.to_string(), value })
}

/// Makes the least that lets Hugging Face's tokenizer classes find `tokenizer.json` and its ends.
fn tokenizer_config(tokenizer: &Tokenizer, config: &LlamaConfig) -> Value {
    let token = |id: Option<u32>| id.and_then(|id| tokenizer.token_of(id));
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token(config.bos),
        "eos_token": token(config.eos.first().copied()),
        "model_max_length": config.max_positions,
        "clean_up_tokenization_spaces": false,
    })
}

fn write_json(path: &Path, json: &Value) -> Result<(), ModelError> {
    write(path, format!("{json:#}\n").as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    std::fs::write(path, bytes).map_err(ModelError::io("write", path))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::checkpoint::{LoadOptions, load_folder};
    use crate::model::{LayerWeights, Weights};

    fn load(dir: &Path) -> Model {
        load_folder(dir, &LoadOptions::default(), &Unwatched).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// The model with one layer changed.
    fn with_layer(l: usize, change: impl Fn(&mut LayerWeights)) -> Model {
        let mut model = tiny::model(true);
        let mut weights = Weights::clone(&model.weights);
        change(&mut weights.layers[l]);
        model.weights = Arc::new(weights);
        model
    }

    #[test]
    fn a_saved_model_loads_as_the_same_numbers() {
        for tied in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let model = tiny::model(tied);
            let files = model.save(&dir.path().join("a/b"), &SaveOptions::default()).unwrap();
            assert_eq!(files.len(), 5);
            assert!(files.iter().all(|file| file.is_file()));
            let back = load(&dir.path().join("a/b"));
            assert_eq!(tiny::numbers(&back), tiny::numbers(&model));
            assert_eq!((back.config, back.name.as_str()), (model.config, "b"));
            assert_eq!(back.provenance, model.provenance);
            let text = "the sheep and the wool";
            let ids = |m: &Option<Arc<Tokenizer>>| m.as_ref().unwrap().encode(text, true).unwrap();
            assert_eq!(ids(&back.tokenizer), ids(&model.tokenizer));
            assert_eq!(names(&dir.path().join("a")), ["b"], "no temporary folder stays");
        }
    }

    #[test]
    fn the_same_model_gives_the_same_bytes_and_carries_its_provenance() {
        let dir = tempfile::tempdir().unwrap();
        let options = SaveOptions {
            dtype: None,
            provenance: vec![("target".to_string(), "1 layer".to_string())],
        };
        let mut bytes = Vec::new();
        for name in ["a", "b"] {
            tiny::model(false).save(&dir.path().join(name), &options).unwrap();
            bytes.push(std::fs::read(dir.path().join(name).join(SINGLE)).unwrap());
        }
        assert_eq!(bytes[0], bytes[1]);
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes[0]).unwrap();
        let metadata = header.metadata().clone().unwrap();
        assert_eq!(metadata["format"], "pt");
        assert_eq!(metadata["woolshed.source"], "tiny");
        assert_eq!(metadata["woolshed.target"], "1 layer");
    }

    #[test]
    fn half_types_round_to_the_nearest_and_say_so_in_the_config() {
        // Relative rounding error: half of the last of 8 (bf16) and 11 (f16) significant bits.
        for (dtype, name, error) in
            [(DType::BF16, "bfloat16", 2f64.powi(-8)), (DType::F16, "float16", 2f64.powi(-11))]
        {
            let dir = tempfile::tempdir().unwrap();
            let model = tiny::model(false);
            let options = SaveOptions { dtype: Some(dtype), ..SaveOptions::default() };
            model.save(&dir.path().join("m"), &options).unwrap();
            let back = load(&dir.path().join("m"));
            assert_eq!(back.config.dtype, name);
            for ((_, a), (tensor, b)) in tiny::numbers(&back).iter().zip(tiny::numbers(&model)) {
                for (a, b) in a.iter().zip(b) {
                    // 6e-8 is the spacing of f16 numbers near 0.
                    assert!((a - b).abs() <= error * b.abs() + 6e-8, "{tensor}: {a} {b}");
                }
            }
            // What was stored in a half type is saved in it again, to the same bytes.
            back.save(&dir.path().join("again"), &SaveOptions::default()).unwrap();
            let bytes = |name: &str| std::fs::read(dir.path().join(name).join(SINGLE)).unwrap();
            assert_eq!(bytes("m"), bytes("again"));
        }
    }

    #[test]
    fn other_types_and_values_beyond_f16_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let save = |model: &Model, dtype| {
            let options = SaveOptions { dtype: Some(dtype), ..SaveOptions::default() };
            model.save(&dir.path().join("m"), &options).unwrap_err()
        };
        let error = save(&tiny::model(true), DType::F64);
        assert!(matches!(error, ModelError::SaveDtype { dtype: DType::F64 }), "{error}");
        let large = with_layer(1, |layer| {
            let mlp = layer.mlp.as_mut().unwrap();
            mlp.up = (mlp.up.ones_like().unwrap() * -70000.0).unwrap();
        });
        let error = save(&large, DType::F16).to_string();
        assert!(error.contains("layers.1.mlp.up_proj") && error.contains("7e4"), "{error}");
        assert_eq!(names(dir.path()), [""; 0], "a failure leaves nothing behind");
    }

    #[test]
    fn layers_that_a_checkpoint_cannot_hold_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("m");
        let save =
            |model: &Model| model.save(&target, &SaveOptions::default()).unwrap_err().to_string();
        let text = save(&with_layer(1, |layer| layer.attention = None));
        assert!(text.contains("layer 1 has no attention"), "{text}");
        let text = save(&with_layer(0, |layer| layer.mlp = None));
        assert!(text.contains("layer 0 has no mlp"), "{text}");
        let narrow = with_layer(1, |layer| {
            let mlp = layer.mlp.as_mut().unwrap();
            mlp.up = mlp.up.narrow(0, 0, 10).unwrap();
        });
        let text = save(&narrow);
        for part in ["layers.1.mlp.up_proj.weight is [10, 8]", "intermediate_size 12", "[12, 8]"] {
            assert!(text.contains(part), "{part} in: {text}");
        }
        let mut model = tiny::model(true);
        model.config.layers = 3;
        assert!(save(&model).contains("2 layers"), "{}", save(&model));
        let mut model = tiny::model(true);
        model.config.tied = false;
        assert!(save(&model).contains("set `config.tied` to true"), "{}", save(&model));
        let mut model = tiny::model(true);
        model.config.attention_bias = true;
        let text = save(&model);
        for part in ["a llama", "self_attn.q_proj.bias", "config.attention_bias"] {
            assert!(text.contains(part), "{part} in: {text}");
        }
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_folder_with_other_files_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
        std::fs::write(dir.path().join(CONFIG), "{}").unwrap();
        let error = tiny::model(true).save(dir.path(), &SaveOptions::default()).unwrap_err();
        assert!(error.to_string().contains("(thesis.tex)"), "{error}");
        assert_eq!(names(dir.path()), [CONFIG, "thesis.tex"]);
        let file = dir.path().join("thesis.tex");
        let error = tiny::model(true).save(&file, &SaveOptions::default()).unwrap_err();
        assert!(matches!(error, ModelError::NotAFolder { .. }), "{error}");
    }

    #[test]
    fn an_earlier_model_in_the_folder_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        tiny::model(false).save(dir.path(), &SaveOptions::default()).unwrap();
        for name in ["model-00001-of-00002.safetensors", INDEX] {
            std::fs::write(dir.path().join(name), "{}").unwrap();
        }
        std::fs::create_dir(dir.path().join(".woolshed-1-0.tmp")).unwrap();
        let mut model = tiny::model(true);
        model.tokenizer = None;
        model.save(dir.path(), &SaveOptions::default()).unwrap();
        let expected = [".woolshed-1-0.tmp", CONFIG, GENERATION, SINGLE];
        assert_eq!(names(dir.path()), expected);
        assert!(load(dir.path()).tokenizer.is_none());
    }

    #[test]
    fn the_small_files_hold_what_other_loaders_read() {
        let dir = tempfile::tempdir().unwrap();
        tiny::model(true).save(dir.path(), &SaveOptions::default()).unwrap();
        let json = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(dir.path().join(name)).unwrap()).unwrap()
        };
        assert_eq!(json(GENERATION), json!({ "bos_token_id": 1, "eos_token_id": 2 }));
        assert_eq!(json(TOKENIZER_CONFIG)["eos_token"], "</s>");
        assert_eq!(json(TOKENIZER_CONFIG)["model_max_length"], 64);
        assert_eq!(json(CONFIG)["architectures"], json!(["LlamaForCausalLM"]));
        assert_eq!(json(CONFIG)["torch_dtype"], "float32");
    }
}
