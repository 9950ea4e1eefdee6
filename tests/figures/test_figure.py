"""What a notebook shows of figures and results, asked of a real kernel."""

import ast
import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerasvis.figures
from kerasvis.figures.figure import SCREEN_DPI, Figure

FIGURES = Path(kerasvis.figures.__file__).parent
GRID = """
import numpy as np
from types import SimpleNamespace
from kerasvis.figures import feature_grid

pixels = np.arange(2 * 3 * 7 * 5 * 3).reshape(2, 3, 7, 5, 3)
layer = SimpleNamespace(
    layer="<script>alert(1)</script>",
    feature_indices=np.arange(2),
    image_indices=np.zeros((2, 3), "int64"),
    projections=pixels - pixels.mean(),
    patches=(pixels % 256).astype("uint8"),
    boxes=np.tile([0, 0, 7, 5], (2, 3, 1)),
)
feature_grid(layer)
"""
TOP = """
from kerasvis.activations.top_activations import LayerActivations, TopActivations
nine = LayerActivations(np.full((4, 9), 0.5), np.zeros((4, 9), int), np.zeros((4, 9, 2), int))
TopActivations({"<script>alert(1)</script>": nine})
"""
PYPLOT = "import matplotlib.pyplot as plt\nfeature_grid(layer)"
NAMES = 'import sys\nprint("matplotlib.pyplot" in sys.modules)'


def run_cells(*sources):
    """Runs cells one after the other in a fresh kernel; returns the outputs of each."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed.")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install ipykernel.")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.fixture(scope="module")
def outputs():
    """Of the cells above, `{source: outputs}`."""
    sources = (GRID, NAMES, TOP, PYPLOT)
    return dict(zip(sources, run_cells(*sources), strict=True))


def test_a_figure_shows_itself(outputs):
    assert outputs[NAMES][0].text == "False\n"
    (output,) = outputs[GRID]
    assert output.output_type == "execute_result"
    shown = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    size = output.metadata["image/png"]
    assert shown.size[0] == pytest.approx(size["width"] * 300 / SCREEN_DPI, abs=2)
    assert shown.size[1] == pytest.approx(size["height"] * 300 / SCREEN_DPI, abs=2)
    assert np.asarray(shown.convert("L")).std() > 10


def test_it_is_shown_once_beside_pyplot(outputs):
    assert ["image/png" in output.data for output in outputs[PYPLOT]] == [True]


def test_a_table_shows_itself_with_names_as_text(outputs):
    (output,) = outputs[TOP]
    html = output.data["text/html"]
    cells = ["&lt;script&gt;alert(1)&lt;/script&gt;", "4", "9", "0.5"]
    assert f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" in html
    assert "<script" not in html


def test_the_picture_is_that_of_the_file():
    figure = Figure((1.5, 0.75), dpi=200)
    figure.text(0.2, 0.4, "shown")
    png, size = figure._repr_png_()
    assert size == {"width": round(1.5 * SCREEN_DPI), "height": round(0.75 * SCREEN_DPI)}
    file = io.BytesIO()
    figure.savefig(file, format="png")
    actual, expected = (np.asarray(Image.open(f)) for f in (io.BytesIO(png), file))
    np.testing.assert_array_equal(actual, expected)
    assert actual.shape[:2] == (150, 300)


@pytest.mark.parametrize("path", sorted(FIGURES.glob("*.py")), ids=lambda path: path.stem)
def test_every_figure_is_of_this_kind(path):
    """Nobody else makes one of matplotlib's."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
    makes_figures = imported & {"matplotlib.figure", "matplotlib.pyplot"}
    assert bool(makes_figures) == (path.stem == "figure")
