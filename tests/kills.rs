//! A run that is killed again and again loses nothing: 100 kills -9 at random moments, during
//! stepping and saving, and the hash in the end is that of the unbroken run.
#![cfg(unix)]

#[path = "support/command.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod command;

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use command::{Bench, DOMAINS, MODEL};

const KILLS: usize = 100;

/// Starts the run, or resumes it where one is saved, and steps on with a save at every step.
fn script(end: &str) -> String {
    format!(
        "{MODEL}{DOMAINS}\
         let run = ();\n\
         try {{ run = resume(\"saved\"); }} catch (error) {{\n\
             if !error.contains(\"there is no such folder\") && !error.contains(\"holds no run.json\") {{ throw error; }}\n\
             run = prune(model, target_shape(#{{layers: 1, hidden: 24}}), domains, \
                 #{{steps: 200, batch: 2, eval_every: 3}});\n\
         }}\n\
         {end}"
    )
}

/// A number in 0..n out of a counter: the moments need no better randomness (SplitMix64).
fn random(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % n
}

#[test]
fn a_hundred_kills_lose_no_snapshot_and_change_no_bit() {
    let bench = Bench::new();
    bench.domains("data");
    let forever = script("run.autosave(\"saved\", #{every: 1, keep: 2});\nrun.step(1000000);\n");
    bench.write("forever.rhai", forever);
    bench.write("look.rhai", script("print(run.status().step + \" \" + run.hash());\n"));
    let look = || {
        let shown = bench.run(&["run", "look.rhai", "--out", "."]);
        let (step, hash) = shown
            .ok()
            .trim()
            .split_once(' ')
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .expect("step and hash");
        (step.parse::<u64>().expect("a step"), hash)
    };
    // A life is long enough to start, to resume and to take some steps, on a busy machine too.
    let begin = Instant::now();
    assert_eq!(look().0, 0);
    let start = begin.elapsed().as_millis() as u64;
    let begin = Instant::now();
    let (mut state, mut last, mut amid_a_save) = (7u64, 0, 0);
    for kill in 0..KILLS {
        let mut command = bench.command(&["run", "forever.rhai", "--out", "."]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let life = start / 2 + random(&mut state, 2 * start + 250);
        std::thread::sleep(Duration::from_millis(life));
        child.kill().expect("it is killed");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), None, "kill {kill}: it ended by itself: {status}");
        let names = fs::read_dir(bench.path("saved")).into_iter().flatten();
        let names = names.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
        amid_a_save += usize::from(names.into_iter().any(|name| name.starts_with('.')));
        // Every tenth time, and at the end, the folder is read as a person would.
        if kill % 10 == 9 {
            let (step, _) = look();
            assert!(step >= last, "kill {kill}: step {step} after step {last}");
            last = step;
        }
    }
    let (step, hash) = look();
    let taken = begin.elapsed();
    fs::rename(bench.path("saved"), bench.path("broken")).expect("moved aside");
    let straight = script(&format!("run.step({step});\nprint(run.hash());\n"));
    let unbroken = bench.script(&straight, &[]);
    assert_eq!(unbroken.ok().trim(), hash, "after {KILLS} kills and {step} steps");
    println!(
        "{KILLS} kills in {:.0} s, {amid_a_save} of them amid a save; step {step}, hash {hash}",
        taken.as_secs_f64()
    );
    assert!(step > 50, "only {step} steps were saved: the kills came too early");
    assert!(amid_a_save > 10, "only {amid_a_save} kills fell into a save");
}
