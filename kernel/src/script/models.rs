//! Script functions of models.

use std::path::Path;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, ImmutableString, Map, NativeCallContext};
use woolshed_engine::model::checkpoint::LoadOptions;
use woolshed_engine::model::generate::GenerateOptions;
use woolshed_engine::model::save::SaveOptions;
use woolshed_engine::model::{Family, LlamaConfig, Model, Tokenizer};
use woolshed_engine::{data::demo, device, judge, model};

use super::domains::DomainsHandle;
use super::model_lists::{GENERATE, LOAD_MODEL, NEW_MODEL, RANDOM_CUT, SAMPLE, SAVE};
use super::option_list::OptionList;
use super::options::{Options, whole};
use super::remote::hub_options;
use super::shapes::TargetHandle;
use super::{ScriptResult, convert, fail, host, raise, recipe};

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<Model>("Model");
    super::register_global(rhai, exported_module!(functions));
}

fn generate_options(
    ctx: &NativeCallContext,
    list: &'static OptionList,
    map: Map,
) -> ScriptResult<GenerateOptions> {
    let options = Options::new(list, map)?;
    let of = list.of;
    let default = GenerateOptions::default();
    let (top_k, top_p) = (options.size("top_k")?, options.float("top_p")?);
    // Naming a sampling limit asks for sampling.
    let temperature = if top_k.is_some() || top_p.is_some() { 1.0 } else { default.temperature };
    let temperature = options.float("temperature")?.unwrap_or(temperature);
    if temperature.is_nan() || temperature < 0.0 {
        return Err(fail(format!(
            "option `temperature` of {of} is {temperature}; it must be at least 0 (0 takes the likeliest token)"
        )));
    }
    if let Some(p) = top_p
        && !(p > 0.0 && p <= 1.0)
    {
        return Err(fail(format!(
            "option `top_p` of {of} is {p}; it must be above 0 and at most 1"
        )));
    }
    if top_k == Some(0) {
        return Err(fail(format!("option `top_k` of {of} is 0; it must be at least 1")));
    }
    Ok(GenerateOptions {
        max_tokens: options.size("max_tokens")?.unwrap_or(default.max_tokens),
        temperature,
        top_k,
        top_p,
        seed: options.count("seed")?.unwrap_or(host(ctx)?.seed()),
    })
}

fn load(ctx: &NativeCallContext, spec: &str, map: Map) -> ScriptResult<Model> {
    let options = Options::new(&LOAD_MODEL, map)?;
    let host = host(ctx)?;
    let device = options.text("device")?.unwrap_or("auto".into());
    let load =
        LoadOptions { device: device::device(&device).map_err(raise)?, ..LoadOptions::default() };
    crate::pages::usual();
    let model = if spec == "demo" {
        woolshed_engine::model::demo(&load).map_err(raise)?
    } else {
        let hub = hub_options(&options)?;
        model::hub::load(spec, &hub, &load, &host).map_err(raise)?
    };
    host.progress_done(&format!("loaded {} ({} parameters)", model.name, model.parameters()));
    host.remember(&model);
    Ok(model)
}

/// The sizes that `new_model` takes.
pub(super) struct LlamaSizes {
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub intermediate: usize,
    pub max_positions: usize,
}

/// The configuration of a Llama that speaks the demo's language.
pub(super) fn demo_language(sizes: LlamaSizes) -> LlamaConfig {
    let special = demo::special();
    LlamaConfig {
        family: Family::Llama,
        attention_bias: false,
        vocab: special.vocab,
        hidden: sizes.hidden,
        intermediate: sizes.intermediate,
        layers: sizes.layers,
        heads: sizes.heads,
        kv_heads: sizes.kv_heads,
        head_dim: sizes.head_dim,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_positions: sizes.max_positions,
        tied: true,
        bos: special.bos,
        eos: special.eos.into_iter().collect(),
        dtype: "float32".into(),
    }
}

/// A model in one line.
pub(super) fn describe(model: &Model) -> String {
    format!("Model {} ({} parameters): {}", model.name, model.parameters(), model.shape())
}

fn ids_of(array: Array) -> ScriptResult<Vec<u32>> {
    array
        .iter()
        .map(|v| match whole(v) {
            Some(i) if (0..=INT::from(u32::MAX)).contains(&i) => Ok(i as u32),
            _ => Err(fail(format!("{v} is no token id; ids are whole numbers of at least 0"))),
        })
        .collect()
}

fn ids_to(ids: &[u32]) -> Array {
    ids.iter().map(|&id| convert::int(id)).collect()
}

/// Models: load, ask, save.
#[export_module]
mod functions {
    /// Loads a model: `"demo"` (inside the program, no network), a folder in Hugging Face layout, or
    /// a hub id such as `"princeton-nlp/Sheared-LLaMA-1.3B"`.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// print(model.parameters());
    /// ```
    ///
    /// A hub id is looked up in the local cache first; `HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT` and
    /// `HF_HUB_OFFLINE` are honoured.
    #[rhai_fn(return_raw)]
    pub fn load_model(ctx: NativeCallContext, spec: &str) -> ScriptResult<Model> {
        load(&ctx, spec, Map::new())
    }

    /// Loads a model with options; all but `device` are for a hub id.
    ///
    /// ```rhai
    /// let model = load_model("demo", #{device: "cpu"});
    /// ```
    #[rhai_fn(name = "load_model", return_raw)]
    pub fn load_model_with(
        ctx: NativeCallContext,
        spec: &str,
        options: Map,
    ) -> ScriptResult<Model> {
        load(&ctx, spec, options)
    }

    /// Makes a model of random weights, to train from nothing. It speaks the demo's language: its
    /// vocabulary and tokenizer are those of the demo domains.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4, intermediate: 64});
    /// print(model.shape().hidden);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn new_model(ctx: NativeCallContext, options: Map) -> ScriptResult<Model> {
        let options = Options::new(&NEW_MODEL, options)?;
        let hidden = options.size("hidden")?.unwrap_or(96);
        let heads = options.size("heads")?.unwrap_or(8);
        let config = demo_language(LlamaSizes {
            layers: options.size("layers")?.unwrap_or(4),
            hidden,
            heads,
            kv_heads: options.size("kv_heads")?.unwrap_or(heads),
            head_dim: options.size("head_dim")?.unwrap_or(hidden / heads.max(1)),
            intermediate: options.size("intermediate")?.unwrap_or(8 * hidden / 3),
            max_positions: options.size("max_positions")?.unwrap_or(512),
        });
        config.check(Path::new("new_model")).map_err(raise)?;
        let json = demo::tokenizer_json().into_bytes();
        let tokenizer =
            Tokenizer::from_bytes(Path::new("the demo tokenizer"), json).map_err(raise)?;
        let host = host(&ctx)?;
        let seed = options.count("seed")?.unwrap_or(host.seed());
        let load = LoadOptions::default();
        let model = Model::random_watched(
            "new",
            config,
            Some(tokenizer.into()),
            seed,
            load.dtype,
            &load.device,
            &host,
        )
        .map_err(raise)?;
        host.remember(&model);
        Ok(model)
    }

    /// Continues a text greedily, up to 100 tokens, and gives the whole text.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// print(model.generate("the small"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn generate(
        ctx: NativeCallContext,
        model: &mut Model,
        prompt: &str,
    ) -> ScriptResult<String> {
        generate_with(ctx, model, prompt, Map::new())
    }

    /// Continues a text and gives the whole text.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// print(model.generate("from the", #{max_tokens: 20, temperature: 0.8, seed: 1}));
    /// ```
    #[rhai_fn(global, name = "generate", pure, return_raw)]
    pub fn generate_with(
        ctx: NativeCallContext,
        model: &mut Model,
        prompt: &str,
        options: Map,
    ) -> ScriptResult<String> {
        let options = generate_options(&ctx, &GENERATE, options)?;
        let host = host(&ctx)?;
        let text = model.generate(prompt, &options, &host).map_err(raise)?;
        host.progress_done("");
        Ok(text)
    }

    /// Samples `n` documents from the model, each from its beginning. With `load_domains` it makes
    /// training data out of a model.
    ///
    /// ```rhai
    /// let texts = load_model("demo").sample(2);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn sample(ctx: NativeCallContext, model: &mut Model, n: INT) -> ScriptResult<Array> {
        sample_with(ctx, model, n, Map::new())
    }

    /// The same, with options.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let texts = model.sample(3, #{max_tokens: 20, seed: 1});
    /// print(texts.len());
    /// ```
    #[rhai_fn(global, name = "sample", pure, return_raw)]
    pub fn sample_with(
        ctx: NativeCallContext,
        model: &mut Model,
        n: INT,
        options: Map,
    ) -> ScriptResult<Array> {
        let mut map = options;
        map.entry("temperature".into()).or_insert(Dynamic::from_float(1.0));
        let options = generate_options(&ctx, &SAMPLE, map)?;
        let Some(bos) = model.config.bos else {
            return Err(fail(format!(
                "model `{}` has no BOS token, so a document has no beginning to sample from",
                model.name
            )));
        };
        let tokenizer = model.tokenizer().map_err(raise)?;
        let host = host(&ctx)?;
        let mut texts = Array::new();
        // 64 rows at once fill the cores; each batch has a seed of its own.
        for (batch, first) in (0..n.max(0)).step_by(64).enumerate() {
            let rows = (n - first).min(64) as usize;
            let seed = options.seed.wrapping_add(batch as u64);
            let sampled = model
                .generate_ids(&vec![vec![bos]; rows], &GenerateOptions { seed, ..options }, &host)
                .map_err(raise)?;
            for ids in sampled {
                texts.push(tokenizer.decode(&ids).map_err(raise)?.into());
            }
        }
        host.progress_done(&format!("sampled {n} documents from {}", model.name));
        Ok(texts)
    }

    /// Gives the loss on each domain's evaluation rows, nats/token, as a map from domain to loss.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let losses = model.loss(load_domains("demo", #{seq_len: 64, max_tokens: 8000}));
    /// print(losses.keys().len());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn loss(
        ctx: NativeCallContext,
        model: &mut Model,
        domains: DomainsHandle,
    ) -> ScriptResult<Map> {
        let host = host(&ctx)?;
        let domains = domains.for_model(model, &host)?;
        let losses = judge::model_losses(model, &domains, &host).map_err(raise)?;
        host.progress_done("");
        Ok(domains
            .names()
            .into_iter()
            .zip(losses)
            .map(|(n, l)| (n.into(), Dynamic::from_float(l)))
            .collect())
    }

    /// Gives the logits of token ids: an array with one row of V numbers a token.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let rows = model.logits([1, 5, 9]);
    /// print(rows.len());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn logits(model: &mut Model, ids: Array) -> ScriptResult<Array> {
        let logits = model.logits(&ids_of(ids)?).map_err(raise)?;
        let rows: Vec<Vec<f64>> = logits
            .to_dtype(candle_core::DType::F64)
            .and_then(|t| t.to_vec2())
            .map_err(|e| raise(woolshed_engine::model::ModelError::from(e)))?;
        let row =
            |r: Vec<f64>| Dynamic::from_array(r.into_iter().map(Dynamic::from_float).collect());
        Ok(rows.into_iter().map(row).collect())
    }

    /// Gives the dimensions as a map: `layers`, `hidden`, `heads`, `kv_heads`, `head_dim`,
    /// `intermediate`, `vocab`, `tied`.
    ///
    /// ```rhai
    /// print(load_model("demo").shape().layers);
    /// ```
    #[rhai_fn(global, pure)]
    pub fn shape(model: &mut Model) -> Map {
        convert::shape(&model.shape())
    }

    /// Counts the parameters; a tied head counts once.
    ///
    /// ```rhai
    /// print(load_model("demo").parameters());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn parameters(model: &mut Model) -> INT {
        model.parameters() as INT
    }

    /// Gives the model's name.
    ///
    /// ```rhai
    /// print(load_model("demo").name);
    /// ```
    #[rhai_fn(global, get = "name", pure)]
    pub fn name(model: &mut Model) -> ImmutableString {
        model.name.clone().into()
    }

    /// Turns a text into token ids, without BOS or EOS.
    ///
    /// ```rhai
    /// print(load_model("demo").encode("7 + 8 =").len());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn encode(model: &mut Model, text: &str) -> ScriptResult<Array> {
        let ids = model.tokenizer().and_then(|t| t.encode(text, false)).map_err(raise)?;
        Ok(ids_to(&ids))
    }

    /// Turns token ids into a text; special tokens are left out.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// print(model.decode(model.encode("7 + 8 = 1 5 ;")));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn decode(model: &mut Model, ids: Array) -> ScriptResult<String> {
        let ids = ids_of(ids)?;
        model.tokenizer().and_then(|t| t.decode(&ids)).map_err(raise)
    }

    /// Cuts the model to a random structure of the target shape: the baseline a learned structure
    /// must beat. The seed is that of the script.
    ///
    /// ```rhai
    /// print(load_model("demo").random_cut(target_shape(#{layers: 2})).shape().layers);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn random_cut(
        ctx: NativeCallContext,
        model: &mut Model,
        target: TargetHandle,
    ) -> ScriptResult<Model> {
        random_cut_with(ctx, model, target, Map::new())
    }

    /// The same, with options.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let small = model.random_cut(target_shape(#{layers: 2}), #{seed: 3});
    /// print(small.shape().layers);
    /// ```
    #[rhai_fn(global, name = "random_cut", pure, return_raw)]
    pub fn random_cut_with(
        ctx: NativeCallContext,
        model: &mut Model,
        target: TargetHandle,
        options: Map,
    ) -> ScriptResult<Model> {
        let options = Options::new(&RANDOM_CUT, options)?;
        let seed = options.count("seed")?.unwrap_or(host(&ctx)?.seed());
        model.random_cut(&target.0, seed).map_err(raise)
    }

    /// Cuts the model to the target shape and keeps the parts with the largest weights, by their L2
    /// norm: one-shot pruning without data, a second baseline.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// print(model.magnitude_cut(target_shape(#{layers: 2})).shape().layers);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn magnitude_cut(
        ctx: NativeCallContext,
        model: &mut Model,
        target: TargetHandle,
    ) -> ScriptResult<Model> {
        model.magnitude_cut(&target.0, &host(&ctx)?).map_err(raise)
    }

    /// Writes the model to a folder that usual loaders open: `config.json`, `model.safetensors`,
    /// tokenizer files. A relative folder starts at `--out`. Gives the folder.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// model.save("demo-copy");
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn save(ctx: NativeCallContext, model: &mut Model, dir: &str) -> ScriptResult<String> {
        save_with(ctx, model, dir, Map::new())
    }

    /// Writes the model to a folder, with options.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// model.save("demo-bf16", #{dtype: "bf16"});
    /// ```
    #[rhai_fn(global, name = "save", pure, return_raw)]
    pub fn save_with(
        ctx: NativeCallContext,
        model: &mut Model,
        dir: &str,
        options: Map,
    ) -> ScriptResult<String> {
        let options = Options::new(&SAVE, options)?;
        let dtype = match options.text("dtype")?.as_deref() {
            None => None,
            Some("f32" | "float32") => Some(candle_core::DType::F32),
            Some("bf16" | "bfloat16") => Some(candle_core::DType::BF16),
            Some("f16" | "float16") => Some(candle_core::DType::F16),
            Some(other) => return Err(options.no_choice("dtype", other)),
        };
        let dir = host(&ctx)?.place(dir);
        let options = SaveOptions { dtype, ..SaveOptions::default() };
        let host = host(&ctx)?;
        model.save_watched(&dir, &options, &host).map_err(raise)?;
        host.progress_done("");
        Ok(dir.display().to_string())
    }

    /// Hashes configuration and weights: 64 hexadecimal digits. Names, tokenizer and provenance do not
    /// count.
    ///
    /// ```rhai
    /// print(load_model("demo").hash());
    /// ```
    #[rhai_fn(global, name = "hash", pure, return_raw)]
    pub fn hash_of_model(model: &mut Model) -> ScriptResult<String> {
        model.digest().map_err(raise)
    }

    /// Gives the script that makes this model again from nothing, with a check of its hash at the
    /// end.
    ///
    /// ```rhai
    /// let model = load_model("demo").random_cut(target_shape(#{layers: 2}), #{seed: 3});
    /// print(model.script());
    /// ```
    #[rhai_fn(global, name = "script", pure, return_raw)]
    pub fn script_of_model(model: &mut Model) -> ScriptResult<String> {
        let hash = model.digest().map_err(raise)?;
        recipe::of_model(&model.origin, &hash).map_err(fail)
    }

    /// Says what the model is in one line.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn to_string(model: &mut Model) -> String {
        describe(model)
    }
}
