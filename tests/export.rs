//! A person saves a sheared model, and what others open is what was measured under the masks.

#[path = "support/llama.rs"]
mod llama;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};
use llama::{distance, ids, largest, load, ours, random, rows, stories, theirs};
use serde_json::Value;
use woolshed_engine::data::{DomainOptions, Domains, Special, demo};
use woolshed_engine::gate::EvalMode;
use woolshed_engine::model::forward::Forward;
use woolshed_engine::model::save::SaveOptions;
use woolshed_engine::model::{Family, LlamaConfig, Model, Tokenizer, Weights};
use woolshed_engine::progress::Unwatched;
use woolshed_engine::run::{Run, ShearOptions, TrainOptions};
use woolshed_engine::shape::TargetShape;

/// Logits of two implementations in f32: sums in another order over a few layers.
const INDEPENDENT: f32 = 1e-4;

/// Logits of one implementation on the same tensors: not one operation differs.
const SAME: f32 = 0.0;

/// Logits under masks and after the cut, f32, as a share of the largest: the same sums with zeros
/// left out and factors folded, some units of 6e-8 a layer.
const FOLDED: f32 = 1e-5;

/// The demo's tokenizer, for models that have no vocabulary of their own.
fn demo_tokenizer() -> Tokenizer {
    let json = demo::tokenizer_json().into_bytes();
    Tokenizer::from_bytes(Path::new("demo tokenizer"), json).expect("the demo's tokenizer")
}

/// A model as stories260k is, grouped KV heads and a tied head, with weights of its own making.
fn grouped(family: Family, attention_bias: bool) -> Model {
    let tokenizer = Arc::new(demo_tokenizer());
    let config = LlamaConfig {
        family,
        attention_bias,
        vocab: tokenizer.vocab_size(),
        hidden: 64,
        intermediate: 172,
        layers: 3,
        heads: 8,
        kv_heads: 4,
        head_dim: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_positions: 512,
        tied: true,
        bos: tokenizer.id_of("<s>"),
        eos: tokenizer.id_of("</s>").into_iter().collect(),
        dtype: "float32".into(),
    };
    random(&format!("grouped {family}"), config, Some(tokenizer))
}

/// The models there are to shear: random ones, and stories260k where it is at hand.
fn sources() -> Vec<Model> {
    let random = [grouped(Family::Llama, false), grouped(Family::Qwen3, true)];
    random.into_iter().chain(stories().map(|dir| load(&dir))).collect()
}

/// The query and key/value heads to shear to. A Qwen3 loses query heads within its groups too, and
/// is then square no longer, which its loaders take.
fn heads(model: &Model) -> (usize, usize) {
    if model.config.family == Family::Qwen3 { (3, 3) } else { (6, 3) }
}

/// A run of `model`, eight steps in: the sparsity warm-up of twenty is not over, so masks are
/// neither 0 nor 1.
fn in_mid_training(model: &Model) -> Run {
    let text = "the small dog saw a big red ball in the park and 7 + 8 = 1 5 ; ".repeat(12);
    let texts = [("one".to_string(), vec![text.clone(); 6]), ("two".to_string(), vec![text; 6])];
    let special = Special {
        bos: model.config.bos,
        eos: model.config.eos.first().copied(),
        vocab: model.config.vocab,
    };
    let options = DomainOptions { seq_len: 32, ..DomainOptions::default() };
    let tokenizer = model.tokenizer().expect("a tokenizer");
    let domains = Domains::from_texts(&texts, tokenizer, special, &options).expect("domains");
    // hidden 48 = 6 heads of 8: the shape that every loader of a Llama takes.
    let (heads, kv_heads) = heads(model);
    let target = TargetShape {
        layers: Some(model.config.layers - 1),
        hidden: Some(48),
        heads: Some(heads),
        kv_heads: Some(kv_heads),
        intermediate: Some(128),
    };
    let train = TrainOptions { steps: 40, batch: 4, eval_every: 5, ..TrainOptions::default() };
    let shear = ShearOptions { sparsity_warmup: Some(20), ..ShearOptions::default() };
    let mut run = Run::shear(model, &target, Arc::new(domains), train, &shear, &Unwatched)
        .expect("a legal run");
    run.step(8, &Unwatched).expect("eight steps");
    run
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON")
}

#[test]
fn the_extracted_model_has_the_logits_of_the_masked_one() {
    for source in sources() {
        let run = in_mid_training(&source);
        let values = run.gate_values(EvalMode::Target).expect("gates");
        let training = run.trainer().model();
        let gates = values.tensors(&source.shape(), DType::F32, &Device::Cpu).expect("tensors");
        let ids = ids(source.config.vocab, 96);
        let masked = Forward::new(&training.weights, &training.config, ids.len()).gated(&gates);
        let masked = rows(&masked.logits(&ids, ids.len()).expect("masked logits").detach());
        let cut = run.extract().expect("extracted");
        let gap = distance(&masked, &ours(&cut, &ids)) / largest(&masked);
        println!("{}: masked beside extracted, share of the largest {gap:.1e}", source.name);
        assert!(gap <= FOLDED, "{}: logits differ by {gap:e}", source.name);
        let moved = distance(&masked, &ours(&source, &ids));
        assert!(moved > 1e-2, "{}: pruning moves the logits by {moved:e} only", source.name);
    }
}

#[test]
fn an_exported_folder_opens_in_our_loader_and_in_an_independent_llama() {
    for source in sources() {
        let cut = in_mid_training(&source).extract().expect("extracted");
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("sheared");
        cut.save(&dir, &SaveOptions::default()).expect("saved");
        let ids = ids(source.config.vocab, 96);
        let measured = ours(&cut, &ids);
        let again = distance(&measured, &ours(&load(&dir), &ids));
        assert!(again <= SAME, "{}: our own loader is off by {again:e}", source.name);
        let gap = distance(&measured, &theirs(&dir, &ids));
        println!("{}: export beside candle-transformers {gap:.1e}", source.name);
        assert!(gap <= INDEPENDENT, "{}: logits differ by {gap:e}", source.name);
    }
}

#[test]
fn an_exported_folder_says_what_it_is_and_where_it_comes_from() {
    for source in sources() {
        let run = in_mid_training(&source);
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("sheared");
        run.extract().expect("extracted").save(&dir, &SaveOptions::default()).expect("saved");

        let config = json(&dir.join("config.json"));
        for (field, value) in [
            ("hidden_size", 48),
            ("num_attention_heads", heads(&source).0),
            ("num_key_value_heads", heads(&source).1),
            ("head_dim", 8),
            ("intermediate_size", 128),
            ("num_hidden_layers", source.config.layers - 1),
            ("vocab_size", source.config.vocab),
        ] {
            assert_eq!(config[field], value, "{field}");
        }
        assert_eq!(config["tie_word_embeddings"], true);
        assert_eq!(config["architectures"][0], source.config.family.architecture());

        let bytes = std::fs::read(dir.join("model.safetensors")).expect("weights");
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a sound header");
        let names: Vec<String> = header.tensors().into_keys().collect();
        assert!(!names.iter().any(|n| n == "lm_head.weight"), "a tied head is not stored");
        let metadata = header.metadata().clone().expect("metadata");
        let metadata: BTreeMap<String, String> = metadata.into_iter().collect();
        for (key, value) in [
            ("format", "pt".to_string()),
            ("woolshed.sheared.parent", source.name.clone()),
            ("woolshed.sheared.parent_shape", source.shape().to_string()),
            ("woolshed.sheared.steps", "8".to_string()),
            ("woolshed.sheared.tokens", (8 * 4 * 32).to_string()),
            ("woolshed.sheared.seed", "17".to_string()),
            ("woolshed.sheared.data_sha256", run.loader().domains().hash.clone()),
        ] {
            assert_eq!(metadata.get(key), Some(&value), "{key} in {metadata:?}");
        }

        let tokenizer = load(&dir);
        let tokenizer = tokenizer.tokenizer().expect("the export has its tokenizer");
        let before = source.tokenizer().expect("a tokenizer").bytes();
        assert_eq!(tokenizer.bytes(), before, "the tokenizer is the source's, byte for byte");
        let ends = json(&dir.join("generation_config.json"));
        assert_eq!(ends["bos_token_id"], source.config.bos.expect("bos"));
        assert!(json(&dir.join("tokenizer_config.json"))["eos_token"].is_string());
    }
}

#[test]
fn a_cut_model_of_every_family_opens_in_our_loader_and_in_an_independent_one() {
    for (family, attention_bias) in [
        (Family::Llama, false),
        (Family::Mistral, false),
        (Family::Qwen2, true),
        (Family::Qwen3, false),
        (Family::Qwen3, true),
    ] {
        let mut source = grouped(family, attention_bias);
        if family == Family::Mistral {
            // The independent Mistral knows no tied head.
            let weights = Weights::clone(&source.weights);
            let head = Some(weights.embed.clone());
            source.weights = Arc::new(Weights { head, ..weights });
            source.config.tied = false;
        }
        // One of the two query heads of every group goes, and hidden 24 = 3 heads of 8 stays square,
        // as the independent Llama and Qwen2 want it.
        let target = TargetShape {
            layers: Some(2),
            hidden: Some(24),
            heads: Some(3),
            kv_heads: Some(3),
            intermediate: Some(64),
        };
        let cut = source.random_cut(&target, 17).expect("a legal target");
        let opens = target.check(&source.shape()).loaders;
        assert!(opens.iter().all(|loader| loader.opens), "{family}: {opens:?}");
        let folder = tempfile::tempdir().expect("a folder");
        cut.save(folder.path(), &SaveOptions::default()).expect("saved");
        let config = json(&folder.path().join("config.json"));
        assert_eq!(config["model_type"], family.name());
        assert_eq!(config["architectures"][0], family.architecture());
        let ids = ids(source.config.vocab, 96);
        let measured = ours(&cut, &ids);
        let back = load(folder.path());
        assert_eq!(back.config, cut.config);
        assert_eq!(back.parameters(), cut.shape().parameters());
        let again = distance(&measured, &ours(&back, &ids));
        assert!(again <= SAME, "{family}: our own loader is off by {again:e}");
        let gap = distance(&measured, &theirs(folder.path(), &ids));
        println!("{family} {attention_bias}: cut beside candle-transformers {gap:.1e}");
        assert!(gap <= INDEPENDENT, "{family}: logits differ by {gap:e}");
    }
}
