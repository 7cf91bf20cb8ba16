//! Models side by side: what each costs, how well it does, how fast it is.
//!
//! Usually three: the source, the masked model and the cut one. The masked model costs what the source
//! costs and does what the cut one does; the panel shows both.

use super::{BarChart, Chart, Column, Table, ViewError};
use crate::judge::Cost;

/// One model of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelModel {
    /// Its name: `source`, `masked`, `cut`.
    pub name: String,
    /// What it costs.
    pub cost: Cost,
    /// Its loss on each domain, nats/token; none if it was not evaluated.
    pub losses: Option<Vec<f64>>,
    /// Its measured speed; none if it was not measured.
    pub tokens_per_second: Option<f64>,
}

impl PanelModel {
    /// Mean of the losses over domains.
    fn mean_loss(&self) -> Option<f64> {
        let losses = self.losses.as_ref().filter(|losses| !losses.is_empty())?;
        Some(losses.iter().sum::<f64>() / losses.len() as f64)
    }
}

/// Table of models side by side, a row a figure: parameters, arithmetic, memory, speed, losses.
///
/// # Units
/// The second column says them; MB is 10^6 bytes.
///
/// # Errors
/// Two models of one name; polars'.
pub fn cost_table(models: &[PanelModel], domains: &[String]) -> Result<Table, ViewError> {
    let mut rows: Vec<(String, &str, Vec<Option<f64>>)> = Vec::new();
    let mut row = |figure: &str, unit, value: Figure<'_>| {
        rows.push((figure.to_string(), unit, models.iter().map(value).collect()));
    };
    let counted = |value: fn(&Cost) -> u64| move |m: &PanelModel| Some(value(&m.cost) as f64);
    let mega = |value: fn(&Cost) -> u64| move |m: &PanelModel| Some(value(&m.cost) as f64 / 1e6);
    row("parameters", "", &counted(|c| c.parameters));
    row("prunable parameters", "", &counted(|c| c.prunable));
    row("forward pass", "MFLOP/token", &mega(|c| c.flops_per_token));
    row("weights, f32", "MB", &mega(|c| c.weight_bytes_f32));
    row("weights, bf16", "MB", &mega(|c| c.weight_bytes_bf16));
    row("keys and values, f32", "bytes/token", &counted(|c| c.kv_cache_bytes_per_token));
    row("Adam moments, f32", "MB", &mega(|c| c.adam_bytes));
    if models.iter().any(|m| m.tokens_per_second.is_some()) {
        row("forward speed, measured", "tokens/s", &|m| m.tokens_per_second);
    }
    if models.iter().any(|m| m.losses.is_some()) {
        for (i, domain) in domains.iter().enumerate() {
            let loss = |m: &PanelModel| m.losses.as_ref()?.get(i).copied();
            row(&format!("loss on {domain}"), "nats/token", &loss);
        }
        if domains.len() > 1 {
            row("loss, mean of domains", "nats/token", &PanelModel::mean_loss);
        }
    }
    let mut columns = vec![
        ("figure".to_string(), Column::text(rows.iter().map(|r| &r.0))),
        ("unit".to_string(), Column::text(rows.iter().map(|r| r.1))),
    ];
    for (i, model) in models.iter().enumerate() {
        let values = rows.iter().map(|r| r.2[i]).collect();
        columns.push((model.name.clone(), Column::Float(values)));
    }
    let tokens = models.first().map_or(0, |m| m.cost.tokens);
    Table::new(format!("models side by side, rows of {tokens} tokens"), columns)
}

/// One figure of a model, if it is known.
type Figure<'a> = &'a dyn Fn(&PanelModel) -> Option<f64>;

/// Bars of the same models, each figure as a multiple of the first model's.
pub fn cost_chart(models: &[PanelModel]) -> Chart {
    let figures: [(&str, Figure<'_>); 5] = [
        ("parameters", &|m| Some(m.cost.parameters as f64)),
        ("FLOP/token", &|m| Some(m.cost.flops_per_token as f64)),
        ("KV cache", &|m| Some(m.cost.kv_cache_bytes_per_token as f64)),
        ("speed", &|m| m.tokens_per_second),
        ("mean loss", &PanelModel::mean_loss),
    ];
    // A figure that nobody has is no group of empty bars.
    let known = |figure: Figure<'_>| models.iter().any(|m| figure(m).is_some());
    let figures: Vec<_> = figures.into_iter().filter(|(_, figure)| known(*figure)).collect();
    let ratio = |m: &PanelModel, figure: Figure<'_>| -> f64 {
        let base = models.first().and_then(figure);
        base.zip(figure(m)).map_or(f64::NAN, |(base, x)| x / base)
    };
    let series = models.iter().map(|m| {
        let values = figures.iter().map(|(_, figure)| ratio(m, *figure)).collect();
        (m.name.clone(), values)
    });
    let first = models.first().map_or("the first", |m| m.name.as_str());
    let chart = BarChart {
        title: "Models side by side".into(),
        x_label: String::new(),
        y_label: format!("times {first}"),
        groups: figures.iter().map(|(name, _)| name.to_string()).collect(),
        series: series.collect(),
    };
    chart.into()
}

#[cfg(test)]
mod tests {
    use super::super::Cell;
    use super::super::draw::checks::assert_tidy;
    use super::*;

    fn model(name: &str, parameters: u64, losses: Option<Vec<f64>>) -> PanelModel {
        let cost = Cost {
            parameters,
            prunable: parameters / 2,
            flops_per_token: 2 * parameters,
            tokens: 64,
            weight_bytes_f32: 4 * parameters,
            weight_bytes_bf16: 2 * parameters,
            kv_cache_bytes_per_token: 1024,
            adam_bytes: 8 * parameters,
        };
        PanelModel { name: name.into(), cost, losses, tokens_per_second: None }
    }

    fn names() -> Vec<String> {
        vec!["book".into(), "code".into()]
    }

    #[test]
    fn the_panel_has_a_row_for_every_figure_that_is_known() {
        let models = [
            model("source", 2_000_000, Some(vec![2.0, 1.0])),
            model("cut", 500_000, Some(vec![2.5, 1.5])),
        ];
        let table = cost_table(&models, &names()).unwrap();
        assert_eq!(table.rows(), 10);
        assert_eq!(table.value(0, "cut").unwrap(), Cell::Float(500_000.0));
        assert_eq!(table.value(3, "source").unwrap(), Cell::Float(8.0));
        assert_eq!(table.value(8, "figure").unwrap(), Cell::Text("loss on code".into()));
        assert_eq!(table.value(9, "cut").unwrap(), Cell::Float(2.0));
        let bare = cost_table(&[model("source", 10, None)], &names()).unwrap();
        assert_eq!(bare.rows(), 7);
    }

    #[test]
    fn bars_are_multiples_of_the_first_model() {
        let models = [model("source", 2_000_000, Some(vec![2.0])), model("cut", 500_000, None)];
        let chart = cost_chart(&models);
        assert_tidy(&chart.sheet().unwrap());
        let Chart::Bars(bars) = chart else { panic!("bars") };
        assert_eq!(bars.groups, ["parameters", "FLOP/token", "KV cache", "mean loss"]);
        assert_eq!(bars.series[0].1, [1.0; 4]);
        assert_eq!(bars.series[1].1[..3], [0.25, 0.25, 1.0]);
        assert!(bars.series[1].1[3].is_nan());
        assert_tidy(&cost_chart(&[]).sheet().unwrap());
    }
}
