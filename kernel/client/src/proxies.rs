//! Made from the script functions by a test of the kernel (`rust/proxies.rs` there); not to be edited.
//!
//! A type for every kind of handle, its methods, and the functions that belong to none.

#![allow(clippy::len_without_is_empty, clippy::too_many_arguments)]

use crate::value::{display, text};
use crate::{Error, FromValue, Handle, Lab, Map, Result, Value};

macro_rules! proxy {
    ($name:ident) => {
        impl $name {
            /// Shows it under a cell; the notebook calls this.
            pub fn evcxr_display(&self) {
                display(self.into());
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&text(self.into()))
            }
        }

        impl FromValue for $name {
            fn from_value(value: Value) -> Result<Self> {
                match value {
                    Value::Handle(handle) if handle.kind() == stringify!($name) => Ok(Self(handle)),
                    other => {
                        Err(Error::Type { want: stringify!($name), got: other.kind().to_owned() })
                    }
                }
            }
        }

        impl From<&$name> for Value {
            fn from(proxy: &$name) -> Value {
                Value::Handle(proxy.0.clone())
            }
        }

        impl From<$name> for Value {
            fn from(proxy: $name) -> Value {
                Value::Handle(proxy.0)
            }
        }
    };
}

impl Lab {
    /// The `Model` that Rhai cells call `name`.
    pub fn model(&self, name: &str) -> Result<Model> {
        self.get(name)
    }

    /// The `TargetShape` that Rhai cells call `name`.
    pub fn target_shape(&self, name: &str) -> Result<TargetShape> {
        self.get(name)
    }

    /// The `Domains` that Rhai cells call `name`.
    pub fn domains(&self, name: &str) -> Result<Domains> {
        self.get(name)
    }

    /// The `Run` that Rhai cells call `name`.
    pub fn run(&self, name: &str) -> Result<Run> {
        self.get(name)
    }

    /// The `Sweep` that Rhai cells call `name`.
    pub fn sweep(&self, name: &str) -> Result<Sweep> {
        self.get(name)
    }

    /// The `Table` that Rhai cells call `name`.
    pub fn table(&self, name: &str) -> Result<Table> {
        self.get(name)
    }

    /// The `Chart` that Rhai cells call `name`.
    pub fn chart(&self, name: &str) -> Result<Chart> {
        self.get(name)
    }
}

/// A `Model` that lives in the kernel; clones are the same one.
#[derive(Clone, PartialEq)]
pub struct Model(Handle);

proxy!(Model);

impl Model {
    /// Turns token ids into a text; special tokens are left out.
    ///
    /// As in Rhai: `model.decode(ids: array) -> text`.
    pub fn decode(&self, ids: impl Into<Value>) -> Result<String> {
        self.0.call("decode", vec![ids.into()])?.to()
    }

    /// Turns a text into token ids, without BOS or EOS.
    ///
    /// As in Rhai: `model.encode(text: text) -> array`.
    pub fn encode(&self, text: &str) -> Result<Value> {
        self.0.call("encode", vec![text.into()])?.to()
    }

    /// Continues a text greedily, up to 100 tokens, and gives the whole text.
    ///
    /// As in Rhai: `model.generate(prompt: text) -> text`.
    pub fn generate(&self, prompt: &str) -> Result<String> {
        self.0.call("generate", vec![prompt.into()])?.to()
    }

    /// Continues a text and gives the whole text.
    ///
    /// As in Rhai: `model.generate(prompt: text, options: map) -> text`.
    pub fn generate_with(&self, prompt: &str, options: impl Into<Value>) -> Result<String> {
        self.0.call("generate", vec![prompt.into(), options.into()])?.to()
    }

    /// Hashes configuration and weights: 64 hexadecimal digits.
    ///
    /// As in Rhai: `model.hash() -> text`.
    pub fn hash(&self) -> Result<String> {
        self.0.call("hash", vec![])?.to()
    }

    /// Gives the logits of token ids: an array with one row of V numbers a token.
    ///
    /// As in Rhai: `model.logits(ids: array) -> array`.
    pub fn logits(&self, ids: impl Into<Value>) -> Result<Value> {
        self.0.call("logits", vec![ids.into()])?.to()
    }

    /// Gives the loss on each domain's evaluation rows, nats/token, as a map from domain to loss.
    ///
    /// As in Rhai: `model.loss(domains: Domains) -> map`.
    pub fn loss(&self, domains: &Domains) -> Result<Map> {
        self.0.call("loss", vec![domains.into()])?.to()
    }

    /// Cuts the model to the target shape and keeps the parts with the largest weights, by their L2 norm: one-shot pruning without data, a second baseline.
    ///
    /// As in Rhai: `model.magnitude_cut(target: TargetShape) -> Model`.
    pub fn magnitude_cut(&self, target: &TargetShape) -> Result<Model> {
        self.0.call("magnitude_cut", vec![target.into()])?.to()
    }

    /// Gives the model's name.
    ///
    /// As in Rhai: `model.name -> text`.
    pub fn name(&self) -> Result<String> {
        self.0.property("name")?.to()
    }

    /// Counts the parameters; a tied head counts once.
    ///
    /// As in Rhai: `model.parameters() -> int`.
    pub fn parameters(&self) -> Result<i64> {
        self.0.call("parameters", vec![])?.to()
    }

    /// Cuts the model to a random structure of the target shape: the baseline a learned structure must beat.
    ///
    /// As in Rhai: `model.random_cut(target: TargetShape) -> Model`.
    pub fn random_cut(&self, target: &TargetShape) -> Result<Model> {
        self.0.call("random_cut", vec![target.into()])?.to()
    }

    /// The same, with options.
    ///
    /// As in Rhai: `model.random_cut(target: TargetShape, options: map) -> Model`.
    pub fn random_cut_with(
        &self,
        target: &TargetShape,
        options: impl Into<Value>,
    ) -> Result<Model> {
        self.0.call("random_cut", vec![target.into(), options.into()])?.to()
    }

    /// Samples `n` documents from the model, each from its beginning.
    ///
    /// As in Rhai: `model.sample(n: int) -> array`.
    pub fn sample(&self, n: i64) -> Result<Value> {
        self.0.call("sample", vec![n.into()])?.to()
    }

    /// The same, with options.
    ///
    /// As in Rhai: `model.sample(n: int, options: map) -> array`.
    pub fn sample_with(&self, n: i64, options: impl Into<Value>) -> Result<Value> {
        self.0.call("sample", vec![n.into(), options.into()])?.to()
    }

    /// Writes the model to a folder that usual loaders open: `config.json`, `model.safetensors`, tokenizer files.
    ///
    /// As in Rhai: `model.save(dir: text) -> text`.
    pub fn save(&self, dir: &str) -> Result<String> {
        self.0.call("save", vec![dir.into()])?.to()
    }

    /// Writes the model to a folder, with options.
    ///
    /// As in Rhai: `model.save(dir: text, options: map) -> text`.
    pub fn save_with(&self, dir: &str, options: impl Into<Value>) -> Result<String> {
        self.0.call("save", vec![dir.into(), options.into()])?.to()
    }

    /// Gives the script that makes this model again from nothing, with a check of its hash at the end.
    ///
    /// As in Rhai: `model.script() -> text`.
    pub fn script(&self) -> Result<String> {
        self.0.call("script", vec![])?.to()
    }

    /// Gives the dimensions as a map: `layers`, `hidden`, `heads`, `kv_heads`, `head_dim`, `intermediate`, `vocab`, `tied`.
    ///
    /// As in Rhai: `model.shape() -> map`.
    pub fn shape(&self) -> Result<Map> {
        self.0.call("shape", vec![])?.to()
    }
}

/// A `TargetShape` that lives in the kernel; clones are the same one.
#[derive(Clone, PartialEq)]
pub struct TargetShape(Handle);

proxy!(TargetShape);

impl TargetShape {
    /// Says what the target means for a model, before anything is trained: `ok`, `problems` (each with `field`, `value`, `why` and `nearest`), the resulting `shape`, `parameters`, `prunable_left` and which `loaders` open the result.
    ///
    /// As in Rhai: `target.check(model: Model) -> map`.
    pub fn check(&self, model: &Model) -> Result<Map> {
        self.0.call("check", vec![model.into()])?.to()
    }
}

/// A `Domains` that lives in the kernel; clones are the same one.
#[derive(Clone, PartialEq)]
pub struct Domains(Handle);

proxy!(Domains);

impl Domains {
    /// Gives the lowest reachable loss of each domain where it is known, nats/token.
    ///
    /// As in Rhai: `domains.floor() -> map`.
    pub fn floor(&self) -> Result<Map> {
        self.0.call("floor", vec![])?.to()
    }

    /// Hashes the domains' rows: 64 hexadecimal digits.
    ///
    /// As in Rhai: `domains.hash() -> text`.
    pub fn hash(&self) -> Result<String> {
        self.0.call("hash", vec![])?.to()
    }

    /// Lists the domains' names.
    ///
    /// As in Rhai: `domains.names() -> array`.
    pub fn names(&self) -> Result<Value> {
        self.0.call("names", vec![])?.to()
    }

    /// Gives a table of the domains: documents, rows, tokens, floor.
    ///
    /// As in Rhai: `domains.table() -> Table`.
    pub fn table(&self) -> Result<Table> {
        self.0.call("table", vec![])?.to()
    }
}

/// A `Run` that lives in the kernel; clones are the same one.
#[derive(Clone, PartialEq)]
pub struct Run(Handle);

proxy!(Run);

impl Run {
    /// Saves the run into a folder every 50 steps from now on.
    ///
    /// As in Rhai: `run.autosave(dir: text)`.
    pub fn autosave(&self, dir: &str) -> Result<()> {
        self.0.call("autosave", vec![dir.into()])?.to()
    }

    /// Saves the run into a folder every few steps from now on.
    ///
    /// As in Rhai: `run.autosave(dir: text, options: map)`.
    pub fn autosave_with(&self, dir: &str, options: impl Into<Value>) -> Result<()> {
        self.0.call("autosave", vec![dir.into(), options.into()])?.to()
    }

    /// Gives the evaluation with the lowest mean loss over the domains: `step` and `loss`, nats/token.
    ///
    /// As in Rhai: `run.best() -> any`.
    pub fn best(&self) -> Result<Value> {
        self.0.call("best", vec![])?.to()
    }

    /// Gives the model of the evaluation that `best` names, from its snapshot or by taking the steps from an earlier one again.
    ///
    /// As in Rhai: `run.best_model() -> Model`.
    pub fn best_model(&self) -> Result<Model> {
        self.0.call("best_model", vec![])?.to()
    }

    /// Compares the masked model with the cut one, place by place, on a few evaluation rows of each domain.
    ///
    /// As in Rhai: `run.check() -> Table`.
    pub fn check(&self) -> Result<Table> {
        self.0.call("check", vec![])?.to()
    }

    /// Gives a table of the domains over time, a row an evaluation and domain: weight, loss, reference, excess, tokens drawn.
    ///
    /// As in Rhai: `run.domain_history() -> Table`.
    pub fn domain_history(&self) -> Result<Table> {
        self.0.call("domain_history", vec![])?.to()
    }

    /// Draws the loss of each domain over the evaluations, its reference dashed.
    ///
    /// As in Rhai: `run.domain_loss_chart() -> Chart`.
    pub fn domain_loss_chart(&self) -> Result<Chart> {
        self.0.call("domain_loss_chart", vec![])?.to()
    }

    /// Evaluates every domain out of turn, with the gates as they are now, and moves the mixture by the losses.
    ///
    /// As in Rhai: `run.evaluate() -> map`.
    pub fn evaluate(&self) -> Result<Map> {
        self.0.call("evaluate", vec![])?.to()
    }

    /// Draws the excess of each domain over the evaluations: loss minus reference.
    ///
    /// As in Rhai: `run.excess_chart() -> Chart`.
    pub fn excess_chart(&self) -> Result<Chart> {
        self.0.call("excess_chart", vec![])?.to()
    }

    /// Gives the model as it is now: cut to the target shape, its logits equal to those of the gated model; for a run that recovers, a copy of its weights.
    ///
    /// As in Rhai: `run.extract() -> Model`.
    pub fn extract(&self) -> Result<Model> {
        self.0.call("extract", vec![])?.to()
    }

    /// Gives a run that stands where this one stands and goes its own way from here.
    ///
    /// As in Rhai: `run.fork() -> Run`.
    pub fn fork(&self) -> Result<Run> {
        self.0.call("fork", vec![])?.to()
    }

    /// Gives everything known of one gate of a kind with one row ("layer", "head_layer", "mlp", "hidden").
    ///
    /// As in Rhai: `run.gate(kind: text, index: int) -> map`.
    pub fn gate(&self, kind: &str, index: i64) -> Result<Map> {
        self.0.call("gate", vec![kind.into(), index.into()])?.to()
    }

    /// Gives everything known of one gate of a kind with a row a layer: `log_alpha`, `probability` of being open, `sampled` (in the last step), `current` and `value` (deterministic: now, and at the target), `gradient` (of the last step, by log-alpha), `held`.
    ///
    /// As in Rhai: `run.gate(kind: text, layer: int, index: int) -> map`.
    pub fn gate_by_layer(&self, kind: &str, layer: i64, index: i64) -> Result<Map> {
        self.0.call("gate", vec![kind.into(), layer.into(), index.into()])?.to()
    }

    /// Draws all gates of a run as one heat map, a row for each row of gates.
    ///
    /// As in Rhai: `run.gate_chart() -> Chart`.
    pub fn gate_chart(&self) -> Result<Chart> {
        self.0.call("gate_chart", vec![])?.to()
    }

    /// Draws the gates of a kind as a heat map, one row a layer.
    ///
    /// As in Rhai: `run.gate_chart(kind: text) -> Chart`.
    pub fn gate_chart_by_kind(&self, kind: &str) -> Result<Chart> {
        self.0.call("gate_chart", vec![kind.into()])?.to()
    }

    /// Gives a table of the gates of a kind ("layer", "head_layer", "mlp", "head", "query", "intermediate", "hidden"): log-alpha, probability of being open, the value sampled last, the values now and at the target, the gradient of the last step by log-alpha, whether it is held.
    ///
    /// As in Rhai: `run.gates(kind: text) -> Table`.
    pub fn gates(&self, kind: &str) -> Result<Table> {
        self.0.call("gates", vec![kind.into()])?.to()
    }

    /// Hashes everything that decides how the run goes on, and its history: 64 hexadecimal digits.
    ///
    /// As in Rhai: `run.hash() -> text`.
    pub fn hash(&self) -> Result<String> {
        self.0.call("hash", vec![])?.to()
    }

    /// Gives a table with one row a step: loss, sparsities and targets, gradient norm, tokens.
    ///
    /// As in Rhai: `run.history() -> Table`.
    pub fn history(&self) -> Result<Table> {
        self.0.call("history", vec![])?.to()
    }

    /// Holds several gates in one edit.
    ///
    /// As in Rhai: `run.hold(gates: array, state: text)`.
    pub fn hold(&self, gates: impl Into<Value>, state: &str) -> Result<()> {
        self.0.call("hold", vec![gates.into(), state.into()])?.to()
    }

    /// Holds a gate of a kind with one row ("layer", "head_layer", "mlp", "hidden") "open" or "closed".
    ///
    /// As in Rhai: `run.hold(kind: text, index: int, state: text)`.
    pub fn hold_by_kind_index(&self, kind: &str, index: i64, state: &str) -> Result<()> {
        self.0.call("hold", vec![kind.into(), index.into(), state.into()])?.to()
    }

    /// Holds a gate of a kind with a row a layer ("head", "query", "intermediate") "open" or "closed": it is exactly 1 or 0 and does not learn.
    ///
    /// As in Rhai: `run.hold(kind: text, layer: int, index: int, state: text)`.
    pub fn hold_by_kind_layer_index(
        &self,
        kind: &str,
        layer: i64,
        index: i64,
        state: &str,
    ) -> Result<()> {
        self.0.call("hold", vec![kind.into(), layer.into(), index.into(), state.into()])?.to()
    }

    /// Gives a table of the layers by block influence: one minus the cosine between what goes into a layer and what comes out.
    ///
    /// As in Rhai: `run.influence() -> Table`.
    pub fn influence(&self) -> Result<Table> {
        self.0.call("influence", vec![])?.to()
    }

    /// Gives a table of what was done to the run: steps, evaluations out of turn, edits.
    ///
    /// As in Rhai: `run.journal() -> Table`.
    pub fn journal(&self) -> Result<Table> {
        self.0.call("journal", vec![])?.to()
    }

    /// Sets when snapshots are taken and how much they may hold.
    ///
    /// As in Rhai: `run.keep(options: map)`.
    pub fn keep(&self, options: impl Into<Value>) -> Result<()> {
        self.0.call("keep", vec![options.into()])?.to()
    }

    /// Gives a table with a row a layer: expected and target sparsity of the kinds that have gates in every layer, and the probability that the layer's own gates are open.
    ///
    /// As in Rhai: `run.layers() -> Table`.
    pub fn layers(&self) -> Result<Table> {
        self.0.call("layers", vec![])?.to()
    }

    /// Draws the training loss and the evaluated loss of each domain over the steps.
    ///
    /// As in Rhai: `run.loss_chart() -> Chart`.
    pub fn loss_chart(&self) -> Result<Chart> {
        self.0.call("loss_chart", vec![])?.to()
    }

    /// Gives the loss of each domain now, nats/token: at the target shape for a run that prunes.
    ///
    /// As in Rhai: `run.losses() -> map`.
    pub fn losses(&self) -> Result<Map> {
        self.0.call("losses", vec![])?.to()
    }

    /// Gives a table of the domains now: weight, last loss, reference, excess, tokens seen.
    ///
    /// As in Rhai: `run.mixture() -> Table`.
    pub fn mixture(&self) -> Result<Table> {
        self.0.call("mixture", vec![])?.to()
    }

    /// Draws the share of each domain over the evaluations.
    ///
    /// As in Rhai: `run.mixture_chart() -> Chart`.
    pub fn mixture_chart(&self) -> Result<Chart> {
        self.0.call("mixture_chart", vec![])?.to()
    }

    /// Gives a table of the mixture over time, a row an evaluation: step and the weight of each domain.
    ///
    /// As in Rhai: `run.mixture_history() -> Table`.
    pub fn mixture_history(&self) -> Result<Table> {
        self.0.call("mixture_history", vec![])?.to()
    }

    /// Gives a table of the weights that would follow under every rule, from the losses now.
    ///
    /// As in Rhai: `run.mixture_preview() -> Table`.
    pub fn mixture_preview(&self) -> Result<Table> {
        self.0.call("mixture_preview", vec![])?.to()
    }

    /// Gives a table of the weights that would follow with other settings: `rule` (a name or a closure), `eta`, `smoothing`, `floor`, `ceiling`, `reference`, and the `losses` to start from.
    ///
    /// As in Rhai: `run.mixture_preview(options: map) -> Table`.
    pub fn mixture_preview_with(&self, options: impl Into<Value>) -> Result<Table> {
        self.0.call("mixture_preview", vec![options.into()])?.to()
    }

    /// Draws the mixture that the evaluations of this run would have made with other settings: `rule` (a name or a closure), `eta`, `smoothing`, `floor`, `ceiling`, `reference`.
    ///
    /// As in Rhai: `run.mixture_replay(options: map) -> Chart`.
    pub fn mixture_replay(&self, options: impl Into<Value>) -> Result<Chart> {
        self.0.call("mixture_replay", vec![options.into()])?.to()
    }

    /// Draws the mixture that the evaluations of this run would have made under another rule, from its first mixture on.
    ///
    /// As in Rhai: `run.mixture_replay(rule: text) -> Chart`.
    pub fn mixture_replay_by_rule(&self, rule: &str) -> Result<Chart> {
        self.0.call("mixture_replay", vec![rule.into()])?.to()
    }

    /// Draws the multipliers over the steps; the quadratic ones are dashed.
    ///
    /// As in Rhai: `run.multiplier_chart() -> Chart`.
    pub fn multiplier_chart(&self) -> Result<Chart> {
        self.0.call("multiplier_chart", vec![])?.to()
    }

    /// Gives a table of the multipliers, a row a step: linear and quadratic, by gate kind.
    ///
    /// As in Rhai: `run.multipliers() -> Table`.
    pub fn multipliers(&self) -> Result<Table> {
        self.0.call("multipliers", vec![])?.to()
    }

    /// Gives source, masked and cut model side by side.
    ///
    /// As in Rhai: `run.panel() -> Table`.
    pub fn panel(&self) -> Result<Table> {
        self.0.call("panel", vec![])?.to()
    }

    /// Gives source, masked and cut model side by side: parameters, arithmetic, memory, measured speed, loss by domain.
    ///
    /// As in Rhai: `run.panel(options: map) -> Table`.
    pub fn panel_with(&self, options: impl Into<Value>) -> Result<Table> {
        self.0.call("panel", vec![options.into()])?.to()
    }

    /// Draws source, masked and cut model side by side, as multiples of the source.
    ///
    /// As in Rhai: `run.panel_chart() -> Chart`.
    pub fn panel_chart(&self) -> Result<Chart> {
        self.0.call("panel_chart", vec![])?.to()
    }

    /// Gives a table of the parameters that would go if the run were extracted now, part by part.
    ///
    /// As in Rhai: `run.preview() -> Table`.
    pub fn preview(&self) -> Result<Table> {
        self.0.call("preview", vec![])?.to()
    }

    /// Protects a layer: holds the gates open that could drop it.
    ///
    /// As in Rhai: `run.protect(layer: int)`.
    pub fn protect(&self, layer: i64) -> Result<()> {
        self.0.call("protect", vec![layer.into()])?.to()
    }

    /// Gives the reference losses of a run by domain, nats/token: what the mixture compares with.
    ///
    /// As in Rhai: `run.references() -> map`.
    pub fn references(&self) -> Result<Map> {
        self.0.call("references", vec![])?.to()
    }

    /// Lets several held gates learn again, in one edit.
    ///
    /// As in Rhai: `run.release(gates: array)`.
    pub fn release(&self, gates: impl Into<Value>) -> Result<()> {
        self.0.call("release", vec![gates.into()])?.to()
    }

    /// Lets a held gate of a kind with one row learn again.
    ///
    /// As in Rhai: `run.release(kind: text, index: int)`.
    pub fn release_by_kind_index(&self, kind: &str, index: i64) -> Result<()> {
        self.0.call("release", vec![kind.into(), index.into()])?.to()
    }

    /// Lets a held gate of a kind with a row a layer learn again, from the log-alpha it had.
    ///
    /// As in Rhai: `run.release(kind: text, layer: int, index: int)`.
    pub fn release_by_kind_layer_index(&self, kind: &str, layer: i64, index: i64) -> Result<()> {
        self.0.call("release", vec![kind.into(), layer.into(), index.into()])?.to()
    }

    /// Takes the run back to the end of a step: from the last snapshot before it, the steps between are taken again.
    ///
    /// As in Rhai: `run.rewind(step: int)`.
    pub fn rewind(&self, step: i64) -> Result<()> {
        self.0.call("rewind", vec![step.into()])?.to()
    }

    /// Takes the run back to the evaluation that `best` names, as `rewind` does, and gives it.
    ///
    /// As in Rhai: `run.rewind_best() -> map`.
    pub fn rewind_best(&self) -> Result<Map> {
        self.0.call("rewind_best", vec![])?.to()
    }

    /// Saves the run into a folder, to be resumed; earlier snapshots in it stay.
    ///
    /// As in Rhai: `run.save(dir: text) -> text`.
    pub fn save(&self, dir: &str) -> Result<String> {
        self.0.call("save", vec![dir.into()])?.to()
    }

    /// Saves the run into a folder, with options.
    ///
    /// As in Rhai: `run.save(dir: text, options: map) -> text`.
    pub fn save_with(&self, dir: &str, options: impl Into<Value>) -> Result<String> {
        self.0.call("save", vec![dir.into(), options.into()])?.to()
    }

    /// Draws the law that the references of a run come from: three known models a domain, the curve through them, dashed beyond them, and the size of the target.
    ///
    /// As in Rhai: `run.scaling_chart() -> Chart`.
    pub fn scaling_chart(&self) -> Result<Chart> {
        self.0.call("scaling_chart", vec![])?.to()
    }

    /// Gives a table of the law that the references of a run come from: known losses, a, b and c of a / N^b + c, and the reference of each domain.
    ///
    /// As in Rhai: `run.scaling_table() -> Table`.
    pub fn scaling_table(&self) -> Result<Table> {
        self.0.call("scaling_table", vec![])?.to()
    }

    /// Gives the script that makes this run again from nothing: models, domains, options and everything that was done to it, with a check of the hash at its end.
    ///
    /// As in Rhai: `run.script() -> text`.
    pub fn script(&self) -> Result<String> {
        self.0.call("script", vec![])?.to()
    }

    /// Changes options of a run from now on.
    ///
    /// As in Rhai: `run.set(options: map)`.
    pub fn set(&self, options: impl Into<Value>) -> Result<()> {
        self.0.call("set", vec![options.into()])?.to()
    }

    /// Sets the log-alpha of a gate of a kind with one row.
    ///
    /// As in Rhai: `run.set_log_alpha(kind: text, index: int, value: any)`.
    pub fn set_log_alpha(&self, kind: &str, index: i64, value: impl Into<Value>) -> Result<()> {
        self.0.call("set_log_alpha", vec![kind.into(), index.into(), value.into()])?.to()
    }

    /// Sets the log-alpha of a gate of a kind with a row a layer: high is open, low is closed.
    ///
    /// As in Rhai: `run.set_log_alpha(kind: text, layer: int, index: int, value: any)`.
    pub fn set_log_alpha_by_layer(
        &self,
        kind: &str,
        layer: i64,
        index: i64,
        value: impl Into<Value>,
    ) -> Result<()> {
        self.0
            .call("set_log_alpha", vec![kind.into(), layer.into(), index.into(), value.into()])?
            .to()
    }

    /// Aims at another shape from now on.
    ///
    /// As in Rhai: `run.set_target(target: TargetShape)`.
    pub fn set_target(&self, target: &TargetShape) -> Result<()> {
        self.0.call("set_target", vec![target.into()])?.to()
    }

    /// Draws how alike the residual stream is at all pairs of depths, under the gates as they are now: a stretch of layers that look alike does little.
    ///
    /// As in Rhai: `run.similarity_chart() -> Chart`.
    pub fn similarity_chart(&self) -> Result<Chart> {
        self.0.call("similarity_chart", vec![])?.to()
    }

    /// Says which steps can be gone back to at once, `steps`, and what their snapshots hold, `mb`.
    ///
    /// As in Rhai: `run.snapshots() -> map`.
    pub fn snapshots(&self) -> Result<Map> {
        self.0.call("snapshots", vec![])?.to()
    }

    /// Draws expected sparsity and target of every gate kind over the steps.
    ///
    /// As in Rhai: `run.sparsity_chart() -> Chart`.
    pub fn sparsity_chart(&self) -> Result<Chart> {
        self.0.call("sparsity_chart", vec![])?.to()
    }

    /// Gives a table of where the time of the run's steps went: `part`, `ms a step`, `share`.
    ///
    /// As in Rhai: `run.speed() -> Table`.
    pub fn speed(&self) -> Result<Table> {
        self.0.call("speed", vec![])?.to()
    }

    /// Says where the run stands: `step`, `loss`, `lagrangian`, `tokens`, `overall_sparsity` and `sparsity`, a map from gate kind to `expected`, `target` and `scheduled` (the part of the target that applies now); `warnings` about the mixture, and `epochs`, where a domain that was used up began again.
    ///
    /// As in Rhai: `run.status() -> map`.
    pub fn status(&self) -> Result<Map> {
        self.0.call("status", vec![])?.to()
    }

    /// Takes `n` training steps, with a live line of progress, and gives the status.
    ///
    /// As in Rhai: `run.step(n: int) -> map`.
    pub fn step(&self, n: i64) -> Result<Map> {
        self.0.call("step", vec![n.into()])?.to()
    }

    /// Draws the tokens drawn of each domain over the evaluations.
    ///
    /// As in Rhai: `run.tokens_chart() -> Chart`.
    pub fn tokens_chart(&self) -> Result<Chart> {
        self.0.call("tokens_chart", vec![])?.to()
    }

    /// Lets the gates of a protected layer learn again.
    ///
    /// As in Rhai: `run.unprotect(layer: int)`.
    pub fn unprotect(&self, layer: i64) -> Result<()> {
        self.0.call("unprotect", vec![layer.into()])?.to()
    }
}

/// A `Sweep` that lives in the kernel; clones are the same one.
#[derive(Clone, PartialEq)]
pub struct Sweep(Handle);

proxy!(Sweep);

impl Sweep {
    /// Gives a table of the points that failed: parameters, error, one thing to try.
    ///
    /// As in Rhai: `sweep.failures() -> Table`.
    pub fn failures(&self) -> Result<Table> {
        self.0.call("failures", vec![])?.to()
    }

    /// Gives mean and standard deviation (of a sample, n - 1) of every figure over the parameters of option `by`, with a row for each combination of the others; `n` counts the points.
    ///
    /// As in Rhai: `sweep.summary() -> Table`.
    pub fn summary(&self) -> Result<Table> {
        self.0.call("summary", vec![])?.to()
    }

    /// Gives mean and standard deviation over several parameters.
    ///
    /// As in Rhai: `sweep.summary(over: array) -> Table`.
    pub fn summary_by_over(&self, over: impl Into<Value>) -> Result<Table> {
        self.0.call("summary", vec![over.into()])?.to()
    }

    /// Gives a table with a row a point: parameters, figures, seconds.
    ///
    /// As in Rhai: `sweep.table() -> Table`.
    pub fn table(&self) -> Result<Table> {
        self.0.call("table", vec![])?.to()
    }
}

/// A `Table` that lives in the kernel; clones are the same one.
#[derive(Clone, PartialEq)]
pub struct Table(Handle);

proxy!(Table);

impl Table {
    /// Draws columns of shares, numbers from 0 to 1, as bars beside their numbers.
    ///
    /// As in Rhai: `table.bars(columns: array) -> Table`.
    pub fn bars(&self, columns: impl Into<Value>) -> Result<Table> {
        self.0.call("bars", vec![columns.into()])?.to()
    }

    /// Gives one column of a table as an array.
    ///
    /// As in Rhai: `table.column(name: text) -> array`.
    pub fn column(&self, name: &str) -> Result<Value> {
        self.0.call("column", vec![name.into()])?.to()
    }

    /// Gives the names of a table's columns.
    ///
    /// As in Rhai: `table.columns() -> array`.
    pub fn columns(&self) -> Result<Value> {
        self.0.call("columns", vec![])?.to()
    }

    /// Gives one row a column: what it holds, how many cells are not empty, mean, standard deviation, min, median, max.
    ///
    /// As in Rhai: `table.describe() -> Table`.
    pub fn describe(&self) -> Result<Table> {
        self.0.call("describe", vec![])?.to()
    }

    /// Keeps the rows whose cell compares so with a value: `==`, `!=`, `<`, `<=`, `>`, `>=`.
    ///
    /// As in Rhai: `table.filter(column: text, comparison: text, value: any) -> Table`.
    pub fn filter(&self, column: &str, comparison: &str, value: impl Into<Value>) -> Result<Table> {
        self.0.call("filter", vec![column.into(), comparison.into(), value.into()])?.to()
    }

    /// Gives one row a group.
    ///
    /// As in Rhai: `table.group(by: any, figures: map) -> Table`.
    pub fn group(&self, by: impl Into<Value>, figures: impl Into<Value>) -> Result<Table> {
        self.0.call("group", vec![by.into(), figures.into()])?.to()
    }

    /// Gives the first `n` rows.
    ///
    /// As in Rhai: `table.head(n: int) -> Table`.
    pub fn head(&self, n: i64) -> Result<Table> {
        self.0.call("head", vec![n.into()])?.to()
    }

    /// Puts the columns of another table beside the rows with the same key; rows without a partner go.
    ///
    /// As in Rhai: `table.join(other: Table, key: any) -> Table`.
    pub fn join(&self, other: &Table, key: impl Into<Value>) -> Result<Table> {
        self.0.call("join", vec![other.into(), key.into()])?.to()
    }

    /// Joins two tables: `"inner"` lets rows without a partner go, `"left"` keeps them with empty cells.
    ///
    /// As in Rhai: `table.join(other: Table, key: any, how: text) -> Table`.
    pub fn join_by_how(&self, other: &Table, key: impl Into<Value>, how: &str) -> Result<Table> {
        self.0.call("join", vec![other.into(), key.into(), how.into()])?.to()
    }

    /// Gives a table as LaTeX: a float with the rules of the `booktabs` package, numbers in line, what LaTeX would act on escaped.
    ///
    /// As in Rhai: `table.latex() -> text`.
    pub fn latex(&self) -> Result<String> {
        self.0.call("latex", vec![])?.to()
    }

    /// Gives a table as LaTeX, with options.
    ///
    /// As in Rhai: `table.latex(options: map) -> text`.
    pub fn latex_with(&self, options: impl Into<Value>) -> Result<String> {
        self.0.call("latex", vec![options.into()])?.to()
    }

    /// Counts the rows of a table.
    ///
    /// As in Rhai: `table.len() -> int`.
    pub fn len(&self) -> Result<i64> {
        self.0.call("len", vec![])?.to()
    }

    /// Gives a table as Markdown, with all its rows.
    ///
    /// As in Rhai: `table.markdown() -> text`.
    pub fn markdown(&self) -> Result<String> {
        self.0.call("markdown", vec![])?.to()
    }

    /// Gives a table as Markdown, with options.
    ///
    /// As in Rhai: `table.markdown(options: map) -> text`.
    pub fn markdown_with(&self, options: impl Into<Value>) -> Result<String> {
        self.0.call("markdown", vec![options.into()])?.to()
    }

    /// Gives one page of a table: 50 rows, under a title that says which.
    ///
    /// As in Rhai: `table.page(number: int) -> Table`.
    pub fn page(&self, number: i64) -> Result<Table> {
        self.0.call("page", vec![number.into()])?.to()
    }

    /// Makes a long table wide: one row for each value of `rows`, one column for each value of `columns`, the cells of `values` where they meet.
    ///
    /// As in Rhai: `table.pivot(rows: text, columns: text, values: text) -> Table`.
    pub fn pivot(&self, rows: &str, columns: &str, values: &str) -> Result<Table> {
        self.0.call("pivot", vec![rows.into(), columns.into(), values.into()])?.to()
    }

    /// Gives a column another name.
    ///
    /// As in Rhai: `table.rename(column: text, name: text) -> Table`.
    pub fn rename(&self, column: &str, name: &str) -> Result<Table> {
        self.0.call("rename", vec![column.into(), name.into()])?.to()
    }

    /// Gives the rows of a table as maps.
    ///
    /// As in Rhai: `table.rows() -> array`.
    pub fn rows(&self) -> Result<Value> {
        self.0.call("rows", vec![])?.to()
    }

    /// Writes a table as CSV: `table.save_csv(path)`.
    ///
    /// As in Rhai: `table.save_csv(path: text) -> text`.
    pub fn save_csv(&self, path: &str) -> Result<String> {
        self.0.call("save_csv", vec![path.into()])?.to()
    }

    /// Writes a table as LaTeX.
    ///
    /// As in Rhai: `table.save_latex(path: text) -> text`.
    pub fn save_latex(&self, path: &str) -> Result<String> {
        self.0.call("save_latex", vec![path.into()])?.to()
    }

    /// Writes a table as LaTeX, with options.
    ///
    /// As in Rhai: `table.save_latex(path: text, options: map) -> text`.
    pub fn save_latex_with(&self, path: &str, options: impl Into<Value>) -> Result<String> {
        self.0.call("save_latex", vec![path.into(), options.into()])?.to()
    }

    /// Writes a table as Markdown, with all its rows.
    ///
    /// As in Rhai: `table.save_md(path: text) -> text`.
    pub fn save_md(&self, path: &str) -> Result<String> {
        self.0.call("save_md", vec![path.into()])?.to()
    }

    /// Writes a table as Markdown, with options.
    ///
    /// As in Rhai: `table.save_md(path: text, options: map) -> text`.
    pub fn save_md_with(&self, path: &str, options: impl Into<Value>) -> Result<String> {
        self.0.call("save_md", vec![path.into(), options.into()])?.to()
    }

    /// Writes a table as Parquet: `table.save_parquet(path)`.
    ///
    /// As in Rhai: `table.save_parquet(path: text) -> text`.
    pub fn save_parquet(&self, path: &str) -> Result<String> {
        self.0.call("save_parquet", vec![path.into()])?.to()
    }

    /// Keeps columns, in the order given.
    ///
    /// As in Rhai: `table.select(columns: array) -> Table`.
    pub fn select(&self, columns: impl Into<Value>) -> Result<Table> {
        self.0.call("select", vec![columns.into()])?.to()
    }

    /// Orders the rows by a column, smallest first.
    ///
    /// As in Rhai: `table.sort(column: text) -> Table`.
    pub fn sort(&self, column: &str) -> Result<Table> {
        self.0.call("sort", vec![column.into()])?.to()
    }

    /// Orders the rows by a column: `"ascending"` or `"descending"`.
    ///
    /// As in Rhai: `table.sort(column: text, order: text) -> Table`.
    pub fn sort_by_order(&self, column: &str, order: &str) -> Result<Table> {
        self.0.call("sort", vec![column.into(), order.into()])?.to()
    }

    /// Gives the last `n` rows.
    ///
    /// As in Rhai: `table.tail(n: int) -> Table`.
    pub fn tail(&self, n: i64) -> Result<Table> {
        self.0.call("tail", vec![n.into()])?.to()
    }

    /// Gives a table another title.
    ///
    /// As in Rhai: `table.titled(title: text) -> Table`.
    pub fn titled(&self, title: &str) -> Result<Table> {
        self.0.call("titled", vec![title.into()])?.to()
    }

    /// Adds a column of the values of an array, one a row.
    ///
    /// As in Rhai: `table.with_column(name: text, values: array) -> Table`.
    pub fn with_column(&self, name: &str, values: impl Into<Value>) -> Result<Table> {
        self.0.call("with_column", vec![name.into(), values.into()])?.to()
    }
}

/// A `Chart` that lives in the kernel; clones are the same one.
#[derive(Clone, PartialEq)]
pub struct Chart(Handle);

proxy!(Chart);

impl Chart {
    /// Gives a chart as a PNG picture, 1520 pixels wide: in a notebook it is `image/png`, for tools that do not know SVG.
    ///
    /// As in Rhai: `chart.png() -> Png`.
    pub fn png(&self) -> Result<Value> {
        self.0.call("png", vec![])?.to()
    }

    /// Gives a chart as a PNG picture, 760 times `scale` pixels wide; `scale` is 0.5 to 4.
    ///
    /// As in Rhai: `chart.png(scale: any) -> Png`.
    pub fn png_by_scale(&self, scale: impl Into<Value>) -> Result<Value> {
        self.0.call("png", vec![scale.into()])?.to()
    }

    /// Writes a chart to a file: SVG, or PNG when the name ends in `.png`.
    ///
    /// As in Rhai: `chart.save(path: text) -> text`.
    pub fn save(&self, path: &str) -> Result<String> {
        self.0.call("save", vec![path.into()])?.to()
    }

    /// Gives a chart as SVG text.
    ///
    /// As in Rhai: `chart.svg() -> text`.
    pub fn svg(&self) -> Result<String> {
        self.0.call("svg", vec![])?.to()
    }
}

/// Makes a chart of grouped bars: the groups' names, and an array of `[name, values]` pairs with one value a group.
///
/// As in Rhai: `bar_chart(title: text, y_label: text, groups: array, series: array) -> Chart`.
pub fn bar_chart(
    title: &str,
    y_label: &str,
    groups: impl Into<Value>,
    series: impl Into<Value>,
) -> Result<Chart> {
    crate::lab
        .call("bar_chart", vec![title.into(), y_label.into(), groups.into(), series.into()])?
        .to()
}

/// Takes away what the cell has shown so far.
///
/// As in Rhai: `clear_output()`.
pub fn clear_output() -> Result<()> {
    crate::lab.call("clear_output", vec![])?.to()
}

/// Takes away what the cell has shown so far; with `true` only when the next thing comes, so that nothing flickers.
///
/// As in Rhai: `clear_output(wait: bool)`.
pub fn clear_output_by_wait(wait: bool) -> Result<()> {
    crate::lab.call("clear_output", vec![wait.into()])?.to()
}

/// Compares branches, an array or a map from name to run: shows their losses in one chart and gives a table with a row a branch.
///
/// As in Rhai: `compare(branches: any) -> Table`.
pub fn compare(branches: impl Into<Value>) -> Result<Table> {
    crate::lab.call("compare", vec![branches.into()])?.to()
}

/// Draws branches in one chart: the mean evaluated loss of each, its training loss behind it, and a mark for every edit.
///
/// As in Rhai: `compare_chart(branches: any) -> Chart`.
pub fn compare_chart(branches: impl Into<Value>) -> Result<Chart> {
    crate::lab.call("compare_chart", vec![branches.into()])?.to()
}

/// Puts tables under each other; a cell is empty where its table has no such column.
///
/// As in Rhai: `concat(tables: array) -> Table`.
pub fn concat(tables: impl Into<Value>) -> Result<Table> {
    crate::lab.call("concat", vec![tables.into()])?.to()
}

/// Lists the script functions, a line each.
///
/// As in Rhai: `help()`.
pub fn help() -> Result<()> {
    crate::lab.call("help", vec![])?.to()
}

/// Shows what a name means: a function with its options and an example (`"prune"`, `"run.step"`), a type (`"Run"`), or an option (`"lr"`, `"prune.lr"`).
///
/// As in Rhai: `help(name: text)`.
pub fn help_by_name(name: &str) -> Result<()> {
    crate::lab.call("help", vec![name.into()])?.to()
}

/// Shows what can be done with a value: the functions that are called on it.
///
/// As in Rhai: `help(value: any)`.
pub fn help_by_value(value: impl Into<Value>) -> Result<()> {
    crate::lab.call("help", vec![value.into()])?.to()
}

/// Asks the user for a line without saying what for.
///
/// As in Rhai: `input() -> text`.
pub fn input() -> Result<String> {
    crate::lab.call("input", vec![])?.to()
}

/// Asks the user for a line and gives it as text.
///
/// As in Rhai: `input(prompt: text) -> text`.
pub fn input_by_prompt(prompt: &str) -> Result<String> {
    crate::lab.call("input", vec![prompt.into()])?.to()
}

/// Makes a chart of lines: a map from name to an array of `[x, y]` points.
///
/// As in Rhai: `line_chart(title: text, x_label: text, y_label: text, series: map) -> Chart`.
pub fn line_chart(
    title: &str,
    x_label: &str,
    y_label: &str,
    series: impl Into<Value>,
) -> Result<Chart> {
    crate::lab
        .call("line_chart", vec![title.into(), x_label.into(), y_label.into(), series.into()])?
        .to()
}

/// Loads domains: `"demo"` (five generated corpora of known entropy), or a folder with one sub-folder a domain.
///
/// As in Rhai: `load_domains(from: text) -> Domains`.
pub fn load_domains(from: &str) -> Result<Domains> {
    crate::lab.call("load_domains", vec![from.into()])?.to()
}

/// Makes domains of texts in memory: a map from domain to an array of documents.
///
/// As in Rhai: `load_domains(texts: map) -> Domains`.
pub fn load_domains_by_texts(texts: impl Into<Value>) -> Result<Domains> {
    crate::lab.call("load_domains", vec![texts.into()])?.to()
}

/// Loads domains with options.
///
/// As in Rhai: `load_domains(from: text, options: map) -> Domains`.
pub fn load_domains_with(from: &str, options: impl Into<Value>) -> Result<Domains> {
    crate::lab.call("load_domains", vec![from.into(), options.into()])?.to()
}

/// Loads a model: `"demo"` (inside the program, no network), a folder in Hugging Face layout, or a hub id such as `"princeton-nlp/Sheared-LLaMA-1.3B"`.
///
/// As in Rhai: `load_model(spec: text) -> Model`.
pub fn load_model(spec: &str) -> Result<Model> {
    crate::lab.call("load_model", vec![spec.into()])?.to()
}

/// Loads a model with options; all but `device` are for a hub id.
///
/// As in Rhai: `load_model(spec: text, options: map) -> Model`.
pub fn load_model_with(spec: &str, options: impl Into<Value>) -> Result<Model> {
    crate::lab.call("load_model", vec![spec.into(), options.into()])?.to()
}

/// Gives the mean of the numbers in an array.
///
/// As in Rhai: `mean(values: array) -> any`.
pub fn mean(values: impl Into<Value>) -> Result<Value> {
    crate::lab.call("mean", vec![values.into()])?.to()
}

/// Makes a model of random weights, to train from nothing.
///
/// As in Rhai: `new_model(options: map) -> Model`.
pub fn new_model(options: impl Into<Value>) -> Result<Model> {
    crate::lab.call("new_model", vec![options.into()])?.to()
}

/// Gives the value of `-p name=value`, read as the default's type, or the default.
///
/// As in Rhai: `param(name: text, default: any) -> any`.
pub fn param(name: &str, default: impl Into<Value>) -> Result<Value> {
    crate::lab.call("param", vec![name.into(), default.into()])?.to()
}

/// Tokenises a folder of text, one sub-folder a domain, into token files in the folder `dir`, with the tokenizer of the model loaded last.
///
/// As in Rhai: `prepare(source: text, dir: text) -> Table`.
pub fn prepare(source: &str, dir: &str) -> Result<Table> {
    crate::lab.call("prepare", vec![source.into(), dir.into()])?.to()
}

/// Tokenises a folder of text with options.
///
/// As in Rhai: `prepare(source: text, dir: text, options: map) -> Table`.
pub fn prepare_with(source: &str, dir: &str, options: impl Into<Value>) -> Result<Table> {
    crate::lab.call("prepare", vec![source.into(), dir.into(), options.into()])?.to()
}

/// Starts to prune a model to a target shape on domains, with the default options; nothing is trained before the first `step`.
///
/// As in Rhai: `prune(model: Model, target: TargetShape, domains: Domains) -> Run`.
pub fn prune(model: &Model, target: &TargetShape, domains: &Domains) -> Result<Run> {
    crate::lab.call("prune", vec![model.into(), target.into(), domains.into()])?.to()
}

/// Starts to prune a model with options.
///
/// As in Rhai: `prune(model: Model, target: TargetShape, domains: Domains, options: map) -> Run`.
pub fn prune_with(
    model: &Model,
    target: &TargetShape,
    domains: &Domains,
    options: impl Into<Value>,
) -> Result<Run> {
    crate::lab
        .call("prune", vec![model.into(), target.into(), domains.into(), options.into()])?
        .to()
}

/// Reads a table from a `.csv`, `.parquet` or `.json` file (an array with one object a row).
///
/// As in Rhai: `read_table(path: text) -> Table`.
pub fn read_table(path: &str) -> Result<Table> {
    crate::lab.call("read_table", vec![path.into()])?.to()
}

/// Starts to continue the pre-training of a model, with the default options.
///
/// As in Rhai: `recover(model: Model, domains: Domains) -> Run`.
pub fn recover(model: &Model, domains: &Domains) -> Result<Run> {
    crate::lab.call("recover", vec![model.into(), domains.into()])?.to()
}

/// Starts to continue the pre-training of a model with options.
///
/// As in Rhai: `recover(model: Model, domains: Domains, options: map) -> Run`.
pub fn recover_with(model: &Model, domains: &Domains, options: impl Into<Value>) -> Result<Run> {
    crate::lab.call("recover", vec![model.into(), domains.into(), options.into()])?.to()
}

/// Resumes a saved run at its last snapshot; from there it goes on as if it had never stopped.
///
/// As in Rhai: `resume(dir: text) -> Run`.
pub fn resume(dir: &str) -> Result<Run> {
    crate::lab.call("resume", vec![dir.into()])?.to()
}

/// Resumes a saved run, with options.
///
/// As in Rhai: `resume(dir: text, options: map) -> Run`.
pub fn resume_with(dir: &str, options: impl Into<Value>) -> Result<Run> {
    crate::lab.call("resume", vec![dir.into(), options.into()])?.to()
}

/// Writes a table as CSV.
///
/// As in Rhai: `save_csv(path: text, table: Table) -> text`.
pub fn save_csv(path: &str, table: &Table) -> Result<String> {
    crate::lab.call("save_csv", vec![path.into(), table.into()])?.to()
}

/// Writes a table, map, array or number as JSON.
///
/// As in Rhai: `save_json(path: text, value: any) -> text`.
pub fn save_json(path: &str, value: impl Into<Value>) -> Result<String> {
    crate::lab.call("save_json", vec![path.into(), value.into()])?.to()
}

/// Writes a table as Parquet.
///
/// As in Rhai: `save_parquet(path: text, table: Table) -> text`.
pub fn save_parquet(path: &str, table: &Table) -> Result<String> {
    crate::lab.call("save_parquet", vec![path.into(), table.into()])?.to()
}

/// Draws the published law of the seven domains of RedPajama for a model of `parameters` parameters: where the public reference losses come from.
///
/// As in Rhai: `scaling_chart(parameters: any) -> Chart`.
pub fn scaling_chart(parameters: impl Into<Value>) -> Result<Chart> {
    crate::lab.call("scaling_chart", vec![parameters.into()])?.to()
}

/// Gives a table of the published law of the seven domains of RedPajama for a model of `parameters` parameters.
///
/// As in Rhai: `scaling_table(parameters: any) -> Table`.
pub fn scaling_table(parameters: impl Into<Value>) -> Result<Table> {
    crate::lab.call("scaling_table", vec![parameters.into()])?.to()
}

/// Shows a value at a named place of the notebook: what stood there before is replaced, also when an earlier cell put it there.
///
/// As in Rhai: `show_at(place: text, value: any)`.
pub fn show_at(place: &str, value: impl Into<Value>) -> Result<()> {
    crate::lab.call("show_at", vec![place.into(), value.into()])?.to()
}

/// Waits for so many seconds; an interrupt ends the wait.
///
/// As in Rhai: `sleep(seconds: float)`.
pub fn sleep(seconds: f64) -> Result<()> {
    crate::lab.call("sleep", vec![seconds.into()])?.to()
}

/// Gives the standard deviation of the numbers in an array, as of a sample (n - 1); `()` for fewer than two.
///
/// As in Rhai: `std(values: array) -> any`.
pub fn std(values: impl Into<Value>) -> Result<Value> {
    crate::lab.call("std", vec![values.into()])?.to()
}

/// Makes a table of rows that are maps; columns come in the order of their names.
///
/// As in Rhai: `table(title: text, rows: array) -> Table`.
pub fn table(title: &str, rows: impl Into<Value>) -> Result<Table> {
    crate::lab.call("table", vec![title.into(), rows.into()])?.to()
}

/// Makes a table of rows that are maps, with the columns named and ordered.
///
/// As in Rhai: `table(title: text, columns: array, rows: array) -> Table`.
pub fn table_by_columns(
    title: &str,
    columns: impl Into<Value>,
    rows: impl Into<Value>,
) -> Result<Table> {
    crate::lab.call("table", vec![title.into(), columns.into(), rows.into()])?.to()
}

/// Names the dimensions to prune to.
///
/// As in Rhai: `target_shape(dimensions: map) -> TargetShape`.
pub fn target_shape(dimensions: impl Into<Value>) -> Result<TargetShape> {
    crate::lab.call("target_shape", vec![dimensions.into()])?.to()
}

/// Gives a published target by name: "370m", "1.3b" or "2.7b", all from Llama-2-7B.
///
/// As in Rhai: `target_shape(name: text) -> TargetShape`.
pub fn target_shape_by_name(name: &str) -> Result<TargetShape> {
    crate::lab.call("target_shape", vec![name.into()])?.to()
}

/// Lists the variables: name, type, value in short, size, and the device of handles.
///
/// As in Rhai: `vars() -> Table`.
pub fn vars() -> Result<Table> {
    crate::lab.call("vars", vec![])?.to()
}

/// Writes the demo corpora as text, one `.jsonl` a domain, to read or to load elsewhere.
///
/// As in Rhai: `write_demo_text(dir: text, tokens: int) -> text`.
pub fn write_demo_text(dir: &str, tokens: i64) -> Result<String> {
    crate::lab.call("write_demo_text", vec![dir.into(), tokens.into()])?.to()
}
