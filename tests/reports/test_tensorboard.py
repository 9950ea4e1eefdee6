"""What a TensorBoard, really started, serves of what was written for it."""

import io
import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import keras
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from kerasvis.analyses import FeatureVisualization
from kerasvis.analyses.evolution.snapshot_files import SnapshotFiles
from kerasvis.callbacks import FeatureEvolution
from kerasvis.commands.command_line import run
from kerasvis.figures import feature_grid
from kerasvis.reports.tensorboard import write_feature_grids

pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install tensorboard.")
pytestmark = pytest.mark.slow

SIZE = (13, 10)
LAYERS = ("conv1", "block/conv2")
PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs in `events`: of the callback, of the command, of no layer of a net."""
    folder = tmp_path_factory.mktemp("tensorboard")
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (7, *SIZE, 3)).astype("uint8")
    model = convnet()
    model.save(folder / "model.keras")
    (folder / "photographs").mkdir()
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / "photographs" / f"{number}.png")
    run_callback(folder, model, images.astype("float32"))
    run_command(folder)
    write_feature_grids(
        folder / "events" / "plain", {"<b>": png(Image.new("RGB", (3, 2), (255, 0, 128)))}, 5
    )
    return folder


def convnet():
    layers = keras.layers
    block = keras.Sequential(
        [keras.Input((*SIZE, 4)), layers.Conv2D(5, 3, activation="relu", name="conv2")],
        name="block",
    )
    return keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Rescaling(1 / 128, offset=-1),
            layers.Conv2D(4, 3, activation="relu", padding="same", name="conv1"),
            block,
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def run_callback(folder, model, images):
    evolution = FeatureEvolution(
        LAYERS,
        images,
        epochs=(1, 3),
        directory=folder / "evolution",
        num_features=3,
        tensorboard=folder / "events" / "callback",
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(images, np.arange(7) % 3, epochs=3, callbacks=[evolution], verbose=0)


def run_command(folder):
    options = {
        "--model": folder / "model.keras",
        "--images": folder / "photographs",
        "--out": folder / "out",
        "--tensorboard": folder / "events" / "command",
    }
    given = [str(part) for option in options.items() for part in option]
    run(["features", *given, "--layers", *LAYERS, "--k", "4"])


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def tensorboard(folder):
    """Asks the TensorBoard of these runs; returns bytes."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "events")]
    command += "--host 127.0.0.1 --port 0 --load_fast=false --reload_interval 1".split()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = address_in(process.stderr)
            # Whoever fills a pipe that nobody reads stands still.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield lambda path, **query: ask(f"{address}{path}?{urllib.parse.urlencode(query)}")
        finally:
            process.terminate()


def address_in(lines):
    """Where TensorBoard says that it is."""
    read = []
    for line in lines:
        read.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise AssertionError("".join(read))


def ask(address):
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        return answer.read()


@pytest.fixture(scope="module")
def tags(tensorboard):
    """`{run: {tag: number of images of a step}}`, as soon as all has been read."""
    expected = {"callback": [1, 3], "command": [0], "plain": [5]}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = json.loads(tensorboard("/data/plugin/images/tags"))
        steps = {
            run: sorted({step for tag in tags for step in steps_of(tensorboard, run, tag)})
            for run, tags in found.items()
        }
        if steps == expected:
            return {
                run: {tag: about["samples"] for tag, about in tags.items()}
                for run, tags in found.items()
            }
        time.sleep(0.3)
    raise AssertionError(f"TensorBoard shows {found} only.")


def steps_of(tensorboard, run, tag):
    """`{step: what TensorBoard says of the image}`."""
    about = json.loads(tensorboard("/data/plugin/images/images", run=run, tag=tag, sample=0))
    return {image["step"]: image for image in about}


def served(tensorboard, about):
    """The picture as bytes of its file."""
    query = dict(urllib.parse.parse_qsl(about["query"]))
    return tensorboard("/data/plugin/images/individualImage", **query)


def assert_shows(file, figure):
    """The picture has the pixels of the figure, drawn without a file."""
    shown = Image.open(io.BytesIO(file))
    assert shown.format == "PNG"
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    np.testing.assert_array_equal(np.asarray(shown.convert("RGBA")), canvas.buffer_rgba())


@pytest.mark.slow
def test_every_layer_is_an_image(tags):
    layers = {f"features/{layer}": 1 for layer in LAYERS}
    assert tags == {"callback": layers, "command": layers, "plain": {"features/<b>": 1}}


@pytest.mark.usefixtures("tags")
@pytest.mark.parametrize("layer", LAYERS)
def test_of_the_callback(folder, tensorboard, layer):
    images = steps_of(tensorboard, "callback", f"features/{layer}")
    assert set(images) == {1, 3}
    for epoch, about in images.items():
        features = SnapshotFiles(folder / "evolution").load(epoch).features[layer]
        assert_shows(served(tensorboard, about), feature_grid(features))
    files = [served(tensorboard, about) for about in images.values()]
    assert files[0] != files[1]


@pytest.mark.usefixtures("tags")
@pytest.mark.parametrize("layer", LAYERS)
def test_of_the_command(folder, tensorboard, layer):
    images = steps_of(tensorboard, "command", f"features/{layer}")
    assert set(images) == {0}
    features = FeatureVisualization.load(folder / "out" / f"{layer.replace('/', '-')}.npz")
    file = served(tensorboard, images[0])
    assert_shows(file, feature_grid(features))
    assert file == (folder / "out" / f"{layer.replace('/', '-')}.png").read_bytes()


@pytest.mark.usefixtures("tags")
def test_any_name_and_size(tensorboard):
    images = steps_of(tensorboard, "plain", "features/<b>")
    shown = Image.open(io.BytesIO(served(tensorboard, images[5])))
    np.testing.assert_array_equal(np.asarray(shown), np.full((2, 3, 3), (255, 0, 128)))
