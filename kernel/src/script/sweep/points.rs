//! The points of a sweep, and the figures a point gives.

use rhai::{Array, Dynamic, Map};
use woolshed_engine::view::Cell;

use crate::script::reference::script_type;
use crate::script::tables::plain;
use crate::script::{ScriptResult, fail};

/// Columns of a sweep's tables that are no parameters.
const TAKEN: [&str; 4] = ["seconds", "n", "error", "try"];

/// Reads the points: a map from parameter to values means every combination, the first parameter by
/// name slowest; an array of maps means itself.
pub(super) fn points(of: Dynamic) -> ScriptResult<Vec<Map>> {
    let kind = script_type(of.type_name());
    let points = if let Some(grid) = of.clone().try_cast::<Map>() {
        grid_points(grid)?
    } else if let Some(list) = of.try_cast::<Array>() {
        let point = |(i, value): (usize, Dynamic)| {
            let kind = script_type(value.type_name());
            value
                .try_cast::<Map>()
                .ok_or_else(|| fail(format!("point {} of a sweep is a map, not {kind}", i + 1)))
        };
        list.into_iter().enumerate().map(point).collect::<ScriptResult<_>>()?
    } else {
        return Err(fail(format!(
            "a sweep takes a map from parameter to array of values, or an array of maps, not {kind}"
        )));
    };
    if points.is_empty() {
        return Err(fail("a sweep needs at least one point; no parameter has an empty array"));
    }
    for point in &points {
        if let Some(name) = point.keys().find(|name| TAKEN.contains(&name.as_str())) {
            return Err(fail(format!(
                "a parameter of a sweep cannot be called `{name}`: its tables have such a column"
            )));
        }
    }
    Ok(points)
}

/// Every combination; a value that is no array is the same at every point.
fn grid_points(grid: Map) -> ScriptResult<Vec<Map>> {
    let mut points = vec![Map::new()];
    for (name, values) in grid {
        let values = values.read_lock::<Array>().map(|a| a.clone()).unwrap_or(vec![values.clone()]);
        points = points
            .iter()
            .flat_map(|point| {
                values.iter().map(|value| {
                    let mut point = point.clone();
                    point.insert(name.clone(), value.clone());
                    point
                })
            })
            .collect();
        if points.len() > 1_000_000 {
            return Err(fail("this sweep has over a million points; name fewer values"));
        }
    }
    Ok(points)
}

/// A point in one line: `rule doremi, seed 2`.
pub(super) fn in_words(point: &Map) -> String {
    let parts: Vec<String> = point.iter().map(|(k, v)| format!("{k} {}", plain(v))).collect();
    if parts.is_empty() { "no parameters".into() } else { parts.join(", ") }
}

/// Reads what the closure gave: a map of figures, or one number.
pub(super) fn figures(point: &Map, value: &Dynamic) -> ScriptResult<Vec<(String, Cell)>> {
    let mut all = Vec::new();
    if value.is_map() {
        flatten("", value, &mut all)?;
    } else if let Some(cell) = scalar(value) {
        all.push(("value".to_string(), cell));
    }
    if all.is_empty() {
        return Err(fail(format!(
            "the closure of a sweep gives {}; it gives a map of figures: #{{loss: 1.5}}",
            match script_type(value.type_name()).as_str() {
                "" => "nothing".to_string(),
                "map" => "an empty map".to_string(),
                other => other.to_string(),
            }
        )));
    }
    for (name, _) in &all {
        if point.contains_key(name.as_str()) || TAKEN.contains(&name.as_str()) {
            return Err(fail(format!(
                "figure `{name}` has the name of another column of the sweep; call it otherwise"
            )));
        }
    }
    Ok(all)
}

fn scalar(value: &Dynamic) -> Option<Cell> {
    if let Ok(i) = value.as_int() {
        return Some(Cell::Int(i));
    }
    if let Ok(x) = value.as_float() {
        return Some(Cell::Float(x));
    }
    if let Ok(b) = value.as_bool() {
        return Some(Cell::Flag(b));
    }
    value.is_string().then(|| Cell::Text(value.to_string()))
}

fn flatten(name: &str, value: &Dynamic, all: &mut Vec<(String, Cell)>) -> ScriptResult<()> {
    if let Some(map) = value.read_lock::<Map>() {
        for (key, value) in map.iter() {
            let inside = if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
            flatten(&inside, value, all)?;
        }
        return Ok(());
    }
    let cell = if value.is_unit() { Some(Cell::Null) } else { scalar(value) };
    let Some(cell) = cell else {
        let kind = script_type(value.type_name());
        return Err(fail(format!(
            "figure `{name}` is a {kind}; a figure is a number, a text, true or false, or a map of them"
        )));
    };
    all.push((name.to_string(), cell));
    Ok(())
}

#[cfg(test)]
mod tests {
    use rhai::Engine;

    use super::*;

    fn words(code: &str) -> Vec<String> {
        let points = points(Engine::new().eval::<Dynamic>(code).unwrap()).unwrap();
        points.iter().map(in_words).collect()
    }

    #[test]
    fn a_grid_has_every_combination_with_the_first_name_slowest() {
        assert_eq!(
            words("#{seed: [1, 2], rule: [\"b\", \"a\"], lr: 0.5}"),
            [
                "lr 0.5, rule b, seed 1",
                "lr 0.5, rule b, seed 2",
                "lr 0.5, rule a, seed 1",
                "lr 0.5, rule a, seed 2"
            ]
        );
        assert_eq!(words("[#{b: 2}, #{a: 1}]"), ["b 2", "a 1"]);
    }

    #[test]
    fn what_is_no_set_of_points_is_refused() {
        for (code, part) in [
            ("3", "not int"),
            ("[#{a: 1}, 2]", "point 2 of a sweep is a map, not int"),
            ("#{a: []}", "at least one point"),
            ("[]", "at least one point"),
            ("#{seconds: [1]}", "cannot be called `seconds`"),
        ] {
            let said =
                points(Engine::new().eval::<Dynamic>(code).unwrap()).unwrap_err().to_string();
            assert!(said.contains(part), "{code}: {said}");
        }
    }

    #[test]
    fn figures_are_flattened_and_other_values_are_named() {
        let of = |code: &str| {
            let point = Map::from([("seed".into(), Dynamic::from_int(1))]);
            figures(&point, &Engine::new().eval::<Dynamic>(code).unwrap())
        };
        assert_eq!(of("1.5").unwrap(), [("value".to_string(), Cell::Float(1.5))]);
        let nested = of("#{loss: #{a: 1.0, b: ()}, ok: true}").unwrap();
        let expected =
            [("loss.a", Cell::Float(1.0)), ("loss.b", Cell::Null), ("ok", Cell::Flag(true))];
        assert_eq!(nested, expected.map(|(name, cell)| (name.to_string(), cell)));
        for (code, part) in [
            ("#{seed: 2}", "figure `seed`"),
            ("#{losses: [1]}", "figure `losses` is a array"),
            ("let x = 1;", "gives nothing"),
            ("#{}", "an empty map"),
        ] {
            let said = of(code).unwrap_err().to_string();
            assert!(said.contains(part), "{code}: {said}");
        }
    }
}
