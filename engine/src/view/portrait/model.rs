//! A model: its layers as strips, and its parameters by part.

use super::super::format::whole;
use super::super::table::{Column, Table};
use super::strips::{self, Piece, Strip};
use super::{Part, Portrait, bytes};
use crate::model::{LayerWeights, Model};

/// Bytes of one f32.
const F32: usize = 4;

fn count(tensor: &candle_core::Tensor) -> usize {
    tensor.elem_count()
}

fn rows(tensor: &candle_core::Tensor) -> usize {
    tensor.dims().first().copied().unwrap_or(0)
}

fn said(n: usize) -> String {
    whole(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Parameters of a layer by what they belong to.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    attention: usize,
    mlp: usize,
    norms: usize,
}

fn counts(layer: &LayerWeights) -> Counts {
    let attention = layer.attention.as_ref().map_or((0, 0), |a| {
        let heads = a.head_norms.as_ref().map_or(0, |n| count(&n.q) + count(&n.k));
        let biases = a
            .biases
            .as_ref()
            .map_or(0, |b| count(&b.q) + count(&b.k) + count(&b.v) + b.o.as_ref().map_or(0, count));
        let projections = count(&a.q) + count(&a.k) + count(&a.v) + count(&a.o);
        (projections + biases, count(&a.norm) + heads)
    });
    let mlp = layer
        .mlp
        .as_ref()
        .map_or((0, 0), |m| (count(&m.gate) + count(&m.up) + count(&m.down), count(&m.norm)));
    Counts { attention: attention.0, mlp: mlp.0, norms: attention.1 + mlp.1 }
}

/// What a layer has, in words.
fn told(layer: &LayerWeights, head_dim: usize) -> String {
    let attention = layer.attention.as_ref().map_or("no attention".to_string(), |a| {
        let (heads, kv) = (rows(&a.q) / head_dim.max(1), rows(&a.k) / head_dim.max(1));
        let kv = if kv == heads { String::new() } else { format!(" ({kv} kv)") };
        format!("{heads} heads{kv} of {head_dim}")
    });
    let mlp = layer
        .mlp
        .as_ref()
        .map_or("no MLP".to_string(), |m| format!("{} channels", said(rows(&m.gate))));
    format!("{attention} · {mlp}")
}

impl Portrait {
    /// A model: its shape as strips, its parameters by part, how large it is and where it lives.
    pub fn of_model(model: &Model) -> Self {
        let (weights, shape) = (&model.weights, model.shape());
        let layers: Vec<Counts> = weights.layers.iter().map(counts).collect();
        let table = |name: &str, tensor: &candle_core::Tensor| Strip {
            name: name.into(),
            pieces: vec![(Piece::Table, count(tensor))],
            told: format!("{} tokens × {}", said(shape.vocab), said(shape.hidden)),
        };
        let mut drawn = vec![table("embedding", &weights.embed)];
        drawn.extend(strips::layers(
            weights
                .layers
                .iter()
                .zip(&layers)
                .map(|(layer, c)| {
                    let pieces = [(Piece::Attention, c.attention), (Piece::Mlp, c.mlp)];
                    let there = pieces.into_iter().filter(|p| p.1 > 0).collect();
                    (there, told(layer, shape.head_dim))
                })
                .collect(),
        ));
        drawn.extend(weights.head.as_ref().map(|head| table("head", head)));

        let sum = |of: fn(&Counts) -> usize| layers.iter().map(of).sum::<usize>();
        let mut parts = vec![
            ("embedding".to_string(), count(&weights.embed)),
            (format!("attention of {} layers", layers.len()), sum(|c| c.attention)),
            (format!("MLP of {} layers", layers.len()), sum(|c| c.mlp)),
            ("norms".to_string(), sum(|c| c.norms) + count(&weights.norm)),
        ];
        parts.extend(weights.head.as_ref().map(|head| ("head".to_string(), count(head))));
        let all = model.parameters();
        let share = |n: usize| n as f64 / all.max(1) as f64;
        let columns = vec![
            ("part", Column::text(parts.iter().map(|p| &p.0))),
            ("parameters", Column::counts(parts.iter().map(|p| p.1))),
            ("share", Column::floats(parts.iter().map(|p| share(p.1)))),
        ];
        let size = model.weights.embed.dtype().size_in_bytes() * all;
        let kind = if size == F32 * all { "f32" } else { model.weights.embed.dtype().as_str() };
        let portrait =
            Self::new(format!("Model {}", model.name)).line(shape.to_string()).line(format!(
                "{} parameters · {} in {kind} · on {}",
                said(all),
                bytes(size as f64),
                crate::device::name(weights.embed.device())
            ));
        let portrait = portrait.part(Part::Strips(drawn));
        // Three columns of one length and different names always make a table.
        match Table::new("", columns) {
            Ok(table) => portrait.part(Part::Table(table.with_bars(&["share"]))),
            Err(_) => portrait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::LoadOptions;
    use crate::model::demo;

    #[test]
    fn the_parts_of_a_model_add_up_to_its_parameters() {
        let model = demo(&LoadOptions::default()).unwrap();
        let portrait = Portrait::of_model(&model);
        let Some(Part::Table(table)) = portrait.parts.last() else { panic!("a table") };
        let sum: f64 = table.cells("parameters").unwrap().iter().filter_map(|c| c.number()).sum();
        assert_eq!(sum, model.parameters() as f64);
        let text = portrait.to_text();
        assert!(text.starts_with("Model demo\n"), "{text}");
        assert!(text.contains("layer 0") && text.contains("6 heads (3 kv) of 16"), "{text}");
        assert!(text.contains("on cpu"), "{text}");
    }

    #[test]
    fn a_name_from_outside_is_escaped() {
        let mut model = demo(&LoadOptions::default()).unwrap();
        model.name = "<script>alert(1)</script>".into();
        let html = Portrait::of_model(&model).to_html();
        assert!(!html.contains("<script"), "{html}");
    }
}
