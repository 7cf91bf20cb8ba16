//! A person stops a run, looks inside, changes something, goes back, takes another branch - and every
//! branch is, to the bit, the run it would have been alone.

#[path = "support/runs.rs"]
mod runs;

use std::sync::atomic::{AtomicI64, Ordering};

use runs::{domains, hash, play, run};
use woolshed_engine::gate::{EvalMode, GateKind, GatePlace};
use woolshed_engine::progress::{Unwatched, Watch};
use woolshed_engine::rng::Stream;
use woolshed_engine::run::{Changes, Edit, KeepPolicy, Operation, Run, RunError};

/// A watch that asks to stop after some polls.
struct StopAfter(AtomicI64);

impl StopAfter {
    fn polls(n: u64) -> Self {
        Self((n as i64).into())
    }
}

impl Watch for StopAfter {
    fn stop_requested(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) <= 0
    }
}

/// A stream for case `case` of the test `name`.
fn stream(name: &str, case: u64) -> Stream {
    Stream::new(1, name, case)
}

#[test]
fn a_fork_that_steps_is_the_run_that_steps() {
    let domains = domains();
    for case in 0..60 {
        let mut stream = stream("fork", case);
        let mut run = run(&mut stream, &domains);
        play(&mut stream, &mut run, 3);
        let before = hash(&run);
        let mut fork = run.fork();
        let shared = run.trainer().parameters().shares_with(fork.trainer().parameters());
        assert!(shared, "case {case}: a fork copies nothing");
        fork.step(3, &Unwatched).unwrap();
        assert_eq!(hash(&run), before, "case {case}: the fork's steps reached the run");
        run.step(3, &Unwatched).unwrap();
        assert_eq!(hash(&run), hash(&fork), "case {case}");
        assert_ne!(hash(&run), before, "case {case}");
    }
}

#[test]
fn branches_do_not_see_each_others_edits() {
    let domains = domains();
    for case in 0..30 {
        let mut stream = stream("branches", case);
        let mut run = run(&mut stream, &domains);
        run.step(2, &Unwatched).unwrap();
        let mut branch = run.fork();
        let straight = {
            let mut alone = run.fork();
            alone.step(3, &Unwatched).unwrap();
            hash(&alone)
        };
        play(&mut stream, &mut branch, 4);
        run.step(3, &Unwatched).unwrap();
        assert_eq!(hash(&run), straight, "case {case}");
    }
}

#[test]
fn an_interrupted_run_goes_on_as_if_it_had_not_stopped() {
    let domains = domains();
    for case in 0..60 {
        let mut stream = stream("interrupt", case);
        let mut straight = run(&mut stream, &domains);
        let mut stopped = straight.fork();
        let counted = StopAfter::polls(u64::MAX >> 1);
        straight.step(9, &counted).unwrap();
        let polls = (u64::MAX >> 1) - counted.0.load(Ordering::Relaxed) as u64;
        assert!(polls > 9 * 10, "a step looks up many times on its way, not {polls} in nine");
        let mut stops = 0;
        while stopped.status().step < 9 {
            let left = 9 - stopped.status().step;
            let watch = StopAfter::polls(stream.below(polls));
            stops += u64::from(stopped.step(left, &watch).unwrap().interrupted);
        }
        // An evaluation may still be due.
        stopped.step(0, &Unwatched).unwrap();
        assert_eq!(hash(&stopped), hash(&straight), "case {case}, stopped {stops} times");
        assert_eq!(stopped.journal(), straight.journal());
    }
}

#[test]
fn a_journal_replayed_from_the_start_gives_the_same_run() {
    let domains = domains();
    let mut edits = 0;
    for case in 0..100 {
        let mut stream = stream("journal", case);
        let mut run = run(&mut stream, &domains);
        let mut again = run.fork();
        edits += play(&mut stream, &mut run, 8);
        for operation in run.journal().operations() {
            again.apply(operation, &Unwatched).unwrap();
        }
        assert_eq!(hash(&again), hash(&run), "case {case}: {:?}", run.journal());
        assert_eq!(again.journal(), run.journal());
    }
    assert!(edits > 150, "only {edits} edits were legal");
}

#[test]
fn a_rewound_run_is_the_run_as_it_was_and_goes_on_the_same_way() {
    let domains = domains();
    for case in 0..40 {
        let mut stream = stream("rewind", case);
        let mut run = run(&mut stream, &domains);
        run.keep(KeepPolicy { every: Some(1 + stream.below(4)), ..KeepPolicy::default() });
        let mut hashes = vec![hash(&run)];
        for _ in 0..5 {
            play(&mut stream, &mut run, 1);
            while hashes.len() <= run.status().step as usize {
                hashes.push(String::new());
            }
            let n = 1 + stream.below(2);
            for _ in 0..n {
                run.step(1, &Unwatched).unwrap();
                hashes.push(hash(&run));
            }
        }
        let end = run.status().step;
        let known: Vec<usize> = (0..hashes.len()).filter(|&i| !hashes[i].is_empty()).collect();
        let to = known[stream.below(known.len() as u64) as usize];
        let last = run.fork();
        run.rewind(to as u64, &Unwatched).unwrap();
        assert_eq!(hash(&run), hashes[to], "case {case}: back to {to} of {end}");
        let rest = last.journal().since(run.journal()).expect("the same branch");
        for operation in &rest {
            run.apply(operation, &Unwatched).unwrap();
        }
        assert_eq!(hash(&run), hash(&last), "case {case}: {to} and on to {end}");
    }
}

#[test]
fn a_rewind_that_cannot_be_leaves_the_run_where_it_is() {
    let mut run = run(&mut stream("no-rewind", 0), &domains());
    run.step(4, &Unwatched).unwrap();
    let before = hash(&run);
    let error = run.rewind(9, &Unwatched).unwrap_err().to_string();
    assert!(error.contains("at step 4") && error.contains("5 more steps"), "{error}");
    run.keep(KeepPolicy { every: Some(0), ..KeepPolicy::default() });
    let error = run.rewind(1, &Unwatched).unwrap_err().to_string();
    assert!(error.contains("none is kept in memory"), "{error}");
    assert_eq!(hash(&run), before);
}

#[test]
fn an_interrupted_rewind_leaves_the_run_where_it_is() {
    // With gates: a recovery keeps its best evaluation, from where the way back may be no step.
    let mut run = shearing();
    run.keep(KeepPolicy { every: Some(100), ..KeepPolicy::default() });
    run.step(7, &Unwatched).unwrap();
    let before = hash(&run);
    let stopped = run.rewind(6, &StopAfter::polls(3));
    assert!(matches!(stopped, Err(RunError::Interrupted)), "{stopped:?}");
    assert_eq!(hash(&run), before);
    run.rewind(6, &Unwatched).unwrap();
    assert_eq!(run.status().step, 6);
}

#[test]
fn snapshots_stay_within_their_bound_and_spread_over_the_run() {
    let mut run = run(&mut stream("bound", 2), &domains());
    run.step(1, &Unwatched).unwrap();
    let one = run.fork();
    let (_, bytes) = one.snapshots();
    // Room for six snapshots; records of steps make later ones a little larger.
    run.keep(KeepPolicy { every: Some(1), bytes: 6 * (bytes + 16 * 1024) });
    run.step(39, &Unwatched).unwrap();
    let (steps, held) = run.snapshots();
    assert!(held <= 6 * (bytes + 16 * 1024), "{held} bytes");
    assert_eq!((steps[0], steps[steps.len() - 1]), (0, 40));
    let gaps: Vec<u64> = steps.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.iter().all(|g| *g <= 16) && steps.len() >= 5, "{steps:?}");
    run.keep(KeepPolicy { every: None, bytes: 0 });
    assert_eq!(run.snapshots(), (vec![], 0));
}

/// A run that shears layers and heads, for edits that need both.
fn shearing() -> Run {
    let domains = domains();
    for case in 0.. {
        let run = run(&mut stream("shearing", case), &domains);
        let kinds = run.gates().map(|g| g.kinds()).unwrap_or_default();
        let wanted = [GateKind::Layer, GateKind::Intermediate];
        if wanted.iter().all(|k| kinds.contains(k)) && run.target().is_some() {
            return run;
        }
    }
    unreachable!("some case has both")
}

#[test]
fn a_protected_layer_is_still_there_at_the_target() {
    let mut run = shearing();
    let layers = run.gates().unwrap().source.layers;
    let kept = run.target().unwrap().layers;
    for l in (0..layers).rev().take(kept) {
        let gates = run.layer_gates(l).unwrap();
        run.edit(&Edit::Hold { gates, open: true }, &Unwatched).unwrap();
    }
    run.step(4, &Unwatched).unwrap();
    let values = run.gate_values(EvalMode::Target).unwrap();
    let layer = values.of(GateKind::Layer).unwrap();
    assert_eq!(layer.iter().filter(|z| **z == 1.0).count(), kept);
    assert!(layer[layers - kept..].iter().all(|z| *z == 1.0));
    let one_more = run.layer_gates(0).unwrap();
    let error = run.edit(&Edit::Hold { gates: one_more, open: true }, &Unwatched).unwrap_err();
    assert!(error.to_string().contains("release one first"), "{error}");
    assert_eq!(run.marks().len(), kept);
    assert!(run.layer_gates(99).unwrap_err().to_string().contains("nearest"));
}

#[test]
fn a_gate_held_closed_changes_nothing_it_guards_and_the_others_take_up_the_slack() {
    let mut run = shearing();
    let place = GatePlace { kind: GateKind::Intermediate, row: 0, index: 1 };
    let before = run.gates().unwrap().list(GateKind::Intermediate).unwrap()[1];
    run.edit(&Edit::Hold { gates: vec![place], open: false }, &Unwatched).unwrap();
    run.step(5, &Unwatched).unwrap();
    let held = run.gates().unwrap().list(GateKind::Intermediate).unwrap()[1];
    assert_eq!((held.probability, held.value, held.current), (0.0, 0.0, 0.0));
    assert_eq!((held.held, held.log_alpha), (Some(false), before.log_alpha.min(100f64.ln())));
    let last = run.trainer().shear.as_ref().unwrap().last().unwrap();
    let table = run.gates().unwrap().kinds().iter().position(|k| *k == place.kind).unwrap();
    assert_eq!((last.sample[table][1], last.grads[table][1]), (0.0, 0.0));
    run.edit(&Edit::Release { gates: vec![place] }, &Unwatched).unwrap();
    let free = run.gates().unwrap().list(GateKind::Intermediate).unwrap()[1];
    assert_eq!((free.held, free.log_alpha), (None, held.log_alpha));
}

#[test]
fn an_edit_that_cannot_be_changes_nothing() {
    let mut run = shearing();
    run.step(2, &Unwatched).unwrap();
    let before = hash(&run);
    let set = |changes| Operation::Edit(Edit::Set(Box::new(changes)));
    let log_alpha = |index, value| {
        let gate = GatePlace { kind: GateKind::Layer, row: 0, index };
        Operation::Edit(Edit::LogAlpha { gate, value })
    };
    for (operation, part) in [
        (set(Changes { lr: Some(-1.0), ..Changes::default() }), "`lr` is -1"),
        (set(Changes { batch: Some(0), ..Changes::default() }), "at least 1"),
        (set(Changes { mixture: Some(vec![1.0]), ..Changes::default() }), "one weight a domain"),
        (
            set(Changes { reference: Some(vec![1.0]), ..Changes::default() }),
            "1 reference losses for 5",
        ),
        (set(Changes { lr: Some(1e-3), gate_lr: Some(0.0), ..Changes::default() }), "`gate_lr`"),
        (set(Changes { sparsity: Some(0.5), ..Changes::default() }), "aims at a target shape"),
        (log_alpha(0, 77.0), "nearest: 4.6052"),
        (log_alpha(44, 0.0), "there is no `layer` gate 44"),
    ] {
        let error = run.apply(&operation, &Unwatched).unwrap_err().to_string();
        assert!(error.contains(part), "`{part}` is not in: {error}");
        assert_eq!(hash(&run), before, "{operation:?}");
    }
}

#[test]
fn an_edit_that_names_nothing_leaves_no_trace() {
    let mut run = shearing();
    run.step(1, &Unwatched).unwrap();
    let before = hash(&run);
    for edit in [
        Edit::Hold { gates: Vec::new(), open: true },
        Edit::Release { gates: Vec::new() },
        Edit::Set(Box::default()),
    ] {
        run.edit(&edit, &Unwatched).unwrap();
        assert_eq!((hash(&run), run.marks().len()), (before.clone(), 0), "{edit:?}");
        assert_eq!(run.journal().operations(), [Operation::Step { steps: 1 }]);
    }
}

#[test]
fn a_new_target_is_what_extraction_cuts_to() {
    let domains = domains();
    let mut cut = 0;
    for case in 0..30 {
        let mut stream = stream("retarget", case);
        let mut run = run(&mut stream, &domains);
        if run.target().is_none() {
            continue;
        }
        run.step(2, &Unwatched).unwrap();
        let target = runs::target(&mut stream, run.source());
        run.edit(&Edit::Target { target }, &Unwatched).unwrap();
        run.step(2, &Unwatched).unwrap();
        let mut shape = target.resolve(&run.source().shape()).unwrap();
        let kinds = run.gates().unwrap().kinds();
        let cut_to = run.extract().unwrap().shape();
        if kinds.contains(&GateKind::Mlp) {
            // Split gates may take the attention of one layer and the MLP of another.
            shape.layers = cut_to.layers;
        }
        assert_eq!(cut_to, shape, "case {case}");
        assert!(run.steps().iter().all(|s| s.figures.expected.len() == kinds.len()), "case {case}");
        cut += 1;
    }
    assert!(cut > 10, "{cut} cases had a target");
}

#[test]
fn a_recovery_has_no_gates_to_edit_and_says_so() {
    let domains = domains();
    let mut run = (0..)
        .map(|case| run(&mut stream("recovery", case), &domains))
        .find(|run| run.gates().is_err())
        .expect("some case recovers");
    let gates = vec![GatePlace { kind: GateKind::Layer, row: 0, index: 0 }];
    let error = run.edit(&Edit::Hold { gates, open: true }, &Unwatched).unwrap_err();
    assert!(error.to_string().contains("has no gates"), "{error}");
    run.edit(&Edit::Set(Box::new(Changes { lr: Some(1e-3), ..Changes::default() })), &Unwatched)
        .unwrap();
    assert_eq!(run.marks()[0].what, "lr 0.001");
}
