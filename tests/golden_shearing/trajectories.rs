//! Optimiser steps with recorded batches and noise: every `trajectory_*.json` and `.safetensors`.

use candle_core::DType;
use serde_json::Value;
use woolshed_engine::gate::{Constraint, EvalMode, Lagrangian};
use woolshed_engine::model::Model;
use woolshed_engine::progress::Unwatched;
use woolshed_engine::train::{
    AdamConfig, Schedule, Shear, ShearRates, StepFigures, StepOutcome, Trainer, TrainerConfig,
};

use super::golden::{self, Comparison, Fixture, count, number, target_shape};
use super::{compare_info, compare_masks, numbers, pass, zeros};

/// Limit after ten optimiser steps in f64: Adam divides by roots of small numbers.
const TRAINED: f64 = 1e-10;

/// Starts the trainer that a trajectory describes.
fn trainer(t: &Fixture, model: &Model) -> Trainer {
    let json = &t.json;
    let source = model.shape();
    let target = target_shape(&json["target"], &source);
    let embeddings = json["mask_embeddings"].as_bool().expect("`mask_embeddings`");
    let gates = t.gates("init.log_alpha.", &source, Some(&target), embeddings);
    let warmup = count(json, "lagrangian_warmup_steps") as u64;
    let lagrangian = Lagrangian::new(Constraint::Shape, warmup, &gates);
    let betas: Vec<f64> =
        json["betas"].as_array().expect("`betas`").iter().flat_map(Value::as_f64).collect();
    let adam = AdamConfig {
        betas: (betas[0], betas[1]),
        eps: number(json, "adam_eps"),
        weight_decay: number(json, "weight_decay"),
    };
    let config = TrainerConfig {
        lr: number(json, "lr"),
        schedule: Schedule {
            warmup: count(json, "t_warmup") as u64,
            total: count(json, "max_duration") as u64,
            floor: number(json, "alpha_f"),
        },
        clip: number(json, "clip_norm"),
        adam,
        tokens: t.ids("step0.input_ids").1,
        accumulate: 1,
        recompute: false,
        elastic: true,
        distill: None,
    };
    let rate = number(json, "lag_lr");
    let rates = ShearRates { gates: rate, multipliers: rate };
    let shear = Shear::new(gates, lagrangian, rates, adam, 0);
    Trainer::new(model, config, Some(shear)).expect("a trainer")
}

/// Takes every step of a trajectory; `see` is shown each.
fn walk(t: &Fixture, model: &Model, mut see: impl FnMut(&Value, &StepFigures, &Shear)) -> Trainer {
    let mut trainer = trainer(t, model);
    for step in t.json["steps"].as_array().expect("`steps`") {
        let k = count(step, "step");
        let (ids, _) = t.ids(&format!("step{k}.input_ids"));
        let noise: Vec<Vec<f64>> =
            t.masks(&format!("step{k}.u.")).into_iter().map(|(_, u)| u).collect();
        let outcome = trainer.step(k as u64, &ids, Some(&noise), &Unwatched).expect("a step");
        let StepOutcome::Taken(figures) = outcome else { panic!("step {k}: {outcome:?}") };
        let shear = trainer.shear.as_ref().expect("gates in training");
        see(step, &figures, shear);
    }
    trainer
}

fn for_every_trajectory(mut see: impl FnMut(&Fixture, &Model)) {
    let Some(model) = golden::model(DType::F64) else { return };
    for name in golden::names("trajectory_") {
        if let Some(fixture) = Fixture::open(&name) {
            see(&fixture, &model);
        }
    }
}

#[test]
fn golden_trajectories_step_by_step() {
    for_every_trajectory(|t, model| {
        let mut compare = Comparison::new(format!("{} steps", t.name));
        walk(t, model, |step, figures, shear| {
            let k = count(step, "step");
            let at = format!("step {k}");
            let mut figure =
                |key: &str, got| compare.number(key, &at, got, number(step, key), TRAINED);
            figure("lr_multiplier", figures.factor);
            figure("ce_loss", figures.loss);
            figure("lag_loss", figures.lagrangian);
            figure("total", figures.loss + figures.lagrangian);
            figure("grad_norm_before_clip", figures.grad_norm);
            figure("grad_norm_weights", figures.grad_norms.weights);
            figure("grad_norm_masks", figures.grad_norms.gates);
            figure("grad_norm_lambdas", figures.grad_norms.multipliers);
            let shown = (&figures.expected[..], figures.target.as_deref(), figures.overall);
            compare_info(&mut compare, &at, &shear.gates, shown, &step["info"], TRAINED);
            for (table, pair) in shear.gates.tables.iter().zip(&shear.lagrangian.multipliers) {
                for (order, got) in [(1, pair.linear), (2, pair.quadratic)] {
                    let want =
                        number(&step["lambdas_after"], &format!("lambda_{order}_{}", table.kind));
                    compare.number("lambdas_after", &at, got, want, TRAINED);
                }
                let want = t.get(&format!("step{k}.log_alpha_after.{}", table.kind));
                compare.close("log_alpha_after", &at, &table.log_alpha, &want, TRAINED);
            }
        });
        compare.finish();
    });
}

#[test]
fn golden_trajectories_end_in_the_same_weights_and_masks() {
    for_every_trajectory(|t, model| {
        let mut compare = Comparison::new(format!("{} end", t.name));
        let trainer = walk(t, model, |_, _, _| {});
        for (weight, got) in trainer.model().weights.named() {
            let want = t.get(&format!("final.{weight}"));
            compare.close("final weights", &weight, &numbers(got), &want, TRAINED);
        }
        // The reference clamps log-alphas at the start of every forward, evaluations included.
        let gates = &trainer.shear.as_ref().expect("gates in training").gates;
        let ids = t.ids("step0.input_ids");
        for (mode, name) in [(EvalMode::Current, "current"), (EvalMode::Target, "target")] {
            let mut values = gates.evaluate(mode);
            for (table, z) in gates.tables.iter().zip(&mut values.values) {
                let at = format!("{name}.{}", table.kind);
                let want = t.get(&format!("final.z_{at}"));
                compare_masks(&mut compare, &at, gates, table, z, &want, TRAINED);
                if zeros(z) != zeros(&want) {
                    println!("{}: {at}: a cut among equal gates; loss of the recorded one", t.name);
                    *z = want;
                }
            }
            let loss = pass(trainer.model(), Some(&values), &ids).loss;
            let key = format!("final_eval_ce_{name}");
            compare.number("final_eval_ce", name, loss, number(&t.json, &key), TRAINED);
        }
        compare.finish();
    });
}
