"""Units that lie in the same images: each is projected as if it were alone."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.deconvnet.shared_forward_pass import cut_out, steps
from kerasvis.deconvnet.targets import Unit, as_arrays
from tests.marks import slow
from tests.oracles.random_graphs import draw_graph

SIZE = (65, 50)
NUM_IMAGES = 3
IMAGE_NUMBERS = np.array([2, 0, 2, 2, 0, 2, 2, 2, 0])  # none lies in image 1


def convnet(size=SIZE):
    """Overlapping pools, both paddings and unequal strides, two branches, a dense layer."""
    keras.utils.set_random_seed(0)
    options = {"activation": "relu", "bias_initializer": "random_normal"}
    inputs = keras.Input((*size, 3))
    x = layers.Conv2D(5, 3, (1, 2), "same", name="conv1", **options)(inputs)
    x = layers.MaxPooling2D(3, 2, "same")(x)
    x = layers.Conv2D(6, 3, name="conv2", **options)(x)
    left = layers.Conv2D(3, 1, **options)(x)
    right = layers.Conv2D(3, 3, padding="same", **options)(x)
    x = layers.Concatenate(name="both")([left, right])
    x = layers.MaxPooling2D(2, name="pool2")(x)
    x = layers.Conv2D(7, 3, padding="same", name="conv3", **options)(x)
    return keras.Model(inputs, layers.Dense(4, name="fc", **options)(layers.Flatten()(x)))


def images(shape=(*SIZE, 3)):
    return np.random.default_rng(0).normal(size=(NUM_IMAGES, *shape)).astype("float32")


def random_unit(deconv, number, seed=0):
    *size, num_maps = deconv.target_shape
    rng = np.random.default_rng(seed)
    return Unit(*(rng.integers(0, length, number).astype("int32") for length in (num_maps, *size)))


def alone(deconv, pixels, unit):
    """The projections by one pass over whole images, each for itself."""
    fields = [x for x in (unit.feature, unit.row, unit.column) if x is not None]
    projections = []
    for i, image in enumerate(pixels):
        feature, *position = (int(x[i]) for x in fields)
        position = np.array([position or (0, 0)], "int32")
        inputs = {"images": image[None], "feature": np.array([feature], "int32")}
        projections += [deconv.predict({**inputs, "position": position}, verbose=0)["projection"]]
    return np.concatenate(projections)


def pasted(parts, origins, shape):
    """The parts at their places in images of zeros."""
    whole = np.zeros((len(parts), *shape), "float32")
    for projection, part, (top, left) in zip(whole, parts, origins, strict=True):
        projection[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def assert_equal_up_to_rounding(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("layer", "rectification", "batch_size", "is_cropped"),
    [
        ("conv2", "deconvnet", None, True),
        slow("conv3", "gradient", 2, True),
        slow("fc", "guided", None, False),
        slow("conv3", "guided", None, True),
        slow("fc", "deconvnet", 2, False),
        slow("fc", "gradient", None, False),
    ],
)
def test_every_unit_is_projected_as_if_alone(layer, rectification, batch_size, is_cropped):
    deconv = kv.DeconvModel(convnet(), layer, rectification)
    unit = random_unit(deconv, len(IMAGE_NUMBERS))
    expected = alone(deconv, images()[IMAGE_NUMBERS], unit)
    shared = deconv._shared_forward_pass(SIZE, (rectification,))
    features, positions = as_arrays(unit, len(IMAGE_NUMBERS), deconv.target_shape)
    parts, origins = shared.project(images(), IMAGE_NUMBERS, features, positions, batch_size)
    (parts,) = parts.swapaxes(0, 1)  # by the one plan
    assert (parts.shape[1:3] != SIZE) == is_cropped
    assert parts.dtype == np.float32
    assert np.abs(expected).max() > 0
    assert_equal_up_to_rounding(pasted(parts, origins, (*SIZE, 3)), expected)


ALL = ("guided", "deconvnet", "gradient")


@pytest.mark.parametrize(
    ("layer", "numbers", "is_cropped"),
    [
        slow("conv1", IMAGE_NUMBERS, True),  # in small crops
        slow("conv3", IMAGE_NUMBERS, True),  # cut out of whole images
        slow("fc", IMAGE_NUMBERS, False),
        slow("fc", np.arange(3), False),  # a unit in each image
    ],
)
def test_rectifications_together_are_each_as_if_alone(layer, numbers, is_cropped):
    model = convnet()
    unit = random_unit(kv.DeconvModel(model, layer), len(numbers))
    deconv = kv.DeconvModel(model, layer, "guided")
    found, origins = deconv.project_units_by(ALL, images(), unit, numbers)
    assert list(found) == list(ALL)
    for name, parts in found.items():
        assert (parts.shape[1:3] != SIZE) == is_cropped
        expected = alone(kv.DeconvModel(model, layer, name), images()[numbers], unit)
        assert np.abs(expected).max() > 0
        assert_equal_up_to_rounding(pasted(parts, origins, (*SIZE, 3)), expected)


def test_rectifications_share_the_forward_pass(convolutions):
    deconv = kv.DeconvModel(convnet(), "conv3")
    unit = random_unit(deconv, 9)
    deconv.project_units_by(("deconvnet",), images(), unit, IMAGE_NUMBERS)
    alone = len(convolutions.shapes("conv1"))
    deconv.project_units_by(ALL, images(), unit, IMAGE_NUMBERS)
    assert len(convolutions.shapes("conv1")) == 2 * alone


def test_an_unknown_rectification_is_refused():
    deconv = kv.DeconvModel(convnet(), "conv2")
    with pytest.raises(ValueError, match=r"'deconvnet', 'guided', 'gradient'.*'relu'"):
        deconv.project_units_by(("relu",), images(), Unit([0], [0], [0]), [0])


@pytest.mark.slow
def test_random_graphs():
    num_cropped = num_whole = 0
    for seed in range(30):
        graph = draw_graph(seed)
        rules = "relaxed" if graph.has_gates else ()
        layer = graph.targets[seed % len(graph.targets)]
        deconv = kv.DeconvModel(graph.model, layer, rules=rules)
        unit = random_unit(deconv, 5, seed)
        numbers = np.array([1, 0, 1, 1, 0]) % len(graph.images)
        found, origins = deconv.project_units_by(ALL[:2], graph.images, unit, numbers)
        for name, parts in found.items():
            deconv_by = kv.DeconvModel(graph.model, layer, name, rules)
            expected = alone(deconv_by, graph.images[numbers], unit)
            assert_equal_up_to_rounding(pasted(parts, origins, expected.shape[1:]), expected)
        is_cropped = parts.shape[1:] != expected.shape[1:]
        num_cropped += is_cropped
        num_whole += not is_cropped
    assert num_whole
    assert num_cropped


@pytest.mark.slow
def test_crops_with_a_mean_image():
    model = kv.convnets.ZFNet((96, 80, 3), 5, width=0.1, dense_units=8, normalization="batch")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 96, 80, 3)).astype("float32")
    model.get_layer("pixel_mean").adapt(pixels)
    deconv = kv.DeconvModel(model, "conv2")
    numbers = np.arange(60) % 2
    unit = random_unit(deconv, 60)
    parts, origins = deconv.project_units(pixels, unit, numbers)
    assert parts.shape[1] < 96
    expected = alone(deconv, pixels[numbers], unit)
    assert_equal_up_to_rounding(pasted(parts, origins, (96, 80, 3)), expected)


def test_one_forward_pass_per_image_in_a_step():
    found = list(steps(images(), IMAGE_NUMBERS, {"feature": np.arange(9)}, batch_size=4))
    assert [len(inputs["images"]) for _, inputs in found] == [2, 1, 1]
    order = np.concatenate([numbers for numbers, _ in found])
    taken = np.concatenate([inputs["images"][inputs["image"]] for _, inputs in found])
    np.testing.assert_array_equal(taken, images()[IMAGE_NUMBERS[order]])
    np.testing.assert_array_equal(np.concatenate([x["feature"] for _, x in found]), order)
    assert sorted(order) == list(range(9))


@pytest.mark.parametrize("layer", ["conv3", slow("fc")])
def test_forward_pass_of_whole_images_without_retracing(convolutions, layer):
    deconv = kv.DeconvModel(convnet(), layer)
    num_traced = []
    for num_units in (40, 25, 19):
        numbers = np.arange(num_units) % 3
        deconv.project_units(images(), random_unit(deconv, num_units), numbers, batch_size=7)
        num_traced.append(len(convolutions.calls))
    assert convolutions.shapes("conv1")[-1] == (None, *SIZE, 3)
    assert num_traced == num_traced[:1] * 3


def test_forward_pass_of_small_crops(convolutions):
    deconv = kv.DeconvModel(convnet(), "conv1")
    deconv.project_units(images(), random_unit(deconv, 9), IMAGE_NUMBERS)
    assert np.prod(convolutions.shapes("conv1")[-1][1:3]) < 0.1 * np.prod(SIZE)


def test_cut_out_takes_the_parts_of_each_image():
    maps = np.arange(2 * 5 * 4 * 3).reshape(2, 5, 4, 3)
    parts = cut_out(maps, np.array([1, 0, 1], "int32"), np.array([[2, 1], [0, 0], [3, 2]]), (2, 2))
    np.testing.assert_array_equal(parts[0], maps[1, 2:4, 1:3])
    np.testing.assert_array_equal(parts[1], maps[0, 0:2, 0:2])
    np.testing.assert_array_equal(parts[2], maps[1, 3:5, 2:4])


def test_images_that_do_not_fit_are_refused():
    deconv = kv.DeconvModel(convnet(), "fc")
    with pytest.raises(ValueError, match="resize the images"):
        deconv.project_units(images((60, 50, 3)), Unit(np.zeros(3, "int32")), [0, 0, 1])


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ([0, 3], r"no image 3, there are 3: .* from 0 to 2. Received: image_numbers=\[0, 3\]"),
        ([-1, 0], "There is no image -1, there are 3"),
        ([0.0, 1.0], r"whole number .* Received: image_numbers of float64 and shape \(2,\)"),
        ([[0, 1]], r"whole number .* Received: image_numbers of int64 and shape \(1, 2\)"),
    ],
)
def test_image_numbers_that_are_none(numbers, sentence):
    deconv = kv.DeconvModel(convnet(), "conv2")
    with pytest.raises(ValueError, match=sentence):
        deconv.project_units(images()[:3], Unit(np.zeros(2, "int32"), 1, 1), numbers)
