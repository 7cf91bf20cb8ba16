//! The script that makes a run or a model again from nothing, printed from its origin alone.
//!
//! Equal parts stand once. Whatever is not a default is written; seeds always are, because a session
//! may bring its own. The journal becomes calls in their order, and the last line compares hashes.

use serde_json::Value;
use woolshed_engine::data::{DataOrigin, DomainOptions};
use woolshed_engine::digest::Digest;
use woolshed_engine::gate::GatePlace;
use woolshed_engine::model::{Model, ModelOrigin};
use woolshed_engine::run::{
    Changes, Edit, How, Operation, Reference, RunOrigin, ShearOptions, TrainOptions,
};
use woolshed_engine::shape::TargetShape;
use woolshed_engine::train::Distill;

use super::literal::{float, floats, options, text};
use super::models::{LlamaSizes, demo_language};

/// Why there is no script.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecipeError {
    /// A model that a program put together.
    #[error(
        "no script can make this again: its model was put together by a program, which alone knows how; save that model to a folder and start from there"
    )]
    UnknownModel,
    /// Domains that a program put together.
    #[error(
        "no script can make this again: its domains were put together by a program, which alone knows how; write them to a folder and start from there"
    )]
    UnknownDomains,
    /// A value that scripts have no word for.
    #[error(
        "no script can make this again: {what} is {value}, and a script can only have {can}; start the run with that"
    )]
    NoWord {
        /// What has the value.
        what: String,
        /// The value.
        value: String,
        /// What a script can have.
        can: String,
    },
    /// An origin that JSON cannot hold, or that is none.
    #[error("the origin of a model or run cannot be read: {0}")]
    Origin(#[from] serde_json::Error),
}

type Written<T> = Result<T, RecipeError>;

/// Largest script that goes into the metadata of an exported model, bytes.
const CARRIED: usize = 256 << 10;

/// Gives the script of a run whose hash is `hash`.
pub(super) fn of_run(origin: &RunOrigin, hash: &str) -> Written<String> {
    let mut script = Script::default();
    let run = script.run(origin)?;
    Ok(script.finish("run", &run, hash, &origin.version))
}

/// Gives the script of a model whose hash is `hash`.
pub(super) fn of_model(origin: &ModelOrigin, hash: &str) -> Written<String> {
    let mut script = Script::default();
    let model = script.model(origin)?;
    Ok(script.finish("model", &model, hash, env!("CARGO_PKG_VERSION")))
}

/// Writes the script of an extracted model into its provenance: the text, or its SHA-256 where it is
/// too long, or why there is none.
pub(super) fn attach(model: &mut Model) {
    model.provenance.retain(|(key, _)| !matches!(key.as_str(), "script" | "script_sha256"));
    let script = model.digest().map_err(|error| error.to_string());
    let script =
        script.and_then(|hash| of_model(&model.origin, &hash).map_err(|error| error.to_string()));
    let (key, value) = match script {
        Ok(script) if script.len() <= CARRIED => ("script", script),
        Ok(script) => {
            let mut digest = Digest::default();
            digest.text(&script);
            let note = format!("{} ({} bytes, too long to carry)", digest.hex(), script.len());
            ("script_sha256", note)
        }
        Err(why) => ("script", format!("// {why}\n")),
    };
    model.provenance.push((key.to_string(), value));
}

/// A script while it is written: its lines, and the variables of what it has made so far.
#[derive(Default)]
struct Script {
    lines: Vec<String>,
    models: Vec<(ModelOrigin, String)>,
    domains: Vec<(DataOrigin, String, String)>,
    runs: Vec<(RunOrigin, String)>,
}

/// The variable of the part number `n` of its kind.
fn variable(what: &str, n: usize) -> String {
    if n == 0 { what.to_string() } else { format!("{what}_{}", n + 1) }
}

impl Script {
    fn finish(self, what: &str, name: &str, hash: &str, version: &str) -> String {
        let mut out = format!(
            "// Makes a {what} again from nothing: woolshed run FILE.rhai\n\
             // Printed by woolshed {version}. The hash holds on one machine with one number of threads;\n\
             // elsewhere sums may round in another order and the last digits differ.\n\n"
        );
        for line in &self.lines {
            out.push_str(line);
            out.push('\n');
        }
        out.push_str(&self::check(name, hash, what));
        out
    }

    /// Writes a model and gives its variable.
    fn model(&mut self, origin: &ModelOrigin) -> Written<String> {
        if let Some((_, name)) = self.models.iter().find(|(made, _)| made == origin) {
            return Ok(name.clone());
        }
        let made = match origin {
            ModelOrigin::Demo => "load_model(\"demo\")".to_string(),
            ModelOrigin::Folder { path } => {
                format!("load_model({})", text(&path.display().to_string()))
            }
            ModelOrigin::Hub { id, commit } => {
                let at = options(&[("revision", text(commit))]);
                format!("load_model({}, {at})", text(id))
            }
            ModelOrigin::Random { config, seed } => format!("new_model({})", sizes(config, *seed)?),
            ModelOrigin::RandomCut { of, target, seed } => {
                let of = self.model(of)?;
                let at = options(&[("seed", whole("the seed of a random cut", *seed)?)]);
                format!("{of}.random_cut({}, {at})", shape(target))
            }
            ModelOrigin::MagnitudeCut { of, target } => {
                let of = self.model(of)?;
                format!("{of}.magnitude_cut({})", shape(target))
            }
            ModelOrigin::Extracted { run } => {
                let origin: RunOrigin = serde_json::from_value(Value::clone(run))?;
                format!("{}.extract()", self.run(&origin)?)
            }
            ModelOrigin::Unknown => return Err(RecipeError::UnknownModel),
        };
        let name = variable("model", self.models.len());
        self.lines.push(format!("let {name} = {made};"));
        self.models.push((origin.clone(), name.clone()));
        Ok(name)
    }

    /// Writes domains, read by the tokenizer of `model`, and gives their variable.
    fn domains(&mut self, origin: &DataOrigin, model: &str) -> Written<String> {
        // Demo domains bring their own tokenizer; text is read by the model's.
        let same = |(made, of, _): &&(DataOrigin, String, String)| {
            made == origin && (of == model || matches!(origin, DataOrigin::Demo { .. }))
        };
        if let Some((_, _, name)) = self.domains.iter().find(same) {
            return Ok(name.clone());
        }
        let (from, how) = match origin {
            DataOrigin::Demo { options, seed } => {
                let mut how = rows(options)?;
                how.push(("seed", whole("the seed of the demo domains", *seed)?));
                ("\"demo\"".to_string(), how)
            }
            DataOrigin::Folder { path, options } => {
                let mut how = rows(options)?;
                how.push(("model", model.to_string()));
                (text(&path.display().to_string()), how)
            }
            DataOrigin::Hub { id, commit, choice, options } => {
                let mut how = rows(options)?;
                how.push(("model", model.to_string()));
                how.push(("revision", text(commit)));
                add(&mut how, "path", choice.path.as_deref().map(text));
                add(&mut how, "files", choice.files.map(|n| n.to_string()));
                (text(id), how)
            }
            DataOrigin::Texts { texts, options } => {
                let mut how = rows(options)?;
                how.push(("model", model.to_string()));
                (documents(texts)?, how)
            }
            DataOrigin::Unknown => return Err(RecipeError::UnknownDomains),
        };
        let name = variable("domains", self.domains.len());
        self.lines.push(format!("let {name} = load_domains({from}, {});", options(&how)));
        self.domains.push((origin.clone(), model.to_string(), name.clone()));
        Ok(name)
    }

    /// Writes a run with everything that was done to it and gives its variable.
    fn run(&mut self, origin: &RunOrigin) -> Written<String> {
        if let Some((_, name)) = self.runs.iter().find(|(made, _)| made == origin) {
            return Ok(name.clone());
        }
        let model = self.model(&origin.model)?;
        // What lies outside this script may have changed; say so before hours of training.
        if outside(&origin.model) {
            self.lines.push(check(&model, &origin.model_sha256, "model").trim_end().to_string());
        }
        let teacher = origin.teacher.as_ref().map(|teacher| {
            let name = self.model(&teacher.model)?;
            if outside(&teacher.model) {
                self.lines.push(check(&name, &teacher.sha256, "teacher").trim_end().to_string());
            }
            Written::Ok(name)
        });
        let teacher = teacher.transpose()?;
        let domains = self.domains(&origin.domains, &model)?;
        if matches!(origin.domains, DataOrigin::Folder { .. } | DataOrigin::Hub { .. }) {
            self.lines.push(check(&domains, &origin.data_sha256, "text").trim_end().to_string());
        }
        let mut pairs = train(&origin.train)?;
        add(&mut pairs, "teacher", teacher);
        let start = match &origin.how {
            How::Recover => format!("recover({model}, {domains}, {})", options(&pairs)),
            How::Shear { target, options: gates } => {
                pairs.extend(shear(gates)?);
                format!("prune({model}, {}, {domains}, {})", shape(target), options(&pairs))
            }
        };
        let name = variable("run", self.runs.len());
        self.lines.push(format!("let {name} = {start};"));
        for operation in origin.journal.operations() {
            self.lines.push(format!("{name}.{};", call(operation)?));
        }
        self.runs.push((origin.clone(), name.clone()));
        Ok(name)
    }
}

/// Whether a model comes from a place that can change.
fn outside(origin: &ModelOrigin) -> bool {
    matches!(origin, ModelOrigin::Folder { .. } | ModelOrigin::Hub { .. })
}

fn check(name: &str, hash: &str, what: &str) -> String {
    format!(
        "if {name}.hash() != \"{hash}\" {{\n    throw \"this {what} is not the one the script was printed from: its hash is \" + {name}.hash();\n}}\n"
    )
}

/// A whole number that scripts can hold.
fn whole(what: &str, n: u64) -> Written<String> {
    match i64::try_from(n) {
        Ok(n) => Ok(n.to_string()),
        Err(_) => Err(no_word(what, n, "whole numbers up to 9223372036854775807")),
    }
}

fn no_word(what: &str, value: impl ToString, can: impl ToString) -> RecipeError {
    RecipeError::NoWord { what: what.to_string(), value: value.to_string(), can: can.to_string() }
}

/// Options of a call: keys with their values as the language writes them.
type Pairs = Vec<(&'static str, String)>;

fn add(pairs: &mut Pairs, key: &'static str, value: Option<String>) {
    pairs.extend(value.map(|value| (key, value)));
}

/// Refuses fields that differ from their default and are not among those that are `written`.
fn only<T: serde::Serialize>(what: &str, of: &T, default: &T, written: &[&str]) -> Written<()> {
    let (of, default) = (serde_json::to_value(of)?, serde_json::to_value(default)?);
    for (key, value) in of.as_object().into_iter().flatten() {
        if !written.contains(&key.as_str()) && *value != default[key] {
            return Err(no_word(&format!("`{key}` of {what}"), value, &default[key]));
        }
    }
    Ok(())
}

/// A value that differs from its default.
fn other(value: f64, default: f64) -> Option<String> {
    (value.to_bits() != default.to_bits()).then(|| float(value))
}

/// How documents become rows; the length of a row is always written.
fn rows(o: &DomainOptions) -> Written<Pairs> {
    let default = DomainOptions::default();
    let written = [
        "seq_len",
        "eval_fraction",
        "eval_rows",
        "max_tokens",
        "text_field",
        "tokens_field",
        "token_type",
    ];
    only("the domains", o, &default, &written)?;
    let mut pairs = vec![("seq_len", o.seq_len.to_string())];
    add(&mut pairs, "eval_fraction", other(o.eval_fraction, default.eval_fraction));
    if o.eval_rows != default.eval_rows {
        pairs.push(("eval_rows", whole("`eval_rows`", o.eval_rows as u64)?));
    }
    let most = o.max_tokens.map(|n| whole("`max_tokens`", n as u64)).transpose()?;
    add(&mut pairs, "max_tokens", most);
    let field = |name: &str, default: &str| (name != default).then(|| text(name));
    add(&mut pairs, "text_field", field(&o.text_field, &default.text_field));
    add(&mut pairs, "tokens_field", field(&o.tokens_field, &default.tokens_field));
    add(&mut pairs, "token_type", o.token_type.map(|kind| text(kind.name())));
    Ok(pairs)
}

/// Texts by domain. A script's map orders its keys, and the order of domains counts.
fn documents(texts: &[(String, Vec<String>)]) -> Written<String> {
    if !texts.is_sorted_by(|a, b| a.0 < b.0) {
        let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
        return Err(no_word(
            "the order of the domains",
            names.join(", "),
            "the order of the names",
        ));
    }
    let domain = |(name, texts): &(String, Vec<String>)| {
        let list: Vec<String> = texts.iter().map(|document| text(document)).collect();
        format!("    {}: [\n        {}\n    ]", text(name), list.join(",\n        "))
    };
    let domains: Vec<String> = texts.iter().map(domain).collect();
    Ok(format!("#{{\n{}\n}}", domains.join(",\n")))
}

/// The options of `new_model` that make `config`.
fn sizes(config: &Value, seed: u64) -> Written<String> {
    let size = |key: &str| config[key].as_u64().unwrap_or(0) as usize;
    let sizes = LlamaSizes {
        layers: size("num_hidden_layers"),
        hidden: size("hidden_size"),
        heads: size("num_attention_heads"),
        kv_heads: size("num_key_value_heads"),
        head_dim: size("head_dim"),
        intermediate: size("intermediate_size"),
        max_positions: size("max_position_embeddings"),
    };
    let mut pairs: Pairs = vec![
        ("layers", sizes.layers.to_string()),
        ("hidden", sizes.hidden.to_string()),
        ("heads", sizes.heads.to_string()),
        ("kv_heads", sizes.kv_heads.to_string()),
        ("head_dim", sizes.head_dim.to_string()),
        ("intermediate", sizes.intermediate.to_string()),
        ("max_positions", sizes.max_positions.to_string()),
    ];
    pairs.push(("seed", whole("the seed of a new model", seed)?));
    let can = demo_language(sizes).to_json();
    let keys = config.as_object().into_iter().flatten();
    for (key, value) in keys {
        if can[key] != *value {
            return Err(no_word(&format!("`{key}` of the new model"), value, &can[key]));
        }
    }
    Ok(options(&pairs))
}

/// A target shape.
fn shape(target: &TargetShape) -> String {
    let TargetShape { layers, hidden, heads, kv_heads, intermediate } = *target;
    let sizes = [
        ("layers", layers),
        ("hidden", hidden),
        ("heads", heads),
        ("kv_heads", kv_heads),
        ("intermediate", intermediate),
    ];
    let given = sizes.into_iter().filter_map(|(key, n)| Some((key, n?.to_string())));
    format!("target_shape({})", options(&given.collect::<Pairs>()))
}

/// The options of every run that are no defaults, and the seed.
fn train(o: &TrainOptions) -> Written<Pairs> {
    let default = TrainOptions::default();
    let written = [
        "steps",
        "batch",
        "accumulate",
        "recompute",
        "elastic",
        "distill",
        "lora",
        "seed",
        "lr",
        "lr_warmup",
        "lr_floor",
        "clip",
        "adam",
        "eval_every",
        "rule",
        "mixture",
        "reference",
        "eta",
        "smoothing",
        "bounds",
        "path",
    ];
    only("the run", o, &default, &written)?;
    if o.adam.eps.to_bits() != default.adam.eps.to_bits() {
        return Err(no_word("Adam's epsilon", o.adam.eps, default.adam.eps));
    }
    let mut pairs = vec![
        ("steps", whole("`steps`", o.steps)?),
        ("batch", whole("`batch`", o.batch as u64)?),
        ("seed", whole("`seed`", o.seed)?),
    ];
    if o.accumulate != default.accumulate {
        pairs.push(("accumulate", whole("`accumulate`", o.accumulate as u64)?));
    }
    if o.recompute != default.recompute {
        pairs.push(("recompute", o.recompute.to_string()));
    }
    if o.elastic != default.elastic {
        pairs.push(("elastic", o.elastic.to_string()));
    }
    add(
        &mut pairs,
        "distill",
        o.distill.map(|distill| {
            let Distill { weight, temperature } = distill;
            options(&[("weight", float(weight)), ("temperature", float(temperature))])
        }),
    );
    add(
        &mut pairs,
        "lora",
        o.lora.as_ref().map(|lora| {
            let targets: Vec<String> = lora.targets.iter().map(|t| text(t.name())).collect();
            options(&[
                ("rank", lora.rank.to_string()),
                ("alpha", float(lora.alpha)),
                ("targets", format!("[{}]", targets.join(", "))),
            ])
        }),
    );
    add(&mut pairs, "lr", other(o.lr, default.lr));
    add(&mut pairs, "lr_warmup", o.lr_warmup.map(|n| whole("`lr_warmup`", n)).transpose()?);
    add(&mut pairs, "lr_floor", other(o.lr_floor, default.lr_floor));
    add(&mut pairs, "clip", other(o.clip, default.clip));
    add(&mut pairs, "beta1", other(o.adam.betas.0, default.adam.betas.0));
    add(&mut pairs, "beta2", other(o.adam.betas.1, default.adam.betas.1));
    add(&mut pairs, "weight_decay", other(o.adam.weight_decay, default.adam.weight_decay));
    if o.eval_every != default.eval_every {
        pairs.push(("eval_every", whole("`eval_every`", o.eval_every)?));
    }
    if o.rule != default.rule {
        pairs.push(("rule", text(o.rule.name())));
    }
    add(&mut pairs, "mixture", o.mixture.as_deref().map(floats));
    match &o.reference {
        Reference::Source => {}
        Reference::Floor => pairs.push(("reference", text("floor"))),
        Reference::Losses(losses) => pairs.push(("reference", floats(losses))),
        Reference::Scaling { parameters, known } => {
            let mut how = Pairs::new();
            add(&mut how, "parameters", parameters.map(float));
            if let Some(known) = known {
                let of = |(name, losses): (&String, &[f64; 3])| {
                    format!("{}: {}", text(name), floats(losses))
                };
                let losses: Vec<String> = known.names.iter().zip(&known.losses).map(of).collect();
                how.push(("sizes", floats(&known.sizes)));
                how.push(("losses", format!("#{{{}}}", losses.join(", "))));
            }
            pairs.push(("reference", options(&[("scaling", options(&how))])));
        }
    }
    add(&mut pairs, "eta", other(o.eta, default.eta));
    add(&mut pairs, "smoothing", other(o.smoothing, default.smoothing));
    add(&mut pairs, "floor", other(o.bounds.floor, default.bounds.floor));
    add(&mut pairs, "ceiling", other(o.bounds.ceiling, default.bounds.ceiling));
    if !o.path.is_empty() {
        let path: Vec<String> = o.path.iter().map(|weights| floats(weights)).collect();
        pairs.push(("path", format!("[{}]", path.join(", "))));
    }
    Ok(pairs)
}

/// The options of gates that are no defaults.
fn shear(o: &ShearOptions) -> Written<Pairs> {
    let default = ShearOptions::default();
    let written = [
        "gates",
        "gate_lr",
        "multiplier_lr",
        "sparsity_warmup",
        "mask_embeddings",
        "sparsity",
        "distribution",
    ];
    only("the run", o, &default, &written)?;
    let mut distribution = default.distribution;
    distribution.temperature = o.distribution.temperature;
    if o.distribution != distribution {
        let value = format!("{:?}", o.distribution);
        return Err(no_word("the distribution of the gates", value, format!("{distribution:?}")));
    }
    let mut pairs = Pairs::new();
    if let Some(kinds) = &o.gates {
        let names: Vec<String> = kinds.iter().map(|kind| text(kind.name())).collect();
        pairs.push(("gates", format!("[{}]", names.join(", "))));
    }
    add(&mut pairs, "gate_lr", other(o.gate_lr, default.gate_lr));
    add(&mut pairs, "multiplier_lr", other(o.multiplier_lr, default.multiplier_lr));
    let warmup = o.sparsity_warmup.map(|n| whole("`sparsity_warmup`", n)).transpose()?;
    add(&mut pairs, "sparsity_warmup", warmup);
    if o.mask_embeddings != default.mask_embeddings {
        pairs.push(("mask_embeddings", o.mask_embeddings.to_string()));
    }
    add(&mut pairs, "sparsity", o.sparsity.map(float));
    let temperature = o.distribution.temperature;
    add(&mut pairs, "temperature", other(temperature, default.distribution.temperature));
    Ok(pairs)
}

/// One operation of a journal as a call on its run.
fn call(operation: &Operation) -> Written<String> {
    Ok(match operation {
        Operation::Step { steps } => format!("step({})", whole("a number of steps", *steps)?),
        Operation::Evaluate => "evaluate()".into(),
        Operation::Edit(Edit::Hold { gates, open }) => {
            format!("hold({}, \"{}\")", places(gates), if *open { "open" } else { "closed" })
        }
        Operation::Edit(Edit::Release { gates }) => format!("release({})", places(gates)),
        Operation::Edit(Edit::LogAlpha { gate, value }) => {
            format!("set_log_alpha({}, {})", place(gate), float(*value))
        }
        Operation::Edit(Edit::Target { target }) => format!("set_target({})", shape(target)),
        Operation::Edit(Edit::Set(changes)) => format!("set({})", options(&changed(changes)?)),
    })
}

/// A gate as arguments.
fn place(gate: &GatePlace) -> String {
    let kind = text(gate.kind.name());
    match gate.kind.one_row() {
        true => format!("{kind}, {}", gate.index),
        false => format!("{kind}, {}, {}", gate.row, gate.index),
    }
}

/// Gates as arguments: one by itself, others in brackets.
fn places(gates: &[GatePlace]) -> String {
    if let [one] = gates {
        return place(one);
    }
    let list: Vec<String> = gates.iter().map(|gate| format!("[{}]", place(gate))).collect();
    format!("[{}]", list.join(", "))
}

fn changed(c: &Changes) -> Written<Pairs> {
    let mut pairs = Pairs::new();
    let count = |what, n: Option<u64>| n.map(|n| whole(what, n)).transpose();
    add(&mut pairs, "steps", count("`steps`", c.steps)?);
    add(&mut pairs, "batch", count("`batch`", c.batch.map(|n| n as u64))?);
    add(&mut pairs, "accumulate", count("`accumulate`", c.accumulate.map(|n| n as u64))?);
    add(&mut pairs, "recompute", c.recompute.map(|on| on.to_string()));
    add(&mut pairs, "elastic", c.elastic.map(|on| on.to_string()));
    add(&mut pairs, "lr", c.lr.map(float));
    add(&mut pairs, "lr_warmup", count("`lr_warmup`", c.lr_warmup)?);
    add(&mut pairs, "lr_floor", c.lr_floor.map(float));
    add(&mut pairs, "clip", c.clip.map(float));
    add(&mut pairs, "gate_lr", c.gate_lr.map(float));
    add(&mut pairs, "multiplier_lr", c.multiplier_lr.map(float));
    add(&mut pairs, "sparsity_warmup", count("`sparsity_warmup`", c.sparsity_warmup)?);
    add(&mut pairs, "sparsity", c.sparsity.map(float));
    add(&mut pairs, "eval_every", count("`eval_every`", c.eval_every)?);
    add(&mut pairs, "rule", c.rule.map(|rule| text(rule.name())));
    add(&mut pairs, "eta", c.eta.map(float));
    add(&mut pairs, "smoothing", c.smoothing.map(float));
    add(&mut pairs, "floor", c.floor.map(float));
    add(&mut pairs, "ceiling", c.ceiling.map(float));
    add(&mut pairs, "mixture", c.mixture.as_deref().map(floats));
    add(&mut pairs, "reference", c.reference.as_deref().map(floats));
    let written: Vec<&str> = pairs.iter().map(|(key, _)| *key).collect();
    only("an edit", c, &Changes::default(), &written)?;
    Ok(pairs)
}
