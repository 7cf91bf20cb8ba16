//! Script functions of target shapes.

use rhai::plugin::*;
use rhai::{Engine, Map};
use woolshed_engine::model::Model;
use woolshed_engine::shape::TargetShape;

use super::option_list::{KnownOption, OptionList, Takes};
use super::options::Options;
use super::{ScriptResult, convert, raise};

/// A target shape in a script.
#[derive(Clone, Copy, Debug)]
pub struct TargetHandle(pub TargetShape);

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<TargetHandle>("TargetShape");
    super::register_global(rhai, exported_module!(functions));
}

/// A target in one line.
pub(super) fn describe(target: &TargetHandle) -> String {
    let t = target.0;
    let part = |name: &str, n: Option<usize>| n.map(|n| format!("{name} {n}"));
    let parts: Vec<String> = [
        part("layers", t.layers),
        part("hidden", t.hidden),
        part("heads", t.heads),
        part("kv_heads", t.kv_heads),
        part("intermediate", t.intermediate),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!(
        "TargetShape {}",
        if parts.is_empty() { "as the source".into() } else { parts.join(", ") }
    )
}

/// Dimensions of `target_shape`.
pub(super) const TARGET_SHAPE: OptionList = OptionList::new(
    "target_shape",
    &[&[
        dimension("layers", "layers of the network"),
        dimension("hidden", "width of the residual stream"),
        dimension("heads", "query heads of a layer"),
        dimension("kv_heads", "key/value heads of a layer"),
        dimension("intermediate", "channels of a layer's MLP"),
    ]],
);

const fn dimension(name: &'static str, what: &'static str) -> KnownOption {
    KnownOption::open(name, Takes::Count, "as the source has it", what)
}

/// Target shapes.
#[export_module]
mod functions {
    /// Names the dimensions to prune to. `heads` and `kv_heads` follow each other, and naming both may
    /// ask for fewer query heads a key/value head.
    ///
    /// ```rhai
    /// let target = target_shape(#{layers: 3, hidden: 64});
    /// ```
    #[rhai_fn(return_raw)]
    pub fn target_shape(dimensions: Map) -> ScriptResult<TargetHandle> {
        let options = Options::new(&TARGET_SHAPE, dimensions)?;
        Ok(TargetHandle(TargetShape {
            layers: options.size("layers")?,
            hidden: options.size("hidden")?,
            heads: options.size("heads")?,
            kv_heads: options.size("kv_heads")?,
            intermediate: options.size("intermediate")?,
        }))
    }

    /// Gives a published target by name: "370m", "1.3b" or "2.7b", all from Llama-2-7B.
    ///
    /// ```rhai
    /// let target = target_shape("1.3b");
    /// ```
    #[rhai_fn(name = "target_shape", return_raw)]
    pub fn target_preset(name: &str) -> ScriptResult<TargetHandle> {
        TargetShape::preset(name).map(TargetHandle).map_err(raise)
    }

    /// Says what the target means for a model, before anything is trained: `ok`, `problems` (each
    /// with `field`, `value`, `why` and `nearest`), the resulting `shape`, `parameters`,
    /// `prunable_left` and which `loaders` open the result.
    ///
    /// ```rhai
    /// let report = target_shape(#{heads: 3}).check(load_model("demo"));
    /// print(report.ok);
    /// ```
    #[rhai_fn(global, pure)]
    pub fn check(target: &mut TargetHandle, model: Model) -> Map {
        convert::report(&target.0.check(&model.shape()))
    }

    /// Says what the target is in one line.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn to_string(target: &mut TargetHandle) -> String {
        describe(target)
    }
}
