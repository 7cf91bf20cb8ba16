//! What handles show of themselves: the engine's portraits of what a script holds.

use rhai::Dynamic;
use woolshed_engine::model::Model;
use woolshed_engine::view::Portrait;

use super::domains::DomainsHandle;
use super::runs::RunHandle;
use super::shapes::TargetHandle;

/// The portrait of a handle; none for other values.
pub(super) fn of(value: &Dynamic) -> Option<Portrait> {
    if let Some(model) = value.read_lock::<Model>() {
        return Some(Portrait::of_model(&model));
    }
    if let Some(run) = value.read_lock::<RunHandle>() {
        return Some(Portrait::of_run(&run.lock()));
    }
    if let Some(target) = value.read_lock::<TargetHandle>() {
        return Some(Portrait::of_target(&target.0));
    }
    value.read_lock::<DomainsHandle>().map(|domains| domains.portrait())
}
