//! Fixtures of the reference implementation: finding them, reading them, comparing with them.
//!
//! A fixture is a pair `NAME.json` and `NAME.safetensors` in a folder `shearing/`. Everything about
//! it (dimensions, cases, steps, masks) is read from the pair, so that any folder of the same form
//! can stand in: `WOOLSHED_GOLDEN` names the folder that holds `shearing/`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value};
use woolshed_engine::gate::{GateKind, GateValues, Gates, HardConcrete};
use woolshed_engine::model::Model;
use woolshed_engine::model::checkpoint::{LoadOptions, load_folder};
use woolshed_engine::progress::Unwatched;
use woolshed_engine::shape::ModelShape;

/// The folder of the fixtures: the one asked for, the set beside the checkout, or the copy here.
pub fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let golden = match std::env::var_os("WOOLSHED_GOLDEN") {
        Some(asked) => root.join(asked),
        None => {
            let full = root.join("../shared/golden");
            if full.join("shearing").is_dir() { full } else { root.join("tests/golden") }
        }
    };
    // A wrong name would let every test pass with nothing compared.
    assert!(golden.is_dir(), "no folder {}; WOOLSHED_GOLDEN names another", golden.display());
    golden.join("shearing")
}

/// Names of the fixtures in the folder that begin with `prefix`, sorted.
pub fn names(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    let stem = |name: String| name.strip_suffix(".json").map(str::to_string);
    let mut names: Vec<String> = entries
        .filter_map(|entry| stem(entry.file_name().into_string().ok()?))
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort_unstable();
    if names.is_empty() {
        println!("not run: no {prefix}*.json in {}", folder().display());
    }
    names
}

/// Tells whether the folder holds `file`; prints what is not run when it does not.
fn there(file: &Path) -> bool {
    let there = file.is_file();
    if !there {
        println!("not run: {} is not there", file.display());
    }
    there
}

/// The model of the fixtures, in a computing type.
pub fn model(dtype: DType) -> Option<Model> {
    let dir = folder();
    let complete = there(&dir.join("config.json")) && there(&dir.join("model.safetensors"));
    let options = LoadOptions { device: Device::Cpu, dtype };
    complete.then(|| load_folder(&dir, &options, &Unwatched).expect("the fixture's model"))
}

/// The constants of the distribution that the fixtures name.
pub fn distribution() -> HardConcrete {
    let file = folder().join("l0.json");
    let Ok(bytes) = std::fs::read(file) else { return HardConcrete::default() };
    let json: Value = serde_json::from_slice(&bytes).expect("l0.json");
    let constants = &json["constants"];
    HardConcrete {
        temperature: number(constants, "temperature"),
        low: number(constants, "limit_a"),
        high: number(constants, "limit_b"),
        epsilon: number(constants, "epsilon"),
        slope: number(constants, "magical_number"),
        bounds: (number(constants, "log_alpha_min"), number(constants, "log_alpha_max")),
    }
}

/// One pair of files.
pub struct Fixture {
    /// Its name, without an ending.
    pub name: String,
    /// What the JSON file holds.
    pub json: Value,
    tensors: HashMap<String, Tensor>,
}

impl Fixture {
    /// Reads a fixture, if the folder has both its files.
    pub fn open(name: &str) -> Option<Self> {
        let dir = folder();
        let json = dir.join(format!("{name}.json"));
        let tensors = dir.join(format!("{name}.safetensors"));
        if !there(&json) || !there(&tensors) {
            return None;
        }
        let json = serde_json::from_slice(&std::fs::read(json).unwrap()).expect("JSON");
        let tensors = candle_core::safetensors::load(tensors, &Device::Cpu).expect("safetensors");
        Some(Self { name: name.to_string(), json, tensors })
    }

    /// The cases of the JSON file, by name.
    pub fn cases(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.json["cases"].as_object().expect("`cases` is an object").iter()
    }

    /// The numbers of a tensor, if there is one of this name.
    pub fn find(&self, tensor: &str) -> Option<Vec<f64>> {
        let numbers = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1();
        self.tensors.get(tensor).map(|t| numbers(t).expect("numbers"))
    }

    /// The numbers of a tensor that must be there.
    pub fn get(&self, tensor: &str) -> Vec<f64> {
        self.find(tensor).unwrap_or_else(|| panic!("{}: no tensor {tensor}", self.name))
    }

    /// The dimensions of a tensor, if there is one of this name.
    pub fn dims(&self, tensor: &str) -> Option<&[usize]> {
        self.tensors.get(tensor).map(Tensor::dims)
    }

    /// The tensors whose names begin with `prefix`, by the rest of the name, sorted.
    pub fn under(&self, prefix: &str) -> Vec<(String, Vec<f64>)> {
        let names: BTreeMap<&str, &String> = self
            .tensors
            .keys()
            .filter_map(|name| Some((name.strip_prefix(prefix)?, name)))
            .collect();
        names.into_iter().map(|(rest, name)| (rest.to_string(), self.get(name))).collect()
    }

    /// Token ids `(B, T)`, row by row, and T.
    pub fn ids(&self, tensor: &str) -> (Vec<u32>, usize) {
        let tokens = *self.dims(tensor).and_then(<[usize]>::last).expect("ids (B, T)");
        (self.get(tensor).into_iter().map(|id| id as u32).collect(), tokens)
    }

    /// The masks under `prefix`, by kind, in the engine's order.
    pub fn masks(&self, prefix: &str) -> Vec<(GateKind, Vec<f64>)> {
        let mut masks: Vec<(GateKind, Vec<f64>)> = self
            .under(prefix)
            .into_iter()
            .map(|(name, values)| (name.parse().expect("a known kind of gate"), values))
            .collect();
        masks.sort_by_key(|(kind, _)| *kind);
        masks
    }

    /// The masks under `prefix` as gate values for a model of dimensions `source`, if there are.
    pub fn values(
        &self,
        prefix: &str,
        source: &ModelShape,
        embeddings: bool,
    ) -> Option<GateValues> {
        let (kinds, values): (Vec<_>, Vec<_>) = self.masks(prefix).into_iter().unzip();
        for (kind, values) in kinds.iter().zip(&values) {
            let (rows, width) = kind.size(source);
            assert_eq!(values.len(), rows * width, "{}: size of {prefix}{kind}", self.name);
        }
        let values = GateValues { kinds, values, slopes: Vec::new(), mask_embeddings: embeddings };
        (!values.kinds.is_empty()).then_some(values)
    }

    /// Gates whose log-alphas are the masks under `prefix`.
    pub fn gates(
        &self,
        prefix: &str,
        source: &ModelShape,
        target: Option<&ModelShape>,
        embeddings: bool,
    ) -> Gates {
        let masks = self.masks(prefix);
        let kinds: Vec<GateKind> = masks.iter().map(|(kind, _)| *kind).collect();
        let gates = Gates::new(source, target, &kinds, distribution(), embeddings, 0);
        let mut gates = gates.unwrap_or_else(|e| panic!("{}: {prefix}*: {e}", self.name));
        for (table, (kind, log_alpha)) in gates.tables.iter_mut().zip(masks) {
            assert_eq!(log_alpha.len(), table.rows * table.width, "size of {prefix}{kind}");
            table.log_alpha = log_alpha;
        }
        gates
    }
}

/// A number of a JSON object.
pub fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("`{key}` is a number, not {}", object[key]))
}

/// A whole number of a JSON object.
pub fn count(object: &Value, key: &str) -> usize {
    object[key].as_u64().unwrap_or_else(|| panic!("`{key}` is a count, not {}", object[key]))
        as usize
}

/// An object inside a JSON object.
pub fn object<'a>(parent: &'a Value, key: &str) -> &'a Map<String, Value> {
    parent[key].as_object().unwrap_or_else(|| panic!("`{key}` is an object, not {}", parent[key]))
}

/// The dimensions left of `source` when a fixture's `target` {d, h, L, I} is reached.
pub fn target_shape(target: &Value, source: &ModelShape) -> ModelShape {
    let heads = count(target, "h");
    ModelShape {
        hidden: count(target, "d"),
        heads,
        kv_heads: heads / source.group(),
        layers: count(target, "L"),
        intermediate: count(target, "I"),
        ..*source
    }
}

/// Numbers of the engine beside numbers of a fixture: collects every deviation, then judges.
pub struct Comparison {
    title: String,
    worst: BTreeMap<String, (usize, f64, f64)>,
    failures: Vec<String>,
}

impl Comparison {
    /// Begins a comparison; `title` says of what.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), worst: BTreeMap::new(), failures: Vec::new() }
    }

    /// Compares numbers: no deviation may be above `limit`.
    pub fn close(&mut self, what: &str, at: &str, got: &[f64], want: &[f64], limit: f64) {
        if got.len() != want.len() {
            self.failures.push(format!("{at} {what}: {} numbers, not {}", got.len(), want.len()));
            return;
        }
        let gaps = got.iter().zip(want).map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() });
        // A NaN is above every limit.
        let gap = gaps.map(|g| if g.is_nan() { f64::INFINITY } else { g }).fold(0.0, f64::max);
        let (compared, worst, _) = self.worst.entry(what.to_string()).or_insert((0, 0.0, limit));
        *compared += got.len();
        *worst = worst.max(gap);
        if gap > limit {
            self.failures.push(format!("{at} {what}: off by {gap:e} (limit {limit:e})"));
        }
    }

    /// Compares two numbers.
    pub fn number(&mut self, what: &str, at: &str, got: f64, want: f64, limit: f64) {
        self.close(what, at, &[got], &[want], limit);
    }

    /// Compares what must be the same.
    pub fn same<T: PartialEq + Debug>(&mut self, what: &str, at: &str, got: T, want: T) {
        self.worst.entry(what.to_string()).or_insert((0, 0.0, 0.0)).0 += 1;
        if got != want {
            self.failures.push(format!("{at} {what}: {got:?}, not {want:?}"));
        }
    }

    /// Prints the worst deviations and fails if there was one above its limit.
    pub fn finish(self) {
        if self.worst.is_empty() && self.failures.is_empty() {
            println!("not run: {}: the fixture has nothing to compare", self.title);
        }
        let title = &self.title;
        for (what, (compared, worst, limit)) in &self.worst {
            match *limit == 0.0 {
                true => println!("{title}: {what}: {compared} compared for equality"),
                false => println!(
                    "{title}: {what}: {compared} compared, worst {worst:.1e} of {limit:.0e}"
                ),
            }
        }
        assert!(self.failures.is_empty(), "{title}\n  {}", self.failures.join("\n  "));
    }
}
