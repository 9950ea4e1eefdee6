import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from kerasvis.analyses.maximization.activation_maximization import maximize_activation
from kerasvis.analyses.unit_invariance import UnitInvariance, unit_invariance
from kerasvis.commands.command_line import run
from kerasvis.data.photographs import read_photograph
from kerasvis.deconvnet.targets import Unit

SIZE = (16, 19)
ASCENT = ("--start", "maximization", "--num-steps", 5, "--jitter", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models and photographs."""
    folder = tmp_path_factory.mktemp("unit")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((*SIZE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.Conv2D(5, 3, activation="relu", name="conv1")(x)
    x = layers.Conv2D(4, 3, 2, activation="tanh", name="conv2")(x)
    scores = layers.Dense(3, activation="softmax", name="classes")(layers.Flatten()(x))
    keras.Model(inputs, scores).save(folder / "model.keras")
    x = layers.Conv2D(5, 3, activation="relu", bias_initializer=keras.initializers.Constant(-1e6))
    keras.Model(inputs, x(inputs), name="silent").save(folder / "silent.keras")
    swish = layers.Conv2D(2, 3, activation="gelu", name="conv")(inputs)
    keras.Model(inputs, swish).save(folder / "gelu.keras")
    rng = np.random.default_rng(0)
    (folder / "photographs").mkdir()
    for number in range(4):
        pixels = rng.integers(0, 256, (*SIZE, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / "photographs" / f"{number}.png")
    return folder


@pytest.fixture
def turn(folder, tmp_path):
    """Runs the command; returns the output folder."""

    def turn(*options, model="model.keras", layer="conv2", feature=1, images="photographs"):
        out = tmp_path / "out"
        given = ["--model", folder / model, "--layer", layer, "--feature", feature, "--out", out]
        given += ["--num-directions", 1, *(["--images", folder / images] if images else [])]
        run(["unit-invariance", *(str(argument) for argument in (*given, *options))])
        return out

    return turn


@pytest.fixture
def mistake(turn, sentence_of):
    return sentence_of(turn)


def strongest(model, folder, layer, feature):
    """`(image, Unit)` by brute force."""
    paths = [folder / "photographs" / f"{number}.png" for number in range(4)]
    images = np.stack([read_photograph(path, SIZE) for path in paths]).astype("float32")
    maps = keras.Model(model.inputs, model.get_layer(layer).output).predict(images, verbose=0)
    maps = maps[..., feature]
    number, *position = (int(x) for x in np.unravel_index(maps.argmax(), maps.shape))
    return number, images[number], Unit(feature, *position)


def assert_equal(found, expected):
    assert (found.layer, found.feature_index) == (expected.layer, expected.feature_index)
    np.testing.assert_array_equal(found.position, expected.position)
    np.testing.assert_array_equal(found.angles, expected.angles)
    np.testing.assert_allclose(found.curvatures, expected.curvatures, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.activations, expected.activations, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.images, expected.images, atol=0.1)


def test_around_the_strongest_photograph(turn, folder, capsys):
    out = turn("--step", 0.05, "--angles", -30, 0, 45)
    names = {"unit_invariance.png", "unit_invariance.npz", "top_activations.npz"}
    assert {path.name for path in out.glob("[!.]*")} == names
    model = keras.models.load_model(folder / "model.keras")
    number, image, unit = strongest(model, folder, "conv2", 1)
    found = UnitInvariance.load(out / "unit_invariance.npz")
    options = {"centre": 127.5, "num_directions": 1}
    expected = unit_invariance(
        model, "conv2", image, unit, step=0.05, angles=[-30, 0, 45], **options
    )
    assert_equal(found, expected)
    with Image.open(out / "unit_invariance.png") as figure:
        assert min(figure.size) > 300
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"conv2, feature 1: {number}.png"
    shares = found.activations[1] / found.activation
    assert printed[2] == (
        f"Direction 2, curvature {found.curvatures[1] / found.activation:.3g}: activation "
        f"{shares[0]:.2f} at -30°, {shares[2]:.2f} at +45°"
    )
    assert printed[3] == f"Images: {out / 'unit_invariance.png'}"


@pytest.mark.slow
def test_around_an_image_found_by_gradient_ascent(turn, folder):
    out = turn(*ASCENT, "--seed", 3, images=None)
    assert not (out / "top_activations.npz").exists()
    model = keras.models.load_model(folder / "model.keras")
    unit = Unit(1, 3, 4)  # of 6×8
    options = {"num_steps": 5, "jitter": 0, "seed": 3}
    preferred = maximize_activation(model, "conv2", unit, **options)
    found = UnitInvariance.load(out / "unit_invariance.npz")
    options = {"centre": 127.5, "num_directions": 1, "step": 0.1, "seed": 3}
    image = preferred.pixels[0].astype("float32")
    assert_equal(found, unit_invariance(model, "conv2", image, unit, **options))


def test_a_unit_of_a_dense_layer(turn):
    out = turn(*ASCENT, layer="classes", images=None)
    found = UnitInvariance.load(out / "unit_invariance.npz")
    assert found.position.tolist() == [0, 0]
    assert found.box.tolist() == [0, 0, *SIZE]


@pytest.mark.slow
def test_a_second_run_writes_the_same(turn):
    first = (turn() / "unit_invariance.npz").read_bytes()
    assert (turn() / "unit_invariance.npz").read_bytes() == first


MISTAKES = [
    ([], {"images": None}, "No photographs are given: give --images, or --start maximization."),
    (
        [],
        {"feature": 4},
        "Layer 'conv2' has 4 feature maps: give --feature from 0 to 3. Received: --feature=4",
    ),
    ([], {"feature": -1}, "--feature takes a whole number from 0"),
    ([], {"layer": "conv3"}, "The model has no layer 'conv3': did you mean"),
    ([], {"images": "nowhere"}, "There is no such photograph or folder"),
    ([], {"model": "none.keras"}, "There is no such model file"),
    (["--step", 0], {}, "--step takes a finite number above 0 up to 3. Received: --step=0"),
    (["--num-directions", 99], {}, "give a smaller num_directions. Received: num_directions=99"),
    (
        ["--angles", "nan"],
        {},
        "--angles takes a finite number from -180 up to 180. Received: --angles=nan",
    ),
    (["--start", "maximization", "--jitter", -1], {}, "--jitter takes a whole number from 0"),
    (["--start", "noise"], {}, "--start takes one of photograph, maximization"),
]


@pytest.mark.parametrize(("arguments", "options", "sentence"), MISTAKES)
def test_mistakes(mistake, arguments, options, sentence):
    assert sentence in mistake(*arguments, **options)


def test_a_unit_that_nothing_excites(turn, mistake, folder, capsys):
    model = keras.models.load_model(folder / "silent.keras")
    silent = {"model": "silent.keras", "layer": model.layers[-1].name}
    assert "is not active in any of 4 images: give another --feature" in mistake(**silent)
    with pytest.raises(SystemExit):
        turn(*ASCENT, **silent)
    last_line = capsys.readouterr().err.splitlines()[-1]  # above it the search's progress
    assert "found no image that excites feature 1" in last_line
