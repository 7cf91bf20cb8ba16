//! A person saves a run and resumes it: to the bit, or with a clear word on what is wrong.

#[path = "support/runs.rs"]
mod runs;

use std::fs;
use std::path::{Path, PathBuf};

use runs::{domains, hash, play, run};
use woolshed_engine::data::{DataOrigin, DomainOptions, demo};
use woolshed_engine::progress::Unwatched;
use woolshed_engine::rng::Stream;
use woolshed_engine::run::{Autosave, ResumeOptions, Run};

fn stream(name: &str, case: u64) -> Stream {
    Stream::new(2, name, case)
}

fn resume(dir: &Path) -> Result<Run, String> {
    Run::resume(dir, &ResumeOptions::default(), &Unwatched).map_err(|error| error.to_string())
}

/// Every file under a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_saved_and_resumed_run_is_the_straight_one_by_hash_in_200_random_cases() {
    let domains = domains();
    let dir = tempfile::tempdir().unwrap();
    for case in 0..200 {
        let mut stream = stream("resume", case);
        let mut straight = run(&mut stream, &domains);
        play(&mut stream, &mut straight, 3);
        let place = dir.path().join(format!("{case}"));
        straight.fork().save(&place, 2).unwrap();
        // The domains are handed over: making them again has a test of its own.
        let options = ResumeOptions { domains: Some(domains.clone()), ..ResumeOptions::default() };
        let mut resumed = Run::resume(&place, &options, &Unwatched).unwrap();
        assert_eq!(hash(&resumed), hash(&straight), "case {case}: at once");
        let mut rest = stream.clone();
        play(&mut stream, &mut straight, 3);
        play(&mut rest, &mut resumed, 3);
        assert_eq!(hash(&resumed), hash(&straight), "case {case}: after more");
        assert_eq!(resumed.journal(), straight.journal(), "case {case}");
        assert_eq!(resumed.origin().unwrap(), straight.origin().unwrap(), "case {case}");
        fs::remove_dir_all(&place).unwrap();
    }
}

#[test]
fn a_run_resumes_with_nothing_but_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run(&mut stream("alone", 1), &domains());
    run.step(3, &Unwatched).unwrap();
    run.save(dir.path(), 2).unwrap();
    let mut resumed = resume(dir.path()).unwrap();
    run.step(4, &Unwatched).unwrap();
    resumed.step(4, &Unwatched).unwrap();
    assert_eq!(hash(&resumed), hash(&run));
    assert!(matches!(resumed.origin().unwrap().domains, DataOrigin::Demo { .. }));
    assert_eq!(resumed.source().name, run.source().name);
}

#[test]
fn a_run_saved_every_few_steps_keeps_the_last_ones_and_each_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run(&mut stream("autosave", 3), &domains());
    run.autosave(Some(Autosave { dir: dir.path().into(), every: 2, keep: 3 }));
    let mut hashes = Vec::new();
    for _ in 0..9 {
        run.step(1, &Unwatched).unwrap();
        hashes.push(hash(&run));
    }
    for step in [4, 6, 8] {
        let options = ResumeOptions { step: Some(step), ..ResumeOptions::default() };
        let resumed = Run::resume(dir.path(), &options, &Unwatched).unwrap();
        assert_eq!(hash(&resumed), hashes[step as usize - 1]);
    }
    assert_eq!(resume(dir.path()).unwrap().status().step, 8);
    let options = ResumeOptions { step: Some(2), ..ResumeOptions::default() };
    let error = Run::resume(dir.path(), &options, &Unwatched).unwrap_err().to_string();
    assert!(error.contains("no snapshot of step 2") && error.contains("nearest: 4"), "{error}");
    let folders = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(folders, 5, "run.json, source and three snapshots");
}

#[test]
fn every_flipped_byte_and_every_cut_file_is_noticed_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run(&mut stream("damage", 4), &domains());
    run.step(2, &Unwatched).unwrap();
    run.save(dir.path(), 2).unwrap();
    let before = hash(&run);
    let mut stream = stream("damage-places", 0);
    let mut tried = 0;
    for path in files(dir.path()) {
        let whole = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for attempt in 0..12 {
            let mut bytes = whole.clone();
            match attempt {
                0 => bytes.truncate(bytes.len() / 2),
                1 => bytes.clear(),
                _ => {
                    let at = stream.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << stream.below(8);
                }
            }
            fs::write(&path, &bytes).unwrap();
            match resume(dir.path()) {
                // A flipped bit in `written_by` or in white space changes nothing that counts.
                Ok(run) if name == "run.json" => assert_eq!(hash(&run), before),
                Ok(_) => panic!("{name}: attempt {attempt} was not noticed"),
                Err(error) => {
                    let folder = dir.path().to_string_lossy().into_owned();
                    assert!(error.contains(&folder), "{name}: {error}");
                    tried += 1;
                }
            }
        }
        fs::remove_file(&path).unwrap();
        let error = resume(dir.path()).unwrap_err();
        assert!(error.contains(&name) || name == "sums.json", "{name}: {error}");
        fs::write(&path, &whole).unwrap();
    }
    assert!(tried > 60, "{tried}");
    assert_eq!(hash(&resume(dir.path()).unwrap()), before);
}

#[test]
fn a_damaged_snapshot_points_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run(&mut stream("earlier", 0), &domains());
    run.step(1, &Unwatched).unwrap();
    run.save(dir.path(), 2).unwrap();
    let first = hash(&run);
    run.step(1, &Unwatched).unwrap();
    let last = run.save(dir.path(), 2).unwrap();
    let tensors = last.join("tensors.safetensors");
    let mut bytes = fs::read(&tensors).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&tensors, bytes).unwrap();
    let error = resume(dir.path()).unwrap_err();
    assert!(error.contains("tensors.safetensors is damaged"), "{error}");
    assert!(error.contains("resume another snapshot instead, of step 1"), "{error}");
    let options = ResumeOptions { step: Some(1), ..ResumeOptions::default() };
    let resumed = Run::resume(dir.path(), &options, &Unwatched).unwrap();
    assert_eq!(hash(&resumed), first);
}

#[test]
fn a_newer_format_and_a_folder_without_a_run_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let error = resume(&dir.path().join("nowhere")).unwrap_err();
    assert!(error.contains("there is no such folder"), "{error}");
    let error = resume(dir.path()).unwrap_err();
    assert!(error.contains("it holds no run.json"), "{error}");
    let mut run = run(&mut stream("newer", 0), &domains());
    run.save(dir.path(), 1).unwrap();
    let index = dir.path().join("run.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("\"version\":1", "\"version\":7")).unwrap();
    let error = resume(dir.path()).unwrap_err();
    assert!(error.contains("in format 7") && error.contains("up to 1"), "{error}");
    // A save into it does not overwrite what it cannot read.
    assert!(run.fork().save(dir.path(), 1).unwrap_err().to_string().contains("format 7"));
}

#[test]
fn other_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run(&mut stream("data", 0), &domains());
    run.save(dir.path(), 1).unwrap();
    let options = DomainOptions { seq_len: 16, max_tokens: Some(900), ..DomainOptions::default() };
    let other = demo::domains(&options, 6, &Unwatched).unwrap();
    let options = ResumeOptions { domains: Some(other.into()), ..ResumeOptions::default() };
    let error = Run::resume(dir.path(), &options, &Unwatched).unwrap_err().to_string();
    assert!(error.contains("other data"), "{error}");
}

#[test]
fn another_run_or_branch_does_not_overwrite_a_saved_one() {
    let dir = tempfile::tempdir().unwrap();
    let domains = domains();
    let mut one = run(&mut stream("home", 0), &domains);
    one.step(2, &Unwatched).unwrap();
    let mut branch = one.fork();
    one.step(2, &Unwatched).unwrap();
    one.save(dir.path(), 2).unwrap();
    branch.evaluate(&Unwatched).unwrap();
    let error = branch.save(dir.path(), 2).unwrap_err().to_string();
    assert!(error.contains("another branch, at step 4"), "{error}");
    let mut other = run(&mut stream("home", 1), &domains);
    let error = other.save(dir.path(), 2).unwrap_err().to_string();
    assert!(error.contains("started from another model"), "{error}");
    // A branch that goes on from what is saved may, and so may the run itself after a rewind.
    let mut further = one.fork();
    further.step(1, &Unwatched).unwrap();
    further.save(dir.path(), 2).unwrap();
    one.rewind(1, &Unwatched).unwrap();
    one.save(dir.path(), 2).unwrap();
    assert_eq!(hash(&resume(dir.path()).unwrap()), hash(&one));
}

#[test]
fn what_a_killed_save_left_is_swept_up_and_never_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run(&mut stream("sweep", 0), &domains());
    run.save(dir.path(), 2).unwrap();
    let before = hash(&run);
    // A snapshot that was renamed but is in no index, and a part.
    for name in ["step-00000009-deadbeef", ".step-00000009-deadbeef.77.part"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("state.json"), "{}").unwrap();
    }
    assert_eq!(hash(&resume(dir.path()).unwrap()), before);
    run.step(1, &Unwatched).unwrap();
    run.save(dir.path(), 2).unwrap();
    let names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().all(|n| !n.contains("deadbeef")), "{names:?}");
    assert_eq!(hash(&resume(dir.path()).unwrap()), hash(&run));
}

#[test]
fn folders_of_somebody_else_stay_where_a_run_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = [
        "step-1000",
        "step-00001000",
        "step-00001000-notes",
        ".cache.part",
        ".step-1000.7.part",
        ".git",
    ];
    for name in theirs {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("weights.bin"), "theirs").unwrap();
    }
    let mut run = run(&mut stream("foreign", 0), &domains());
    for _ in 0..4 {
        run.step(1, &Unwatched).unwrap();
        run.save(dir.path(), 1).unwrap();
    }
    for name in theirs {
        let kept = fs::read(dir.path().join(name).join("weights.bin"));
        assert_eq!(kept.unwrap(), b"theirs", "{name}");
    }
    assert_eq!(hash(&resume(dir.path()).unwrap()), hash(&run));
}

#[test]
fn a_recovery_of_a_sheared_model_resumes_without_the_first_run() {
    let domains = domains();
    let mut first = (0..)
        .map(|case| run(&mut stream("chain", case), &domains))
        .find(|run| run.target().is_some())
        .expect("some case shears");
    first.step(3, &Unwatched).unwrap();
    let small = first.extract().unwrap();
    let train = first.options().clone();
    let mut second = Run::recover(&small, domains, train, &Unwatched).unwrap();
    second.step(2, &Unwatched).unwrap();
    let dir = tempfile::tempdir().unwrap();
    second.save(dir.path(), 1).unwrap();
    let mut resumed = resume(dir.path()).unwrap();
    assert_eq!(resumed.origin().unwrap(), second.origin().unwrap());
    resumed.step(1, &Unwatched).unwrap();
    second.step(1, &Unwatched).unwrap();
    assert_eq!(hash(&resumed), hash(&second));
}
