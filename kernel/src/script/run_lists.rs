//! The options of runs, described: what `prune`, `recover`, `run.set` and the what-ifs take.

use woolshed_engine::run::{KeepPolicy, ShearOptions, TrainOptions};
use woolshed_engine::train::{Distill, Lora};

use super::option_list::{KnownOption, OptionList, Takes};

/// The lists of functions, for [`super::option_list::lists`].
pub(super) const LISTS: [&OptionList; 5] = [&PRUNE, &RECOVER, &SET, &PREVIEW, &REPLAY];

/// Of `prune`.
pub(super) const PRUNE: OptionList =
    OptionList::new("prune", &[&TRAINING, &GATES, &MIXTURE, &SNAPSHOTS]);

/// Of `recover`.
pub(super) const RECOVER: OptionList =
    OptionList::new("recover", &[&TRAINING, &TEACHER, &MIXTURE, &SNAPSHOTS]);

/// Of `run.set`.
pub(super) const SET: OptionList = OptionList {
    of: "run.set",
    parts: &[&TRAINING, &GATES, &MIXTURE],
    only: &[
        "steps",
        "batch",
        "accumulate",
        "recompute",
        "elastic",
        "lr",
        "lr_warmup",
        "lr_floor",
        "clip",
        "gate_lr",
        "multiplier_lr",
        "sparsity_warmup",
        "sparsity",
        "eval_every",
        "rule",
        "eta",
        "smoothing",
        "floor",
        "ceiling",
        "mixture",
        "reference",
    ],
    left_out: Some("as it is"),
};

/// What can be asked of a mixture on paper.
const WHAT_IF: [&str; 6] = ["rule", "eta", "smoothing", "floor", "ceiling", "reference"];

/// Of `run.mixture_preview`.
pub(super) const PREVIEW: OptionList = OptionList {
    of: "run.mixture_preview",
    parts: &[&MIXTURE, &LOSSES],
    only: &["rule", "eta", "smoothing", "floor", "ceiling", "reference", "losses"],
    left_out: Some("as the run has it"),
};

/// Of `run.mixture_replay`.
pub(super) const REPLAY: OptionList = OptionList {
    of: "run.mixture_replay",
    parts: &[&MIXTURE],
    only: &WHAT_IF,
    left_out: Some("as the run has it"),
};

/// Rules that have a name.
pub const RULES: [&str; 4] = ["doremi", "doremi-clipped", "bandit", "constant"];

/// Words for where reference losses come from.
pub(super) const REFERENCES: [&str; 3] = ["source", "floor", "scaling"];

/// Gate kinds.
pub const KINDS: [&str; 7] =
    ["layer", "head_layer", "mlp", "head", "query", "intermediate", "hidden"];

/// Projections that have low-rank changes.
pub(super) const PROJECTIONS: [&str; 7] = ["q", "k", "v", "o", "gate", "up", "down"];

/// Types a run computes in.
pub(super) const DTYPES: [&str; 2] = ["f32", "bf16"];

/// Of `distill` as a map.
pub(super) const DISTILL: OptionList = OptionList::new(
    "distill",
    &[&[
        KnownOption::new(
            "weight",
            Takes::Number,
            || Distill::default().weight.to_string(),
            "the share of the loss, from 0 to 1",
        ),
        KnownOption::new(
            "temperature",
            Takes::Number,
            || Distill::default().temperature.to_string(),
            "softens both distributions",
        ),
    ]],
);

/// Of `lora` as a map.
pub(super) const LORA: OptionList = OptionList::new(
    "lora",
    &[&[
        KnownOption::new(
            "rank",
            Takes::Count,
            || Lora::default().rank.to_string(),
            "the rank of the changes",
        ),
        KnownOption::open(
            "alpha",
            Takes::Number,
            "twice the rank",
            "the changes count alpha over rank times",
        ),
        KnownOption::open(
            "targets",
            Takes::Words(&PROJECTIONS),
            "all of them",
            "the projections that change",
        ),
    ]],
);

/// Of `reference: #{scaling: #{...}}`.
pub(super) const SCALING: OptionList = OptionList::new(
    "scaling",
    &[&[
        KnownOption::open(
            "parameters",
            Takes::Number,
            "those aimed at",
            "the size that the law is asked for, parameters",
        ),
        KnownOption::open(
            "sizes",
            Takes::Other("an array of three sizes"),
            "the published models",
            "the sizes of the models that the law goes through, parameters",
        ),
        KnownOption::open(
            "losses",
            Takes::Other("a map from domain to an array of three losses"),
            "the published models",
            "their losses, nats a token",
        ),
    ]],
);

/// Of `reference` as a map that is no losses.
const REFERENCE: OptionList = OptionList::new(
    "reference",
    &[&[KnownOption::open(
        "scaling",
        Takes::Options(&SCALING, ""),
        "",
        "losses that a scaling law gives for a size",
    )]],
);

/// Of the training, and of how a step is taken.
const TRAINING: [KnownOption; 17] = [
    KnownOption::new(
        "steps",
        Takes::Count,
        || TrainOptions::default().steps.to_string(),
        "the length of the schedules, steps",
    ),
    KnownOption::new(
        "batch",
        Takes::Count,
        || TrainOptions::default().batch.to_string(),
        "sequences a step, or a micro-batch",
    ),
    KnownOption::new(
        "accumulate",
        Takes::Count,
        || TrainOptions::default().accumulate.to_string(),
        "so many micro-batches of `batch` sequences a step",
    ),
    KnownOption::new(
        "recompute",
        Takes::Flag,
        || TrainOptions::default().recompute.to_string(),
        "run each layer again in the backward pass: less memory, more time, the same bits",
    ),
    KnownOption::new(
        "elastic",
        Takes::Flag,
        || TrainOptions::default().elastic.to_string(),
        "leave out of each step what its gates close: the same step but for rounding, in less time",
    ),
    KnownOption::new(
        "lr",
        Takes::Number,
        || TrainOptions::default().lr.to_string(),
        "the learning rate of the weights",
    ),
    KnownOption::open(
        "lr_warmup",
        Takes::Count,
        "a tenth of `steps`",
        "steps in which the rates climb from 0",
    ),
    KnownOption::new(
        "lr_floor",
        Takes::Number,
        || TrainOptions::default().lr_floor.to_string(),
        "where the cosine ends, as a share of `lr`",
    ),
    KnownOption::new(
        "clip",
        Takes::Number,
        || TrainOptions::default().clip.to_string(),
        "the largest norm of all gradients together",
    ),
    KnownOption::new(
        "beta1",
        Takes::Number,
        || TrainOptions::default().adam.betas.0.to_string(),
        "Adam's decay of the mean",
    ),
    KnownOption::new(
        "beta2",
        Takes::Number,
        || TrainOptions::default().adam.betas.1.to_string(),
        "Adam's decay of the square",
    ),
    KnownOption::new(
        "weight_decay",
        Takes::Number,
        || TrainOptions::default().adam.weight_decay.to_string(),
        "decoupled decay of the weights",
    ),
    KnownOption::open(
        "seed",
        Takes::Count,
        "the session's, 17",
        "what all randomness of the run comes from",
    ),
    KnownOption::open(
        "distill",
        Takes::Options(&DISTILL, "a share of the loss"),
        "none",
        "learn from the distributions of a teacher beside the text: the model that is pruned, or `teacher`",
    ),
    KnownOption::open(
        "lora",
        Takes::Options(&LORA, "a rank"),
        "none",
        "learn low-rank changes of projections and leave the weights as they are",
    ),
    KnownOption::new(
        "dtype",
        Takes::Word(&DTYPES),
        || "f32".into(),
        "the type that is computed in",
    ),
    KnownOption::new(
        "eval_every",
        Takes::Count,
        || TrainOptions::default().eval_every.to_string(),
        "steps between evaluations; the mixture moves with each",
    ),
];

/// Of the gates.
const GATES: [KnownOption; 7] = [
    KnownOption::open(
        "gates",
        Takes::Words(&KINDS),
        "those the target needs",
        "the kinds of gates",
    ),
    KnownOption::new(
        "gate_lr",
        Takes::Number,
        || ShearOptions::default().gate_lr.to_string(),
        "the learning rate of the gates",
    ),
    KnownOption::new(
        "multiplier_lr",
        Takes::Number,
        || ShearOptions::default().multiplier_lr.to_string(),
        "the learning rate of the multipliers",
    ),
    KnownOption::open(
        "sparsity_warmup",
        Takes::Count,
        "a fifth of `steps`",
        "steps in which the target sparsity climbs from 0",
    ),
    KnownOption::new(
        "mask_embeddings",
        Takes::Flag,
        || ShearOptions::default().mask_embeddings.to_string(),
        "whether the gates of hidden dimensions act on the embeddings too",
    ),
    KnownOption::open(
        "sparsity",
        Takes::Number,
        "the shape is aimed at",
        "aim at this share of prunable parameters instead of a shape, from 0 to 1",
    ),
    KnownOption::open("temperature", Takes::Number, "2/3", "of the hard-concrete distribution"),
];

/// Of `recover` alone.
const TEACHER: [KnownOption; 1] = [KnownOption::open(
    "teacher",
    Takes::Handle("Model"),
    "the model itself as it starts",
    "the model that `distill` learns from: the one this was cut from, or another of its tokenizer",
)];

/// Of the mixture of domains.
const MIXTURE: [KnownOption; 8] = [
    KnownOption::new(
        "rule",
        Takes::WordOr(&RULES, "a closure from what an evaluation found to weights", None),
        || TrainOptions::default().rule.to_string(),
        "how the mixture follows the evaluated losses",
    ),
    KnownOption::open("mixture", Takes::PerDomain, "equal shares", "the shares at the start"),
    KnownOption::open(
        "reference",
        Takes::WordOr(
            &REFERENCES,
            "a map from domain to loss, or `#{scaling: #{parameters: 1.3e9}}`",
            Some(&REFERENCE),
        ),
        "source: the losses of the model it begins with, or of the run that made it",
        "the losses to reach, nats a token",
    ),
    KnownOption::new(
        "eta",
        Takes::Number,
        || TrainOptions::default().eta.to_string(),
        "how fast the mixture moves",
    ),
    KnownOption::new(
        "smoothing",
        Takes::Number,
        || TrainOptions::default().smoothing.to_string(),
        "the part of equal shares in every mixture",
    ),
    KnownOption::new(
        "floor",
        Takes::Number,
        || TrainOptions::default().bounds.floor.to_string(),
        "the least share of a domain",
    ),
    KnownOption::new(
        "ceiling",
        Takes::Number,
        || TrainOptions::default().bounds.ceiling.to_string(),
        "the largest share of a domain",
    ),
    KnownOption::open(
        "path",
        Takes::Other("an array of arrays, one number a domain in each"),
        "",
        "what a closure decided in another run, one mixture an evaluation",
    ),
];

/// Of going back.
const SNAPSHOTS: [KnownOption; 2] = [
    KnownOption::open(
        "snapshot_every",
        Takes::Count,
        "at each evaluation",
        "steps between snapshots; 0 keeps none",
    ),
    KnownOption::new(
        "snapshot_mb",
        Takes::Number,
        snapshot_mb,
        "the most that all snapshots hold, MB",
    ),
];

/// The default bound of snapshots, MB.
pub(super) fn snapshot_mb() -> String {
    (KeepPolicy::default().bytes as f64 / super::run_options::MB).round().to_string()
}

/// Of a preview alone.
const LOSSES: [KnownOption; 1] = [KnownOption::open(
    "losses",
    Takes::PerDomain,
    "",
    "losses to go by, nats a token: else those of an evaluation at this step, or measured now",
)];

#[cfg(test)]
mod tests {
    use woolshed_engine::data::MixtureRule;
    use woolshed_engine::gate::GateKind;
    use woolshed_engine::train::Projection;

    use super::*;

    #[test]
    fn words_of_options_are_those_of_the_engine() {
        let rules = MixtureRule::ALL.map(|rule| rule.to_string());
        assert_eq!(RULES.to_vec(), rules.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(KINDS, GateKind::ALL.map(GateKind::name));
        assert_eq!(PROJECTIONS, Projection::ALL.map(Projection::name));
    }
}
