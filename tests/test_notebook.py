"""The notebook runs from top to bottom in a fresh kernel, offline, and shows its pictures."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "what_has_it_learned.ipynb"
PICTURES = "figure-2 unit occlusion methods diagnosis-figure fidelity".split()
TABLES = "scan plan diagnosis".split()


@pytest.fixture(scope="module")
def notebook():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed.")
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_committed_without_outputs(notebook):
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_it_runs_and_shows(notebook):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed.")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install ipykernel.")
    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    executed = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=place
    ).execute()
    outputs = {cell.id: cell.outputs for cell in executed.cells if cell.cell_type == "code"}
    assert [name for name in PICTURES if not shows(outputs[name], "image/png")] == []
    assert [name for name in TABLES if not shows(outputs[name], "text/html")] == []
    del outputs["load"]  # there TensorFlow greets
    printed = [output for cell in outputs.values() for output in cell if "text" in output]
    assert [output.text for output in printed if output.name == "stderr"] == []


def shows(outputs, kind):
    return any(kind in output.get("data", {}) for output in outputs)
