//! A smaller model from gate values.

use std::sync::Arc;

use super::fold::fold;
use super::{LayerWeights, LlamaConfig, Model, ModelOrigin, Weights};
use crate::gate::{GateError, GateValues};
use crate::progress::Watch;
use crate::shape::TargetShape;

impl Model {
    /// Folds gate values into the weights and removes what is 0; logits stay those of the gated
    /// model. The tensors are new: nothing is shared with this model.
    ///
    /// # Errors
    /// Nothing left of the layers or the hidden dimensions; candle's.
    pub fn cut(&self, values: &GateValues) -> Result<Self, GateError> {
        let weights = fold(&self.weights, &self.shape(), values)?.weights;
        let weights = weights.map(|t| Ok::<_, GateError>(t.detach().copy()?))?;
        let config = cut_config(&self.config, &weights);
        Ok(Self { config, weights: Arc::new(weights), ..self.clone() })
    }

    /// Cuts to a random structure of a target shape, survivors unscaled.
    ///
    /// # Errors
    /// An illegal target; candle's.
    pub fn random_cut(&self, target: &TargetShape, seed: u64) -> Result<Self, GateError> {
        let source = self.shape();
        let values = GateValues::random(&source, &target.resolve(&source)?, seed);
        let mut cut = self.cut(&values)?;
        cut.name = format!("{}-random", self.name);
        cut.provenance.push(("random.parent".into(), self.name.clone()));
        cut.provenance.push(("random.seed".into(), seed.to_string()));
        let of = Box::new(self.origin.clone());
        cut.origin = ModelOrigin::RandomCut { of, target: *target, seed };
        Ok(cut)
    }

    /// Cuts to the structure whose weights are largest ([`Model::magnitudes`]), survivors unscaled:
    /// one-shot pruning without data.
    ///
    /// # Errors
    /// An illegal target; an interrupt; candle's.
    pub fn magnitude_cut(
        &self,
        target: &TargetShape,
        watch: &dyn Watch,
    ) -> Result<Self, GateError> {
        let source = self.shape();
        let magnitudes = |kind| self.magnitudes(kind, watch);
        let values = GateValues::ranked(&source, &target.resolve(&source)?, magnitudes)?;
        let mut cut = self.cut(&values)?;
        cut.name = format!("{}-magnitude", self.name);
        cut.provenance.push(("magnitude.parent".into(), self.name.clone()));
        let of = Box::new(self.origin.clone());
        cut.origin = ModelOrigin::MagnitudeCut { of, target: *target };
        Ok(cut)
    }
}

/// Rows of q, k and up; 0 for a part that is not there.
fn widths(layer: &LayerWeights) -> (usize, usize, usize) {
    let rows = |t: &candle_core::Tensor| t.dims()[0];
    let (q, k) = layer.attention.as_ref().map_or((0, 0), |a| (rows(&a.q), rows(&a.k)));
    (q, k, layer.mlp.as_ref().map_or(0, |m| rows(&m.up)))
}

/// The configuration of cut weights: the widths of the widest layer, and the most query heads that
/// share a key/value head.
fn cut_config(source: &LlamaConfig, weights: &Weights) -> LlamaConfig {
    let all: Vec<_> = weights.layers.iter().map(widths).collect();
    let widest = |f: fn(&(usize, usize, usize)) -> usize| all.iter().map(f).max().unwrap_or(0);
    let kv_heads = widest(|w| w.1) / source.head_dim;
    LlamaConfig {
        layers: weights.layers.len(),
        hidden: weights.embed.dims()[1],
        heads: kv_heads * widest(|w| w.0 / w.1.max(1)),
        kv_heads,
        intermediate: widest(|w| w.2),
        ..source.clone()
    }
}
