//! Loading from folders: sound ones, damaged ones, ones that contradict themselves.

use std::path::PathBuf;
use std::sync::Mutex;

use safetensors::SafeTensors;
use serde_json::Value;

use super::*;
use crate::model::save::{SaveOptions, tiny};

/// The folder of the stories260k model; none, and a line that says so, where it is absent.
pub(in crate::model) fn stories() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models/stories260k");
    if dir.join(CONFIG).exists() {
        return Some(dir);
    }
    println!("skipped: there is no model at {}", dir.display());
    None
}

/// A folder with the tiny model in it.
fn saved(tied: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny::model(tied).save(dir.path(), &SaveOptions::default()).unwrap();
    dir
}

fn load(dir: &Path) -> Result<Model, ModelError> {
    load_folder(dir, &LoadOptions::default(), &Unwatched)
}

fn message(dir: &Path) -> String {
    load(dir).unwrap_err().to_string()
}

fn edit_config(dir: &Path, field: &str, value: Value) {
    let path = dir.join(CONFIG);
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json[field] = value;
    std::fs::write(path, json.to_string()).unwrap();
}

/// Replaces text in the header of the safetensors file; the lengths must be equal.
fn edit_header(dir: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let path = dir.join(SINGLE);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    std::fs::write(path, bytes).unwrap();
}

/// Splits the single file into two shards with an index.
fn shard(dir: &Path) {
    let bytes = std::fs::read(dir.join(SINGLE)).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<String> = all.names().into_iter().map(String::from).collect();
    names.sort_unstable();
    let mut map = serde_json::Map::new();
    for (i, part) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", i + 1);
        let views = part.iter().map(|name| (name, all.tensor(name).unwrap()));
        std::fs::write(dir.join(&file), safetensors::serialize(views, None).unwrap()).unwrap();
        map.extend(part.iter().map(|name| (name.clone(), Value::from(file.clone()))));
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    std::fs::write(dir.join(INDEX), index.to_string()).unwrap();
    std::fs::remove_file(dir.join(SINGLE)).unwrap();
}

#[test]
fn promises_name_the_tensors_in_the_order_of_the_weights() {
    let families = tiny::FAMILIES.map(|(family, biases)| tiny::family(family, biases));
    for model in [tiny::model(true), tiny::model(false)].into_iter().chain(families) {
        let promised: Vec<_> =
            promises(&model.config).map(|p| (p.shape(&model.config), p.name)).collect();
        let named: Vec<_> =
            model.weights.named().into_iter().map(|(n, t)| (t.dims().to_vec(), n)).collect();
        assert_eq!(promised, named);
    }
}

#[test]
fn the_stories_model_loads_whole() {
    let Some(dir) = stories() else { return };
    let model = load(&dir).unwrap();
    assert_eq!(model.name, "stories260k");
    assert_eq!(model.parameters(), 260_032);
    let shape = model.shape();
    assert_eq!((shape.layers, shape.hidden, shape.heads, shape.kv_heads), (5, 64, 8, 4));
    assert_eq!((shape.head_dim, shape.intermediate, shape.vocab), (8, 172, 512));
    assert!(shape.tied && model.weights.head.is_none());
    assert!(model.tokenizer().is_ok());
    assert_eq!(model.provenance, [("source".to_string(), "stories260k".to_string())]);
    let wide = LoadOptions { dtype: DType::F64, ..LoadOptions::default() };
    let wide = load_folder(&dir, &wide, &Unwatched).unwrap();
    assert_eq!(wide.weights.embed.dtype(), DType::F64);
    assert_eq!(tiny::numbers(&wide), tiny::numbers(&model));
    let out = tempfile::tempdir().unwrap();
    model.save(&out.path().join("m"), &SaveOptions::default()).unwrap();
    let back = load(&out.path().join("m")).unwrap();
    assert_eq!(tiny::numbers(&back), tiny::numbers(&model));
    assert_eq!((back.config, back.provenance), (model.config, model.provenance));
}

#[test]
fn shards_load_as_the_single_file_does() {
    let dir = saved(false);
    let single = load(dir.path()).unwrap();
    shard(dir.path());
    assert_eq!(tiny::numbers(&load(dir.path()).unwrap()), tiny::numbers(&single));
    std::fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    let text = message(dir.path());
    assert!(text.contains("names the shard model-00002-of-00002.safetensors"), "{text}");
}

#[test]
fn an_index_cannot_reach_other_folders() {
    let dir = saved(false);
    std::fs::remove_file(dir.path().join(SINGLE)).unwrap();
    for shard in ["../model.safetensors", "/model.safetensors", "a\\b.safetensors", "x.bin"] {
        let index = serde_json::json!({ "weight_map": { "model.norm.weight": shard } });
        std::fs::write(dir.path().join(INDEX), index.to_string()).unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(matches!(error, ModelError::BadField { .. }), "{shard}: {error}");
    }
    std::fs::write(dir.path().join(INDEX), "{}").unwrap();
    assert!(message(dir.path()).contains("lacks `weight_map`"));
    std::fs::write(dir.path().join(INDEX), "{").unwrap();
    assert!(matches!(load(dir.path()).unwrap_err(), ModelError::Json { .. }));
}

#[test]
fn a_file_cut_short_anywhere_is_refused_with_both_sizes() {
    let dir = saved(true);
    let path = dir.path().join(SINGLE);
    let whole = std::fs::read(&path).unwrap();
    for size in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..size]).unwrap();
        let text = message(dir.path());
        assert!(text.contains("model.safetensors"), "{size}: {text}");
        if size >= 8 {
            assert!(text.contains(&format!("has {size} bytes")), "{size}: {text}");
        }
    }
    assert!(message(dir.path()).contains(&format!("promises {}", whole.len())));
    let longer = [whole.as_slice(), b"tail"].concat();
    std::fs::write(&path, longer).unwrap();
    assert!(message(dir.path()).contains("something was appended"));
}

#[test]
fn noise_and_lfs_pointers_are_told_apart() {
    let dir = saved(true);
    let path = dir.path().join(SINGLE);
    std::fs::write(&path, [0xff; 64]).unwrap();
    assert!(matches!(load(dir.path()).unwrap_err(), ModelError::Header { .. }));
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid 1\n").unwrap();
    assert!(matches!(load(dir.path()).unwrap_err(), ModelError::LfsPointer { .. }));
    let bad_json = [&8u64.to_le_bytes()[..], b"{\"a\": 1,"].concat();
    std::fs::write(&path, bad_json).unwrap();
    assert!(matches!(load(dir.path()).unwrap_err(), ModelError::Header { .. }));
}

#[test]
fn a_config_that_lies_is_told_what_the_file_has() {
    let dir = saved(false);
    edit_config(dir.path(), "intermediate_size", 16.into());
    let text = message(dir.path());
    let expected = "config.json says intermediate_size 16 so model.layers.0.mlp.gate_proj.weight \
                    should be [16, 8], ";
    assert!(text.starts_with(expected) && text.contains("has [12, 8]"), "{text}");
    edit_config(dir.path(), "intermediate_size", 12.into());
    edit_config(dir.path(), "num_key_value_heads", 4.into());
    let text = message(dir.path());
    assert!(text.contains("num_key_value_heads 4 x head_dim 2"), "{text}");
    edit_config(dir.path(), "num_key_value_heads", 2.into());
    edit_config(dir.path(), "num_hidden_layers", 2_000_000_000.into());
    let text = message(dir.path());
    assert!(text.contains("no tensor model.layers.2.input_layernorm.weight"), "{text}");
    assert!(text.contains("nearest name it has is model.layers."), "{text}");
}

#[test]
fn a_head_is_needed_unless_tied_and_noted_when_unused() {
    let untied = saved(false);
    edit_config(untied.path(), "tie_word_embeddings", true.into());
    let model = load(untied.path()).unwrap();
    assert!(model.weights.head.is_none());
    let note = ("unused_tensors".to_string(), "lm_head.weight".to_string());
    assert!(model.provenance.contains(&note), "{:?}", model.provenance);
    let tied = saved(true);
    edit_config(tied.path(), "tie_word_embeddings", false.into());
    let text = message(tied.path());
    assert!(text.contains("lm_head.weight") && text.contains("tie_word_embeddings"), "{text}");
}

#[test]
fn rotary_caches_are_ignored_without_a_note() {
    let dir = saved(false);
    edit_header(dir.path(), "lm_head.weight", "a.rotary_emb.c");
    edit_config(dir.path(), "tie_word_embeddings", true.into());
    let keys: Vec<_> = load(dir.path()).unwrap().provenance.into_iter().map(|p| p.0).collect();
    assert_eq!(keys, ["source"]);
}

#[test]
fn tensors_of_whole_numbers_are_refused_by_name() {
    let dir = saved(true);
    edit_header(dir.path(), "\"F32\"", "\"I32\"");
    let text = message(dir.path());
    assert!(text.contains("model.embed_tokens.weight is I32"), "{text}");
    let options = LoadOptions { dtype: DType::BF16, ..LoadOptions::default() };
    let error = load_folder(saved(true).path(), &options, &Unwatched).unwrap_err();
    assert!(matches!(error, ModelError::ComputeDtype { dtype: DType::BF16 }), "{error}");
}

#[test]
fn a_missing_tokenizer_matters_only_when_text_is_needed() {
    let dir = saved(true);
    std::fs::remove_file(dir.path().join(TOKENIZER)).unwrap();
    let model = load(dir.path()).unwrap();
    let text = model.tokenizer().unwrap_err().to_string();
    assert!(text.contains("tokenizer.json is missing"), "{text}");
    std::fs::write(dir.path().join(TOKENIZER), "{").unwrap();
    assert!(matches!(load(dir.path()).unwrap_err(), ModelError::TokenizerFile { .. }));
}

#[test]
fn a_folder_without_a_model_says_what_it_has() {
    let dir = saved(true);
    std::fs::remove_file(dir.path().join(SINGLE)).unwrap();
    let text = message(dir.path());
    assert!(text.contains("has no model.safetensors or") && text.contains("it has: config.json"));
    std::fs::remove_file(dir.path().join(CONFIG)).unwrap();
    let text = message(dir.path());
    assert!(text.contains("has no config.json"), "{text}");
    let text = message(&dir.path().join(TOKENIZER));
    assert!(text.contains("is a file"), "{text}");
    let text = message(&dir.path().join("nowhere"));
    assert!(text.contains("cannot read") && text.contains("nowhere"), "{text}");
}

#[test]
fn bytes_in_memory_load_as_the_folder_does() {
    let dir = saved(false);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let (config, weights, tokenizer) = (read(CONFIG), read(SINGLE), read(TOKENIZER));
    let options = LoadOptions::default();
    let model = load_bytes("demo", &config, &weights, &tokenizer, &options).unwrap();
    assert_eq!(tiny::numbers(&model), tiny::numbers(&load(dir.path()).unwrap()));
    assert_eq!((model.name.as_str(), model.tokenizer().is_ok()), ("demo", true));
    let bare = load_bytes("demo", &config, &weights, b"", &options).unwrap();
    assert!(bare.tokenizer.is_none());
    let error = load_bytes("demo", &config, &weights[..200], b"", &options).unwrap_err();
    assert!(error.to_string().contains("demo/model.safetensors"), "{error}");
    // One byte further in memory: tensors that are not aligned are read all the same.
    let shifted = [&[0], weights.as_slice()].concat();
    let shifted = load_bytes("demo", &config, &shifted[1..], b"", &options).unwrap();
    assert_eq!(tiny::numbers(&shifted), tiny::numbers(&model));
}

#[test]
fn loading_counts_bytes_and_stops_on_request() {
    struct Count {
        ticks: Mutex<Vec<Progress>>,
        stop_after: usize,
    }
    impl Watch for Count {
        fn tick(&self, progress: &Progress) {
            self.ticks.lock().unwrap().push(progress.clone());
        }
        fn stop_requested(&self) -> bool {
            self.ticks.lock().unwrap().len() >= self.stop_after
        }
    }
    let dir = saved(false);
    let watch = Count { ticks: Mutex::default(), stop_after: usize::MAX };
    let model = load_folder(dir.path(), &LoadOptions::default(), &watch).unwrap();
    let ticks = watch.ticks.into_inner().unwrap();
    let bytes = model.parameters() as u64 * 4;
    let last = ticks.last().unwrap();
    assert_eq!((last.done, last.total, last.unit), (bytes, Some(bytes), "bytes"));
    assert!(ticks.is_sorted_by_key(|progress| progress.done));
    let watch = Count { ticks: Mutex::default(), stop_after: 3 };
    let error = load_folder(dir.path(), &LoadOptions::default(), &watch).unwrap_err();
    assert!(matches!(error, ModelError::Interrupted), "{error}");
    assert_eq!(watch.ticks.into_inner().unwrap().len(), 3);
}
