//! How large the weights of each part of a model are: what a structure without any learning is cut by.
//!
//! The score of a part is the L2 norm of all weights that go when it goes: of a key/value group the
//! rows of q, k and v and the columns of o; of a channel the rows of gate and up and the column of
//! down; of a hidden dimension its place in every matrix; of a layer all its matrices. Norms and
//! biases have no part in it.

use candle_core::{DType, Device, Tensor, WithDType};
use rayon::prelude::*;

use super::{AttentionWeights, MlpWeights, Model};
use crate::gate::{GateError, GateKind};
use crate::ops::kernel::{Real, in_order, rows_per_task, with_slice};
use crate::progress::Watch;

/// Sums of squares along a dimension: of a matrix, by row (1) or by column (0). In f64, the same for any
/// number of threads.
fn squares(matrix: &Tensor, over: usize) -> Result<Vec<f64>, GateError> {
    let matrix = matrix.to_device(&Device::Cpu)?;
    Ok(match matrix.dtype() {
        DType::F64 => with_slice(&matrix, |x| Ok(squares_of::<f64>(x, matrix.dims2()?.1, over)))?,
        // Wide enough for every narrower type.
        _ => with_slice(&matrix.to_dtype(DType::F32)?, |x| {
            Ok(squares_of::<f32>(x, matrix.dims2()?.1, over))
        })?,
    })
}

fn squares_of<T: Real>(x: &[T], width: usize, over: usize) -> Vec<f64> {
    let square = |&x: &T| WithDType::to_f64(x).powi(2);
    let task = width * rows_per_task(width);
    if over == 1 {
        let rows = |x: &[T]| x.chunks(width).map(|row| row.iter().map(square).sum()).collect();
        return x.par_chunks(task).map(rows).collect::<Vec<Vec<f64>>>().concat();
    }
    let columns = |x: &[T]| {
        let mut sums = vec![0.0; width];
        for row in x.chunks(width) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += square(x));
        }
        sums
    };
    in_order(x.par_chunks(task).map(columns).collect(), width)
}

fn add(into: &mut [f64], from: &[f64]) {
    into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
}

/// Sums of squares of every query head (H) and of every key/value head (K).
fn heads(a: &AttentionWeights, width: usize) -> Result<(Vec<f64>, Vec<f64>), GateError> {
    let by_head =
        |rows: Vec<f64>| -> Vec<f64> { rows.chunks(width).map(|head| head.iter().sum()).collect() };
    let mut queries = by_head(squares(&a.q, 1)?);
    add(&mut queries, &by_head(squares(&a.o, 0)?));
    let mut groups = by_head(squares(&a.k, 1)?);
    add(&mut groups, &by_head(squares(&a.v, 1)?));
    Ok((queries, groups))
}

/// Sums of squares of every channel (F).
fn channels(m: &MlpWeights) -> Result<Vec<f64>, GateError> {
    let mut all = squares(&m.gate, 1)?;
    add(&mut all, &squares(&m.up, 1)?);
    add(&mut all, &squares(&m.down, 0)?);
    Ok(all)
}

impl Model {
    /// Gives the L2 norm of the weights that each gate of a kind would close, row by row.
    ///
    /// # Errors
    /// An interrupt; candle's, if the device cannot be read.
    pub fn magnitudes(&self, kind: GateKind, watch: &dyn Watch) -> Result<Vec<f64>, GateError> {
        let shape = self.shape();
        let (rows, width) = kind.size(&shape);
        let mut sums = vec![0.0; rows * width];
        for (l, layer) in self.weights.layers.iter().enumerate() {
            if watch.stop_requested() {
                return Err(GateError::Interrupted);
            }
            let here = if rows == 1 { 0..width } else { l * width..(l + 1) * width };
            let (attention, mlp) = (layer.attention.as_ref(), layer.mlp.as_ref());
            match kind {
                GateKind::Layer | GateKind::HeadLayer | GateKind::Mlp => {
                    if let Some(a) = attention.filter(|_| kind != GateKind::Mlp) {
                        let (queries, groups) = heads(a, shape.head_dim)?;
                        sums[l] += queries.iter().chain(&groups).sum::<f64>();
                    }
                    if let Some(m) = mlp.filter(|_| kind != GateKind::HeadLayer) {
                        sums[l] += channels(m)?.iter().sum::<f64>();
                    }
                }
                GateKind::Head | GateKind::Query => {
                    let Some(a) = attention else { continue };
                    let (queries, groups) = heads(a, shape.head_dim)?;
                    let sums = &mut sums[here];
                    for (group, of_group) in queries.chunks(shape.group()).enumerate() {
                        match kind {
                            GateKind::Query => add(sums, of_group),
                            _ => sums[group] += of_group.iter().sum::<f64>() + groups[group],
                        }
                    }
                }
                GateKind::Intermediate => {
                    if let Some(m) = mlp {
                        add(&mut sums[here], &channels(m)?);
                    }
                }
                GateKind::Hidden => {
                    if let Some(a) = attention {
                        for matrix in [&a.q, &a.k, &a.v] {
                            add(&mut sums, &squares(matrix, 0)?);
                        }
                        add(&mut sums, &squares(&a.o, 1)?);
                    }
                    if let Some(m) = mlp {
                        add(&mut sums, &squares(&m.gate, 0)?);
                        add(&mut sums, &squares(&m.up, 0)?);
                        add(&mut sums, &squares(&m.down, 1)?);
                    }
                }
            }
        }
        if kind == GateKind::Hidden {
            add(&mut sums, &squares(&self.weights.embed, 0)?);
            if let Some(head) = &self.weights.head {
                add(&mut sums, &squares(head, 0)?);
            }
        }
        Ok(sums.into_iter().map(f64::sqrt).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Weights;
    use super::super::save::tiny;
    use super::*;
    use crate::progress::Unwatched;
    use crate::shape::TargetShape;

    #[test]
    fn every_kind_splits_the_same_squares() {
        let model = tiny::model(false);
        let sum =
            |kind| model.magnitudes(kind, &Unwatched).unwrap().iter().map(|x| x * x).sum::<f64>();
        let matrices: f64 = model
            .weights
            .named()
            .iter()
            .filter(|(name, _)| !name.contains("norm"))
            .map(|(_, t)| squares(t, 0).unwrap().iter().sum::<f64>())
            .sum();
        let ends: f64 = [&model.weights.embed, model.weights.head.as_ref().unwrap()]
            .map(|t| squares(t, 0).unwrap().iter().sum::<f64>())
            .iter()
            .sum();
        // Sums of some hundred squares of order 1 in another order: 1e-12 relative is generous.
        let same = |a: f64, b: f64| assert!((a - b).abs() < 1e-12 * b, "{a} beside {b}");
        same(sum(GateKind::Hidden), matrices);
        same(sum(GateKind::Layer), matrices - ends);
        same(sum(GateKind::HeadLayer), sum(GateKind::Head));
        same(sum(GateKind::Mlp), sum(GateKind::Intermediate));
        same(sum(GateKind::HeadLayer) + sum(GateKind::Mlp), sum(GateKind::Layer));
    }

    #[test]
    fn a_cut_by_magnitude_drops_the_channel_whose_weights_are_small() {
        let mut model = tiny::model(true);
        let mut weights = Weights::clone(&model.weights);
        let m = weights.layers[1].mlp.as_mut().unwrap();
        // Channel 4 of layer 1 is a hundred times smaller than the rest.
        let factors: Vec<f32> = (0..12).map(|f| if f == 4 { 0.01 } else { 1.0 }).collect();
        let factors = Tensor::from_vec(factors, (12, 1), m.up.device()).unwrap();
        let up = m.up.broadcast_mul(&factors).unwrap();
        m.gate = m.gate.broadcast_mul(&factors).unwrap();
        m.down = m.down.broadcast_mul(&factors.t().unwrap()).unwrap();
        m.up = up.clone();
        model.weights = Arc::new(weights);
        let target = TargetShape { intermediate: Some(11), ..TargetShape::default() };
        let cut = model.magnitude_cut(&target, &Unwatched).unwrap();
        let kept = &cut.weights.layers[1].mlp.as_ref().unwrap().up;
        let rows: Vec<u32> = (0..12).filter(|&f| f != 4).collect();
        let index = Tensor::new(rows, up.device()).unwrap();
        let expected = up.index_select(&index, 0).unwrap();
        assert_eq!(kept.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap());
        assert_eq!(cut.name, format!("{}-magnitude", model.name));
        assert_eq!(cut.shape().intermediate, 11);
    }
}
