//! Independent models beside ours: candle-transformers' own, from the same folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use candle_transformers::models::{mistral, qwen2, qwen3};
use woolshed_engine::model::checkpoint::{LoadOptions, load_folder};
use woolshed_engine::model::{LlamaConfig as Config, Model, Tokenizer};
use woolshed_engine::progress::Unwatched;
use woolshed_engine::rng::Stream;

/// The folder of stories260k, a published Llama of 260,032 parameters with grouped KV heads and a
/// tied head. None, said plainly, where the checkout has no `shared/` beside it.
pub fn stories() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models/stories260k");
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("not run on stories260k: there is no ../shared beside this checkout");
    None
}

/// A folder as our loader reads it.
pub fn load(dir: &Path) -> Model {
    load_folder(dir, &LoadOptions::default(), &Unwatched).expect("loads")
}

/// A model of random weights eight times larger than training begins with: at the usual deviation
/// of 0.02 attention hardly moves the logits, and a test would see nothing of it. Biases, where there
/// are any, grow as much, and norms of heads leave 1.
pub fn random(name: &str, config: Config, tokenizer: Option<Arc<Tokenizer>>) -> Model {
    let mut model = Model::random(name, config, tokenizer, 5, DType::F32, &Device::Cpu)
        .expect("a random model");
    let larger = |t: &Tensor| if t.rank() == 2 { t * 8.0 } else { t.copy() };
    let mut weights = model.weights.map(larger).expect("scaled weights");
    let mut stream = Stream::new(5, "test norms", 0);
    for attention in weights.layers.iter_mut().filter_map(|layer| layer.attention.as_mut()) {
        if let Some(b) = &mut attention.biases {
            for t in [&mut b.q, &mut b.k, &mut b.v].into_iter().chain(&mut b.o) {
                *t = (&*t * 8.0).expect("scaled biases");
            }
        }
        if let Some(n) = &mut attention.head_norms {
            for t in [&mut n.q, &mut n.k] {
                let near_1: Vec<f32> =
                    (0..t.elem_count()).map(|_| (1.0 + 0.2 * stream.normal()) as f32).collect();
                *t = Tensor::from_slice(&near_1, t.shape(), &Device::Cpu).expect("norms");
            }
        }
    }
    model.weights = Arc::new(weights);
    model
}

/// `n` ids drawn from the whole vocabulary.
pub fn ids(vocab: usize, n: usize) -> Vec<u32> {
    let mut stream = Stream::new(17, "test ids", 0);
    (0..n).map(|_| stream.below(vocab as u64) as u32).collect()
}

/// Our logits, row by row.
pub fn ours(model: &Model, ids: &[u32]) -> Vec<Vec<f32>> {
    rows(&model.logits(ids).expect("logits"))
}

/// A (T, V) tensor, row by row.
pub fn rows(logits: &Tensor) -> Vec<Vec<f32>> {
    logits.to_dtype(DType::F32).and_then(|t| t.to_vec2()).expect("a matrix")
}

/// The logits of candle-transformers' own model of the family, on the `model.safetensors` and
/// `config.json` of a folder, f32. It gives those of the last position only, so the ids go in one by
/// one.
pub fn theirs(dir: &Path, ids: &[u32]) -> Vec<Vec<f32>> {
    let mut step = independent(dir);
    let row = |(t, id): (usize, &u32)| {
        let input = Tensor::from_slice(&[*id], (1, 1), &Device::Cpu).expect("an id");
        let logits = step(&input, t).expect("their logits");
        logits.flatten_all().and_then(|row| row.to_vec1()).expect("a row")
    };
    ids.iter().enumerate().map(row).collect()
}

/// One id and its position to the logits after it.
type Step = Box<dyn FnMut(&Tensor, usize) -> candle_core::Result<Tensor>>;

fn independent(dir: &Path) -> Step {
    let bytes = std::fs::read(dir.join("config.json")).expect("config.json");
    let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let weights = std::fs::read(dir.join("model.safetensors")).expect("model.safetensors");
    let device = Device::Cpu;
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &device);
    let weights = weights.expect("their file");
    match json["model_type"].as_str().expect("a family") {
        "llama" => {
            let config: LlamaConfig = serde_json::from_slice(&bytes).expect("their config");
            let config = config.into_config(false);
            let llama = Llama::load(weights, &config).expect("their model");
            let mut cache = Cache::new(true, DType::F32, &config, &device).expect("their cache");
            Box::new(move |input, t| llama.forward(input, t, &mut cache))
        }
        "mistral" => {
            let config: mistral::Config = serde_json::from_slice(&bytes).expect("their config");
            let mut model = mistral::Model::new(&config, weights).expect("their model");
            Box::new(move |input, t| model.forward(input, t))
        }
        "qwen2" => {
            let config: qwen2::Config = serde_json::from_slice(&bytes).expect("their config");
            let mut model = qwen2::ModelForCausalLM::new(&config, weights).expect("their model");
            Box::new(move |input, t| model.forward(input, t))
        }
        "qwen3" => {
            let config: qwen3::Config = serde_json::from_slice(&bytes).expect("their config");
            let mut model = qwen3::ModelForCausalLM::new(&config, weights).expect("their model");
            Box::new(move |input, t| model.forward(input, t))
        }
        other => panic!("no independent {other}"),
    }
}

/// The largest distance between two sets of rows; a NaN is above every limit.
pub fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows");
    let mut worst = 0.0f32;
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.len(), b.len(), "vocabulary");
        for (a, b) in a.iter().zip(b) {
            let gap = (a - b).abs();
            worst = if gap.is_nan() { f32::INFINITY } else { worst.max(gap) };
        }
    }
    worst
}

/// The largest magnitude in the rows.
pub fn largest(rows: &[Vec<f32>]) -> f32 {
    rows.iter().flatten().fold(0.0, |top, x| top.max(x.abs()))
}
