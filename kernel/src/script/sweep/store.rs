//! Finished points on disk: one JSON file a point, whole or not there, named by all that its result
//! depends on.

use std::path::{Path, PathBuf};

use rhai::Map;
use serde_json::{Value, json};
use woolshed_engine::digest::Digest;
use woolshed_engine::view::Cell;

use crate::files;
use crate::script::tables::cell;
use crate::script::{ScriptResult, fail};

/// What a finished point left.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finished {
    pub figures: Vec<(String, Cell)>,
    pub seconds: f64,
}

/// Where the point with this identity stands.
pub(super) fn place(dir: &Path, identity: &str) -> PathBuf {
    let mut digest = Digest::of("woolshed sweep point 1");
    digest.text(identity);
    dir.join(format!("point-{}.json", &digest.hex()[..16]))
}

/// Reads a finished point; none when it is not there.
pub(super) fn read(path: &Path) -> ScriptResult<Option<Finished>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(format!("cannot read `{}`: {error}", path.display()))),
    };
    let broken = || {
        fail(format!(
            "`{}` is no finished point of a sweep; delete it to run the point again",
            path.display()
        ))
    };
    let value: Value = serde_json::from_str(&text).map_err(|_| broken())?;
    let figures = value["figures"].as_object().ok_or_else(broken)?;
    let figures = figures
        .iter()
        .map(|(name, value)| Ok((name.clone(), from_json(value).ok_or_else(broken)?)))
        .collect::<ScriptResult<_>>()?;
    let seconds = value["seconds"].as_f64().ok_or_else(broken)?;
    Ok(Some(Finished { figures, seconds }))
}

/// Writes a finished point.
pub(super) fn write(path: &Path, point: &Map, finished: &Finished) -> ScriptResult<()> {
    let parameters: serde_json::Map<String, Value> =
        point.iter().map(|(name, value)| (name.to_string(), to_json(&cell(value)))).collect();
    let figures: serde_json::Map<String, Value> =
        finished.figures.iter().map(|(name, cell)| (name.clone(), to_json(cell))).collect();
    let value = json!({
        "woolshed_sweep": 1,
        "parameters": parameters,
        "figures": figures,
        "seconds": finished.seconds,
    });
    files::write(path, format!("{value}\n").as_bytes()).map_err(fail)
}

/// JSON has no NaN and no infinity: they stand as `{"float": "NaN"}`.
fn to_json(cell: &Cell) -> Value {
    match cell {
        Cell::Text(s) => Value::from(s.as_str()),
        Cell::Int(n) => Value::from(*n),
        Cell::Float(x) if x.is_finite() => Value::from(*x),
        Cell::Float(x) => json!({"float": x.to_string()}),
        Cell::Flag(b) => Value::from(*b),
        Cell::Null => Value::Null,
    }
}

fn from_json(value: &Value) -> Option<Cell> {
    Some(match value {
        Value::Null => Cell::Null,
        Value::Bool(b) => Cell::Flag(*b),
        Value::String(s) => Cell::Text(s.clone()),
        Value::Number(n) => match n.as_i64() {
            Some(i) => Cell::Int(i),
            None => Cell::Float(n.as_f64()?),
        },
        Value::Object(_) => Cell::Float(value["float"].as_str()?.parse().ok()?),
        Value::Array(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_point_comes_back_with_every_digit_and_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = place(&folder.path().join("new"), "x");
        assert_eq!(read(&path).unwrap(), None);
        let cells = [
            Cell::Float(0.1 + 0.2),
            Cell::Float(3.0),
            Cell::Int(3),
            Cell::Float(f64::NEG_INFINITY),
            Cell::Text("NaN".into()),
            Cell::Flag(true),
            Cell::Null,
        ];
        let figures = cells.into_iter().enumerate().map(|(i, c)| (format!("{}", 9 - i), c));
        let finished = Finished { figures: figures.collect(), seconds: 1.5 };
        write(&path, &Map::new(), &finished).unwrap();
        assert_eq!(read(&path).unwrap(), Some(finished));
        assert_ne!(path, place(&folder.path().join("new"), "y"));
    }

    #[test]
    fn half_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = place(folder.path(), "x");
        for text in ["{\"figures\": {", "[]", "{\"figures\": {\"a\": []}, \"seconds\": 1}"] {
            std::fs::write(&path, text).unwrap();
            let said = read(&path).unwrap_err().to_string();
            assert!(said.contains("delete it") && said.contains("point-"), "{said}");
        }
    }
}
