"""Says whether `small.out.ipynb`, run by this program, is a valid notebook and what nbclient stores.

Runs `small.ipynb` with nbclient. Neighbouring texts of one stream count as one: nbclient stores as many pieces
as messages came, JupyterLab and nbconvert join them.
"""

import nbformat
from nbclient import NotebookClient


def stored(cell):
    """A cell as a comparable value."""
    outputs = []
    for output in cell.get("outputs", []):
        output = dict(output)
        last = outputs[-1] if outputs else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            outputs.append(output)
    return cell["id"], cell["source"], cell.get("execution_count"), outputs


theirs = nbformat.read("small.ipynb", 4)
NotebookClient(theirs, kernel_name="woolshed", record_timing=False).execute()
ours = nbformat.read("small.out.ipynb", 4)
nbformat.validate(ours)
nbformat.validate(theirs)
assert len(theirs.cells) == len(ours.cells)
for there, here in zip(theirs.cells, ours.cells):
    assert stored(there) == stored(here), f"nbclient:\n{stored(there)}\nhere:\n{stored(here)}"
assert theirs.metadata == ours.metadata, (theirs.metadata, ours.metadata)
print("the same")
