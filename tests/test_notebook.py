"""The notebooks run from top to bottom in a fresh kernel, offline, and show their pictures."""

import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# Ids of the cells that show a picture, and of those that show a table.
NOTEBOOKS = {
    "what_has_it_learned": (
        ("figure-2", "unit", "occlusion", "methods", "diagnosis-figure", "fidelity"),
        ("scan", "plan", "diagnosis"),
    ),
    "training_with_evolution": (("evolution", "diagnosis-figure"), ("diagnosis",)),
    "why_did_it_say_that": (("occlusion", "map"), ()),
}


def read(name):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed.")
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def test_all_of_them_are_tested():
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_committed_without_outputs(name):
    cells = read(name).cells
    assert "pip install" in cells[0].source, "Colab needs the package first"
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_and_shows(name, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed.")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install ipykernel.")
    shutil.copy(EXAMPLES / f"{name}.ipynb", tmp_path)
    executed = nbclient.NotebookClient(
        read(name), timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = {cell.id: cell.outputs for cell in executed.cells if cell.cell_type == "code"}
    pictures, tables = NOTEBOOKS[name]
    assert [cell for cell in pictures if not shows(outputs[cell], "image/png")] == []
    assert [cell for cell in tables if not shows(outputs[cell], "text/html")] == []
    del outputs["load"]  # there TensorFlow greets
    printed = [output for cell in outputs.values() for output in cell if "text" in output]
    assert [output.text for output in printed if output.name == "stderr"] == []


def shows(outputs, kind):
    return any(kind in output.get("data", {}) for output in outputs)
