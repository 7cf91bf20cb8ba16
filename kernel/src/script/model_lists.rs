//! The options of loading, making, asking and saving models, described.

use woolshed_engine::model::generate::GenerateOptions;

use super::branches::DEVICE;
use super::option_list::{KnownOption, OptionList, Takes};
use super::remote::HUB;

/// Lists of options, for [`super::option_list::lists`].
pub(super) const LISTS: [&OptionList; 6] =
    [&LOAD_MODEL, &NEW_MODEL, &GENERATE, &SAMPLE, &RANDOM_CUT, &SAVE];

const SEED: KnownOption =
    KnownOption::open("seed", Takes::Count, "the session's, 17", "what chance is drawn from");

/// Of `load_model`.
pub(super) const LOAD_MODEL: OptionList = OptionList::new("load_model", &[&[DEVICE], &HUB]);

/// Of `new_model`.
pub(super) const NEW_MODEL: OptionList = OptionList::new(
    "new_model",
    &[&[
        KnownOption::new("layers", Takes::Count, || "4".into(), "layers of the network"),
        KnownOption::new("hidden", Takes::Count, || "96".into(), "width of the residual stream"),
        KnownOption::new("heads", Takes::Count, || "8".into(), "query heads of a layer"),
        KnownOption::open("kv_heads", Takes::Count, "as `heads`", "key/value heads of a layer"),
        KnownOption::open("head_dim", Takes::Count, "`hidden` / `heads`", "width of a head"),
        KnownOption::open(
            "intermediate",
            Takes::Count,
            "8/3 of `hidden`",
            "channels of a layer's MLP",
        ),
        KnownOption::new(
            "max_positions",
            Takes::Count,
            || "512".into(),
            "the longest text, tokens",
        ),
        SEED,
    ]],
);

const MAX_TOKENS: KnownOption = KnownOption::new(
    "max_tokens",
    Takes::Count,
    || GenerateOptions::default().max_tokens.to_string(),
    "the most new tokens",
);

const CHOOSING: [KnownOption; 2] = [
    KnownOption::open("top_k", Takes::Count, "all", "draw from so many likeliest tokens"),
    KnownOption::open(
        "top_p",
        Takes::Number,
        "all",
        "draw from the likeliest tokens that have this probability together",
    ),
];

/// Of `model.generate`.
pub(super) const GENERATE: OptionList = OptionList::new(
    "model.generate",
    &[
        &[
            MAX_TOKENS,
            KnownOption::new(
                "temperature",
                Takes::Number,
                || GenerateOptions::default().temperature.to_string(),
                "how freely tokens are drawn; 0 takes the likeliest",
            ),
        ],
        &CHOOSING,
        &[SEED],
    ],
);

/// Of `model.sample`.
pub(super) const SAMPLE: OptionList = OptionList::new(
    "model.sample",
    &[
        &[
            MAX_TOKENS,
            KnownOption::new(
                "temperature",
                Takes::Number,
                || "1".into(),
                "how freely tokens are drawn; 0 takes the likeliest",
            ),
        ],
        &CHOOSING,
        &[SEED],
    ],
);

/// Of `model.random_cut`.
pub(super) const RANDOM_CUT: OptionList = OptionList::new("model.random_cut", &[&[SEED]]);

/// Of `model.save`.
pub(super) const SAVE: OptionList = OptionList::new(
    "model.save",
    &[&[KnownOption::open(
        "dtype",
        Takes::Word(&["f32", "bf16", "f16"]),
        "as the source was",
        "the type of the weights in the file",
    )]],
);
