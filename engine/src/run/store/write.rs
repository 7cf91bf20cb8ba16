//! Saving: a folder under a hidden name, brought to the disk, renamed, then one move of `run.json`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::super::{Run, RunError};
use super::layout::{
    Entry, FORMAT, INDEX, Index, PART, SOURCE, STATE, SUMS, StateFile, Sum, Sums, TEACHER, TENSORS,
    VERSION, file, read_index,
};
use crate::digest::Digest;
use crate::files::write_whole;
use crate::model::Model;

/// Saving every few steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autosave {
    /// Where.
    pub dir: PathBuf,
    /// Steps between two saves.
    pub every: u64,
    /// Snapshots that stay; older ones are removed.
    pub keep: usize,
}

impl Run {
    /// Saves the run into `dir` and gives the snapshot's folder. The last `keep` snapshots stay.
    ///
    /// A kill at any instant leaves the last whole snapshot.
    ///
    /// # Errors
    /// The folder holds another run, or a branch that this run does not go on from; the system's.
    pub fn save(&mut self, dir: &Path, keep: usize) -> Result<PathBuf, RunError> {
        let earlier = if dir.join(INDEX).exists() { Some(read_index(dir)?) } else { None };
        if let Some(index) = &earlier
            && !self.homes.contains(&dir.to_path_buf())
        {
            self.check_home(dir, index)?;
        }
        fs::create_dir_all(dir).map_err(file("make the folder", dir))?;
        sweep(dir, earlier.as_ref())?;
        if !dir.join(SOURCE).join(SUMS).is_file() {
            let sha256 = self.start.digest()?;
            write_folder(dir, SOURCE, |folder| write_model(folder, self.source(), sha256))?;
        }
        if let Some(teacher) = self.start.stored_teacher()?
            && !dir.join(TEACHER).join(SUMS).is_file()
        {
            write_folder(dir, TEACHER, |folder| {
                write_model(folder, &teacher.model, &teacher.sha256)
            })?;
        }
        let entry = self.write_snapshot(dir)?;
        let folder = entry.folder.clone();
        let earlier_best = earlier.as_ref().and_then(|index| index.best.clone());
        let best = self.write_best(dir, &entry, earlier_best.clone())?;
        let mut snapshots = earlier.map_or_else(Vec::new, |index| index.snapshots);
        snapshots.retain(|old| old.folder != entry.folder);
        snapshots.push(entry);
        let gone: Vec<Entry> =
            snapshots.drain(..snapshots.len().saturating_sub(keep.max(1))).collect();
        let gone = gone.into_iter().chain(earlier_best);
        let index = Index {
            format: FORMAT.into(),
            version: VERSION,
            written_by: format!("woolshed {}", env!("CARGO_PKG_VERSION")),
            source_sha256: self.start.digest()?.into(),
            snapshots,
            best,
        };
        write_json(&dir.join(INDEX), &index)?;
        sync_folder(dir)?;
        for entry in gone.filter(|gone| !index.all().any(|kept| kept.folder == gone.folder)) {
            remove(dir, &entry.folder)?;
        }
        if !self.homes.contains(&dir.to_path_buf()) {
            self.homes.push(dir.to_path_buf());
        }
        Ok(dir.join(folder))
    }

    /// Writes the state as it is, unless it is there.
    fn write_snapshot(&self, dir: &Path) -> Result<Entry, RunError> {
        let hash = self.hash()?;
        let step = self.status().step;
        let folder = format!("step-{step:08}-{}", &hash[..8]);
        if !dir.join(&folder).is_dir() {
            write_folder(dir, &folder, |folder| self.write_state(folder))?;
        }
        let sums = dir.join(&folder).join(SUMS);
        let (_, sums_sha256) = Digest::file(&sums).map_err(file("read", &sums))?;
        Ok(Entry { folder, step, hash, sums_sha256 })
    }

    /// Writes the state of the best evaluation, from memory; where memory has let it go, that of an
    /// earlier save stays. `now` is the state that was just written.
    fn write_best(
        &self,
        dir: &Path,
        now: &Entry,
        earlier: Option<Entry>,
    ) -> Result<Option<Entry>, RunError> {
        let Some(best) = self.best() else { return Ok(None) };
        if best.step == now.step {
            return Ok(Some(now.clone()));
        }
        let Some(state) = self.kept.at(best.step) else {
            return Ok(earlier.filter(|earlier| earlier.step == best.step));
        };
        let then = Self { state: state.clone(), ..self.fork() };
        then.write_snapshot(dir).map(Some)
    }

    /// Saves the run into `dir` every `every` steps from now on; 0 ends it.
    pub fn autosave(&mut self, autosave: Option<Autosave>) {
        self.autosave = autosave.filter(|a| a.every > 0);
    }

    pub(in super::super) fn autosave_if_due(&mut self) -> Result<(), RunError> {
        match self.autosave.clone() {
            Some(a) if self.state.step.is_multiple_of(a.every) => {
                self.save(&a.dir, a.keep).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Refuses a folder whose last snapshot is no earlier point of this run.
    fn check_home(&self, dir: &Path, index: &Index) -> Result<(), RunError> {
        let refuse = |why: String| RunError::OtherRun { dir: dir.to_path_buf(), why };
        if index.source_sha256 != self.start.digest()? {
            return Err(refuse("it started from another model".into()));
        }
        let Some(last) = index.snapshots.last() else { return Ok(()) };
        let path = dir.join(&last.folder).join(STATE);
        let bytes = fs::read(&path).map_err(file("read", &path))?;
        let mut theirs: StateFile = serde_json::from_slice(&bytes).map_err(RunError::Json)?;
        let mut ours = self.origin()?;
        // The path grows with the run.
        theirs.origin.train.path.clear();
        ours.train.path.clear();
        let theirs_is = &theirs.origin;
        let same = (&theirs_is.data_sha256, &theirs_is.how, &theirs_is.train)
            == (&ours.data_sha256, &ours.how, &ours.train)
            && theirs_is.teacher == ours.teacher;
        if !same {
            return Err(refuse(
                "it was started with other data, options or another teacher".into(),
            ));
        }
        if ours.journal.since(theirs.journal()).is_none() {
            let why = format!("it is another branch, at step {}", last.step);
            return Err(refuse(why));
        }
        Ok(())
    }

    fn write_state(&self, folder: &Path) -> Result<(), RunError> {
        let state = StateFile {
            origin: self.origin()?,
            first_mixture: self.first_mixture().to_vec(),
            needs_rule: self.state.decisions.open(),
            state: self.state.saved(),
        };
        write_json(&folder.join(STATE), &state)?;
        write_tensors(&folder.join(TENSORS), self.trainer().parameters().named())
    }
}

fn write_model(folder: &Path, model: &Model, sha256: &str) -> Result<(), RunError> {
    write_json(&folder.join("config.json"), &model.config.to_json())?;
    let about = serde_json::json!({
        "name": model.name,
        "provenance": model.provenance,
        "origin": model.origin,
        "sha256": sha256,
    });
    write_json(&folder.join("about.json"), &about)?;
    if let Some(tokenizer) = &model.tokenizer {
        let path = folder.join("tokenizer.json");
        fs::write(&path, tokenizer.bytes()).map_err(file("write", &path))?;
    }
    write_tensors(&folder.join(TENSORS), model.weights.named())
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), RunError> {
    let json = serde_json::to_vec(value).map_err(RunError::Json)?;
    let filled = write_whole(path, |out| std::io::Write::write_all(out, &json));
    filled.map_err(file("write", path))
}

fn write_tensors(path: &Path, tensors: Vec<(String, &Tensor)>) -> Result<(), RunError> {
    let host = |t: &Tensor| t.detach().to_device(&Device::Cpu)?.contiguous();
    let tensors: HashMap<String, Tensor> = tensors
        .into_iter()
        .map(|(name, t)| Ok((name, host(t)?)))
        .collect::<candle_core::Result<_>>()?;
    candle_core::safetensors::save(&tensors, path).map_err(|error| match error {
        candle_core::Error::Io(error) => file("write", path)(error),
        other => other.into(),
    })
}

/// Fills a hidden folder, writes its sums, brings it to the disk and gives it its name.
fn write_folder(
    dir: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let part = dir.join(format!(".{name}.{}{PART}", std::process::id()));
    if part.exists() {
        fs::remove_dir_all(&part).map_err(file("remove", &part))?;
    }
    fs::create_dir(&part).map_err(file("make the folder", &part))?;
    let filled = fill(&part).and_then(|()| {
        let mut sums = Sums::new();
        for entry in fs::read_dir(&part).map_err(file("read", &part))? {
            let path = entry.map_err(file("read", &part))?.path();
            let (bytes, sha256) = Digest::file(&path).map_err(file("read", &path))?;
            File::open(&path).and_then(|f| f.sync_all()).map_err(file("write", &path))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            sums.insert(name, Sum { bytes, sha256 });
        }
        write_json(&part.join(SUMS), &sums)?;
        sync_folder(&part)?;
        let to = dir.join(name);
        fs::rename(&part, &to).map_err(file("write", &to))?;
        sync_folder(dir)
    });
    if filled.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&part);
    }
    filled
}

/// Brings the names in a folder to the disk, where the system can.
fn sync_folder(dir: &Path) -> Result<(), RunError> {
    if cfg!(unix) {
        File::open(dir).and_then(|f| f.sync_all()).map_err(file("write", dir))?;
    }
    Ok(())
}

/// Removes a snapshot: renamed first, so that half of one never bears its name.
fn remove(dir: &Path, folder: &str) -> Result<(), RunError> {
    let from = dir.join(folder);
    if !from.exists() {
        return Ok(());
    }
    let to = dir.join(format!(".{folder}.gone{PART}"));
    fs::rename(&from, &to).map_err(file("remove", &from))?;
    fs::remove_dir_all(&to).map_err(file("remove", &to))
}

/// Removes what a killed save left: hidden parts, and snapshots that no index names. What does not
/// bear exactly such a name is somebody else's and stays.
fn sweep(dir: &Path, index: Option<&Index>) -> Result<(), RunError> {
    for entry in fs::read_dir(dir).map_err(file("read", dir))? {
        let entry = entry.map_err(file("read", dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let named = index.is_some_and(|i| i.all().any(|s| s.folder == name));
        let path = entry.path();
        if path.is_dir() && (is_part(&name) || (is_snapshot(&name) && !named)) {
            fs::remove_dir_all(&path).map_err(file("remove", &path))?;
        }
    }
    Ok(())
}

/// Whether a name is `step-00000120-1a2b3c4d`.
fn is_snapshot(name: &str) -> bool {
    let parts = name.strip_prefix("step-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(step, hash)| {
        let digits = step.len() >= 8 && step.bytes().all(|b| b.is_ascii_digit());
        digits && hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Whether a name is that of a folder of ours while it is filled or removed:
/// `.source.1234.part`, `.step-00000120-1a2b3c4d.gone.part`.
fn is_part(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(PART));
    inner.and_then(|inner| inner.rsplit_once('.')).is_some_and(|(folder, by)| {
        let ours = [SOURCE, TEACHER].contains(&folder) || is_snapshot(folder);
        ours && (by == "gone" || (!by.is_empty() && by.bytes().all(|b| b.is_ascii_digit())))
    })
}
