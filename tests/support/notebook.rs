//! Runs a notebook and gives its outputs in the form a notebook file has.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use jupyter_protocol::{JupyterMessageContent, ReplyStatus};
use serde_json::{Value, json};

use super::client::{CellRun, Client, Kernel};

/// What a code cell of a notebook said, as a notebook file writes it.
#[derive(Debug)]
pub struct CellOutputs {
    /// The code.
    pub source: String,
    /// The number beside the cell.
    pub execution_count: usize,
    /// The outputs in the form of nbformat 4: streams in one piece, displays in their last state.
    pub outputs: Vec<Value>,
    /// Whether the cell ran to its end.
    pub succeeded: bool,
}

impl CellOutputs {
    fn of(source: String, run: &CellRun) -> Self {
        let mut outputs: Vec<Value> = Vec::new();
        // The place of each display that can be updated.
        let mut places: HashMap<String, usize> = HashMap::new();
        for content in &run.said {
            match content {
                JupyterMessageContent::StreamContent(stream) => {
                    let name = json!(stream.name);
                    match outputs.last_mut() {
                        Some(last) if last["output_type"] == "stream" && last["name"] == name => {
                            let text = last["text"].as_str().unwrap_or_default();
                            last["text"] = json!(format!("{text}{}", stream.text));
                        }
                        _ => outputs.push(
                            json!({"output_type": "stream", "name": name, "text": stream.text}),
                        ),
                    }
                }
                JupyterMessageContent::DisplayData(display) => {
                    let id = display.transient.as_ref().and_then(|t| t.display_id.clone());
                    if let Some(id) = id {
                        places.insert(id, outputs.len());
                    }
                    outputs.push(json!({
                        "output_type": "display_data",
                        "data": display.data,
                        "metadata": {},
                    }));
                }
                JupyterMessageContent::UpdateDisplayData(update) => {
                    let id = update.transient.display_id.clone().unwrap_or_default();
                    let place = places.get(&id).expect("an update of a display of this cell");
                    outputs[*place]["data"] = json!(update.data);
                }
                JupyterMessageContent::ExecuteResult(result) => outputs.push(json!({
                    "output_type": "execute_result",
                    "execution_count": result.execution_count,
                    "data": result.data,
                    "metadata": {},
                })),
                JupyterMessageContent::ErrorOutput(error) => outputs.push(json!({
                    "output_type": "error",
                    "ename": error.ename,
                    "evalue": error.evalue,
                    "traceback": error.traceback,
                })),
                _ => {}
            }
        }
        Self {
            source,
            execution_count: run.reply.execution_count.value(),
            outputs,
            succeeded: run.reply.status == ReplyStatus::Ok,
        }
    }

    /// All plain text of the outputs, one after the other.
    pub fn text(&self) -> String {
        let parts = self.outputs.iter().map(|output| {
            let text = match output["output_type"].as_str() {
                Some("stream") => &output["text"],
                Some("error") => &output["evalue"],
                _ => &output["data"]["text/plain"],
            };
            text.as_str().unwrap_or_default().to_owned()
        });
        parts.collect::<Vec<_>>().join("\n")
    }
}

/// Runs every code cell of a notebook in a fresh kernel and gives what each said.
///
/// Cells after a failed one run too; look at [`CellOutputs::succeeded`].
pub fn run_notebook(notebook: impl Into<PathBuf>) -> Vec<CellOutputs> {
    let kernel = Kernel::start();
    run_cells(&mut kernel.client(), &notebook.into())
}

fn run_cells(client: &mut Client, notebook: &Path) -> Vec<CellOutputs> {
    let text = fs::read_to_string(notebook)
        .unwrap_or_else(|error| panic!("{}: {error}", notebook.display()));
    let notebook: Value = serde_json::from_str(&text).unwrap();
    let cells = notebook["cells"].as_array().expect("a notebook has cells");
    let code = cells.iter().filter(|cell| cell["cell_type"] == "code");
    code.map(|cell| {
        let source = match &cell["source"] {
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
            source => source.as_str().unwrap_or_default().to_owned(),
        };
        let run = client.run(&source);
        CellOutputs::of(source, &run)
    })
    .collect()
}
