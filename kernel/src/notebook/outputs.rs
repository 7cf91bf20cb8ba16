//! What cells say, as a notebook stores it.
//!
//! Text of one stream joins what stands before it, a display that is updated changes wherever it stands,
//! and what a cell clears is gone. The rules are those of Jupyter's own notebook client, so that a
//! notebook run here is the notebook a front end would have saved.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::file::Cell;

/// Takes the messages of one cell after the other.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Where each display that can be updated stands: cell and output.
    places: HashMap<String, Vec<(usize, usize)>>,
    /// The outputs go when the next one comes.
    clears: bool,
}

impl Recorder {
    /// The cells that go on from here have other outputs; `at` loses its own.
    pub fn begin(&mut self, cells: &mut [Cell], at: usize) {
        self.clears = false;
        self.clear(cells, at);
    }

    fn clear(&mut self, cells: &mut [Cell], at: usize) {
        cells[at].outputs.clear();
        for places in self.places.values_mut() {
            places.retain(|(cell, _)| *cell != at);
        }
    }

    /// Takes a message of the cell `at`.
    pub fn take(&mut self, cells: &mut [Cell], at: usize, kind: &str, content: &Value) {
        match kind {
            "clear_output" if content["wait"] == true => self.clears = true,
            "clear_output" => self.begin(cells, at),
            "stream" => {
                self.make_room(cells, at);
                let (name, text) = (&content["name"], content["text"].as_str().unwrap_or_default());
                match cells[at].outputs.last_mut() {
                    Some(Value::Object(last))
                        if last.get("name") == Some(name) && last["output_type"] == "stream" =>
                    {
                        if let Some(Value::String(so_far)) = last.get_mut("text") {
                            so_far.push_str(text);
                        }
                    }
                    _ => cells[at]
                        .outputs
                        .push(json!({"output_type": "stream", "name": name, "text": text})),
                }
            }
            "display_data" => {
                self.make_room(cells, at);
                self.update(cells, content);
                if let Some(id) = content["transient"]["display_id"].as_str() {
                    let place = (at, cells[at].outputs.len());
                    self.places.entry(id.to_string()).or_default().push(place);
                }
                cells[at].outputs.push(json!({
                    "output_type": "display_data",
                    "data": content["data"],
                    "metadata": content["metadata"],
                }));
            }
            "update_display_data" => self.update(cells, content),
            "execute_result" => {
                self.make_room(cells, at);
                cells[at].outputs.push(json!({
                    "output_type": "execute_result",
                    "execution_count": content["execution_count"],
                    "data": content["data"],
                    "metadata": content["metadata"],
                }));
            }
            "error" => {
                self.make_room(cells, at);
                cells[at].outputs.push(json!({
                    "output_type": "error",
                    "ename": content["ename"],
                    "evalue": content["evalue"],
                    "traceback": content["traceback"],
                }));
            }
            _ => {}
        }
    }

    /// A cell has been put in at `at`: those behind it are one further.
    pub fn moved(&mut self, at: usize) {
        for (cell, _) in self.places.values_mut().flatten() {
            *cell += usize::from(*cell >= at);
        }
    }

    fn make_room(&mut self, cells: &mut [Cell], at: usize) {
        if std::mem::take(&mut self.clears) {
            self.clear(cells, at);
        }
    }

    /// Changes every display of that name.
    fn update(&self, cells: &mut [Cell], content: &Value) {
        let id = content["transient"]["display_id"].as_str().unwrap_or_default();
        for &(cell, output) in self.places.get(id).into_iter().flatten() {
            let output = &mut cells[cell].outputs[output];
            output["data"] = content["data"].clone();
            output["metadata"] = content["metadata"].clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notebook::Kind;

    fn stored(messages: &[(usize, &str, Value)]) -> Vec<Cell> {
        let mut cells = vec![Cell::new(Kind::Code, ""), Cell::new(Kind::Code, "")];
        let mut recorder = Recorder::default();
        for (at, kind, content) in messages {
            recorder.take(&mut cells, *at, kind, content);
        }
        cells
    }

    fn text(name: &str, text: &str) -> Value {
        json!({"name": name, "text": text})
    }

    fn shown(text: &str, id: &str) -> Value {
        json!({"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": id}})
    }

    #[test]
    fn text_of_one_stream_is_one_output_until_something_else_comes() {
        let cells = stored(&[
            (0, "stream", text("stdout", "a")),
            (0, "stream", text("stdout", "b")),
            (0, "stream", text("stderr", "c")),
            (0, "stream", text("stdout", "d")),
            (1, "stream", text("stdout", "e")),
        ]);
        let texts: Vec<&Value> = cells[0].outputs.iter().map(|o| &o["text"]).collect();
        assert_eq!(texts, ["ab", "c", "d"]);
        assert_eq!(cells[1].outputs[0]["text"], "e");
    }

    #[test]
    fn a_display_changes_wherever_it_stands() {
        let cells = stored(&[
            (0, "display_data", shown("1", "x")),
            (1, "display_data", shown("2", "x")),
            (1, "update_display_data", shown("3", "x")),
            (1, "update_display_data", shown("4", "elsewhere")),
        ]);
        for cell in &cells {
            assert_eq!(cell.outputs.len(), 1);
            assert_eq!(cell.outputs[0]["data"]["text/plain"], "3");
            assert!(cell.outputs[0].get("transient").is_none());
        }
    }

    #[test]
    fn what_is_cleared_is_gone_now_or_when_the_next_thing_comes() {
        let start = (0, "display_data", shown("1", "x"));
        let cells = stored(&[start.clone(), (0, "clear_output", json!({"wait": false}))]);
        assert!(cells[0].outputs.is_empty());
        let wait = (0, "clear_output", json!({"wait": true}));
        let cells = stored(&[start.clone(), wait.clone()]);
        assert_eq!(cells[0].outputs.len(), 1);
        let cells = stored(&[
            start,
            wait,
            (0, "stream", text("stdout", "a")),
            (0, "update_display_data", shown("2", "x")),
        ]);
        assert_eq!(
            cells[0].outputs,
            [json!({"output_type": "stream", "name": "stdout", "text": "a"})]
        );
    }
}
