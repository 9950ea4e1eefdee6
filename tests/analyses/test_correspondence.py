"""Δ by hand, and against loops over units and pairs."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.correspondence import (
    Correspondence,
    hamming_distances,
    measure_correspondence,
    opposite_shares,
    sample_boxes,
    signs_of_change,
)
from kerasvis.data import Preprocessing
from tests.marks import slow

SIZE = (15, 11)
NUM_IMAGES = 4
PARTS = {
    "eye": np.array([[0, 0, 3, 4], [2, 1, 5, 5], [9, 5, 12, 11], [12, 0, 15, 4]]),
    "nose": np.array([[5, 5, 10, 9], [6, 4, 8, 10], [0, 0, 15, 11], [3, 3, 4, 4]]),
}


def convnet(size=SIZE, name="net"):
    """Two outputs of other sizes to look at; sums of ReLUs, so that signs are of all kinds."""
    random = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    inputs = keras.Input((*size, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.Conv2D(4, 3, (2, 1), activation="relu", name="conv1", **random)(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(30, activation="relu", name="fc", **random)(x)
    return keras.Model(inputs, layers.Dense(3, name="scores")(x), name=name)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return convnet()


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, *SIZE, 3))
    return pixels.astype("float32")


@pytest.fixture(scope="module")
def found(model, images):
    return measure_correspondence(model, ["fc", "conv1"], images, PARTS, num_draws=3, verbose=0)


def test_by_hand():
    """The features are the pixels themselves; grey, 100, covers one of the four."""
    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, layers.Identity(name="pixels")(inputs))
    images = [
        [[140, 7], [100, 90]],
        [[120, 7], [30, 180]],
        [[100, 7], [250, 90]],
    ]
    images = np.array(images, "float32")[..., None]
    top_left, bottom_right, bottom = [0, 0, 1, 1], [1, 1, 2, 2], [1, 0, 2, 2]
    parts = {
        # ε = (40, 0, 0, 0), (20, 0, 0, 0), (0, 0, 0, 0): the third image is grey there already
        "fixed": [top_left, top_left, top_left],
        # ε = (0, 0, 0, −10), (0, 0, −70, 80), (40 → 100: 0, 0, 0, −10)
        "moved": [bottom_right, bottom, bottom_right],
        # all four values: ε = (40, −93, 0, −10), (20, −93, −70, 80), (0, −93, 150, −10)
        "whole": [[0, 0, 2, 2]] * 3,
    }
    found = measure_correspondence(
        model, "pixels", images, parts, baseline=100, verbose=0, num_draws=2
    )
    assert found.num_units.tolist() == [4]
    fixed, moved, whole = found.distances[0]
    np.testing.assert_array_equal(fixed, [0, 1 / 4, 1 / 4])
    np.testing.assert_array_equal(moved, [2 / 4, 0, 2 / 4])
    np.testing.assert_array_equal(whole, [2 / 4, 2 / 4, 3 / 4])
    np.testing.assert_allclose(found.delta, [[1 / 6, 1 / 3, 7 / 12]], rtol=1e-12)
    fixed, moved, whole = found.oppositions[0]
    np.testing.assert_array_equal(fixed, [0, np.nan, np.nan])
    np.testing.assert_array_equal(moved, [1, 0, 1])
    np.testing.assert_array_equal(whole, [1 / 3, 0, 2 / 3])
    np.testing.assert_allclose(found.opposition, [[0, 2 / 3, 1 / 3]], rtol=1e-12)
    # Wherever a box is that covers the whole image, it is the same.
    np.testing.assert_array_equal(found.random_distances[0, 2], [found.distances[0, 2]] * 2)


def test_signs_of_change():
    changes = np.array([[-3, -0.5, -0.0, 0.0, 0.5, 0.6, 2]])
    assert signs_of_change(changes).tolist() == [[-1, -1, 0, 0, 1, 1, 1]]
    assert signs_of_change(changes, 0.5).tolist() == [[-1, 0, 0, 0, 0, 1, 1]]


def test_shares_against_loops():
    signs = np.random.default_rng(0).integers(-1, 2, (5, 37)).astype("int8")
    distances, shares = [], []
    for i in range(5):
        for j in range(i + 1, 5):
            distances.append(sum(a != b for a, b in zip(signs[i], signs[j], strict=True)) / 37)
            both = [(a, b) for a, b in zip(signs[i], signs[j], strict=True) if a and b]
            shares.append(sum(a != b for a, b in both) / len(both))
    np.testing.assert_allclose(hamming_distances(signs), distances, rtol=1e-12)
    np.testing.assert_allclose(opposite_shares(signs), shares, rtol=1e-12)


@pytest.mark.usefixtures("eager_functions")
def test_an_interrupted_analysis_resumes(model, images, tmp_path, convolutions):
    def measure(directory, **more):
        given = {"num_draws": 3, "verbose": 0, "directory": tmp_path / directory}
        return measure_correspondence(model, ["fc", "conv1"], images, PARTS, **given, **more)

    whole = measure("whole")
    num_calls = convolutions.num_new()
    assert num_calls == 1 + 2 * (1 + 3)  # unoccluded, then each part and three draws for each
    convolutions.interrupt_after(5)
    with pytest.raises(KeyboardInterrupt):
        measure("stopped")
    assert convolutions.num_new() == 5
    again = measure("stopped")
    assert convolutions.num_new() == num_calls - 4
    np.testing.assert_array_equal(again.distances, whole.distances)
    np.testing.assert_array_equal(again.random_distances, whole.random_distances)
    np.testing.assert_array_equal(again.random_oppositions, whole.random_oppositions)
    with pytest.raises(ValueError, match=r'computed from other baseline \("grey" there, 9 here\)'):
        measure("stopped", baseline=9)
    assert convolutions.num_new() == 0


def covered_signs(model, layer, images, boxes, colour=127.5):
    """−1, 0 or 1 for each unit and image, from images occluded one by one."""
    inner = keras.Model(model.input, model.get_layer(layer).output)
    signs = []
    for image, (top, left, bottom, right) in zip(images, boxes, strict=True):
        occluded = image.copy()
        occluded[top:bottom, left:right] = colour
        features = [np.array(inner(x[None]), "float64").ravel() for x in (image, occluded)]
        change = features[0] - features[1]
        change[np.abs(change) < 2e-6 * np.abs(features[0]).max()] = 0
        signs.append(np.sign(change))
    return signs


@pytest.mark.parametrize("batch_size", [slow(1), 3, slow(16)])
def test_definition(model, images, batch_size):
    found = measure_correspondence(
        model, ["fc", "conv1"], images, PARTS, num_draws=2, batch_size=batch_size, verbose=0
    )
    assert (found.layers, found.parts) == (("fc", "conv1"), ("eye", "nose"))
    assert found.num_units.tolist() == [30, 7 * 9 * 4]
    for layer, name in enumerate(found.layers):
        for part, boxes in enumerate(PARTS.values()):
            cases = [(boxes, found.delta[layer, part])]
            drawn = found.random_boxes[part], found.random_delta[layer, part]
            for boxes_of_draw, delta in [*cases, *zip(*drawn, strict=True)]:
                signs = covered_signs(model, name, images, boxes_of_draw)
                total = sum(
                    (signs[i] != signs[j]).sum()
                    for i in range(NUM_IMAGES)
                    for j in range(NUM_IMAGES)
                    if i != j
                )
                num_pairs = NUM_IMAGES * (NUM_IMAGES - 1)
                expected = total / (num_pairs * len(signs[0]))
                # A unit's sign may hang on rounding: two of them in every pair at most.
                assert delta == pytest.approx(expected, abs=2 / len(signs[0]) / num_pairs)
                assert 0 < delta < 1


def test_equal_images_agree(model, images):
    same = np.stack([images[0]] * 3)
    boxes = [PARTS["nose"][0]] * 3
    found = measure_correspondence(model, ["fc"], same, {"nose": boxes}, num_draws=4, verbose=0)
    assert found.delta.tolist() == [[0]]
    assert found.opposition.tolist() == [[0]]
    assert found.random_delta.min() > 0


def test_random_boxes():
    boxes = np.stack(list(PARTS.values()))
    drawn = sample_boxes(boxes, SIZE, 200, seed=0)
    assert drawn.shape == (2, 200, NUM_IMAGES, 4)
    sizes = np.broadcast_to((boxes[..., 2:] - boxes[..., :2])[:, None], (2, 200, NUM_IMAGES, 2))
    np.testing.assert_array_equal(drawn[..., 2:] - drawn[..., :2], sizes)
    # Of 200 draws every place comes up: none outside, none that is left out.
    for part, image in np.ndindex(2, NUM_IMAGES):
        for axis in (0, 1):
            begins = drawn[part, :, image, axis]
            last = SIZE[axis] - sizes[part, 0, image, axis]
            assert set(begins.tolist()) == set(range(last + 1))
    np.testing.assert_array_equal(drawn, sample_boxes(boxes, SIZE, 200, seed=0))
    assert (drawn != sample_boxes(boxes, SIZE, 200, seed=1)).any()


def test_the_seed_draws_the_boxes(model, images, found):
    again = measure_correspondence(model, ["fc", "conv1"], images, PARTS, num_draws=3, verbose=0)
    np.testing.assert_array_equal(again.random_distances, found.random_distances)
    other = measure_correspondence(model, "fc", images, PARTS, num_draws=3, seed=1, verbose=0)
    np.testing.assert_array_equal(other.delta, found.delta[:1])
    assert (other.random_boxes != found.random_boxes).any()


def test_what_occludes(model, images, found):
    def delta(baseline, **options):
        return measure_correspondence(
            model,
            ["fc", "conv1"],
            images,
            PARTS,
            baseline=baseline,
            num_draws=1,
            verbose=0,
            **options,
        ).delta

    np.testing.assert_array_equal(delta(127.5), found.delta)
    np.testing.assert_array_equal(delta([127.5] * 3, preprocessing=None), found.delta)
    for baseline in (0, "blur", "noise"):
        assert (delta(baseline) != found.delta).any()
    # Grey is the middle of the range of pixels, whatever the model's units.
    named = convnet(name="vgg16")
    caffe = Preprocessing("caffe").images(images)
    given = {"layers": "fc", "num_draws": 1, "verbose": 0, "preprocessing": "caffe"}
    grey = Preprocessing("caffe").images(np.full(3, 127.5))
    np.testing.assert_array_equal(
        measure_correspondence(named, images=caffe, parts=PARTS, **given).delta,
        measure_correspondence(named, images=caffe, parts=PARTS, baseline=grey, **given).delta,
    )


def test_rounding_counts_as_no_change(model, images):
    all_of_it = measure_correspondence(
        model, "fc", images, PARTS, rounding=0.999, num_draws=1, verbose=0
    )
    some = measure_correspondence(model, "fc", images, PARTS, rounding=0, num_draws=1, verbose=0)
    assert all_of_it.delta.max() < some.delta.min()


def test_save_and_load(found, tmp_path):
    found.save(tmp_path / "found.npz")
    assert Correspondence.load(tmp_path / "found.npz") == found


IMAGES_OF_NO_RANGE = np.linspace(-300, 300, 4 * 15 * 11 * 3).reshape(4, *SIZE, 3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"images": np.zeros((1, *SIZE, 3))},
            "images of shape (1, 15, 11, 3)",
        ),
        ({"parts": {}}, "Give the boxes of at least one part. Received: parts={}"),
        (
            {"parts": {"eye": PARTS["eye"][:3]}},
            "Give the boxes of 'eye' as whole numbers of shape (4, 4): (top, left, bottom, right) "
            "for each image. Received: int64 of shape (3, 4)",
        ),
        ({"parts": {"eye": PARTS["eye"] + 0.5}}, "Received: float64 of shape (4, 4)"),
        (
            {"parts": {"eye": [[0, 0, 1, 1], [0, 0, 16, 1], [0, 0, 1, 1], [0, 0, 1, 1]]}},
            "The box of 'eye' in image 1 is not inside the image of 15×11 pixels: give (top, left, "
            "bottom, right) in pixels. Received: [0, 0, 16, 1]",
        ),
        ({"parts": {"eye": [[0, 3, 2, 3]] * 4}}, "Received: [0, 3, 2, 3]"),
        ({"layers": ()}, "layers=()"),
        ({"layers": "fd"}, "The model has no layer 'fd': did you mean"),
        ({"num_draws": 0}, "at least 1. Received: num_draws=0"),
        ({"batch_size": 0}, "at least 1. Received: batch_size=0"),
        ({"rounding": 1}, "from 0 to below 1. Received: rounding=1"),
        ({"verbose": 3}, "verbose=3"),
        ({"baseline": "black"}, "a colour or an image. Received: baseline='black'"),
        ({"images": IMAGES_OF_NO_RANGE}, "Received: baseline='grey'"),
    ],
)
def test_mistakes(model, images, options, sentence):
    arguments = {"images": images, "parts": PARTS, "layers": ["fc"]} | options
    with pytest.raises(ValueError, match=re.escape(sentence)):
        measure_correspondence(model, **arguments)


def test_infinities_are_refused(images):
    model = convnet()
    kernel, bias = model.get_layer("conv1").get_weights()
    model.get_layer("conv1").set_weights([kernel, bias + np.inf])
    with pytest.raises(ValueError, match="Layer 'conv1' returns NaN or infinity: check the range"):
        measure_correspondence(model, ["conv1"], images, PARTS, verbose=0)
