"""A unit computed inside its crop is the unit computed on the whole image."""

import keras
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from kerasvis.convnets import ZFNet
from kerasvis.graph import crop_grid, pixelwise_nodes, read_graph, replay
from kerasvis.graph.shapes import infer_shapes
from kerasvis.layers import PixelMean
from tests.graph.random_convnets import random_convnet


class Crops:
    """A model whose layer `top` is computed on the whole image and inside crops."""

    def __init__(self, model, layer="top"):
        graph = read_graph(model)
        self.image = graph.inputs[0]
        self.target = graph.node(layer).outputs[0]
        self.nodes = graph.ancestors([self.target])
        self.shapes = infer_shapes(graph, self.nodes, model)
        self.grid = crop_grid(self.image, self.nodes, self.shapes, self.target)

    def whole(self, image):
        tensors = replay(self.nodes, {self.image: ops.convert_to_tensor(image[None])})
        return np.array(tensors[self.target])[0]

    def units(self, image, positions):
        """Activations `(units, feature maps)` of units at `positions`, each from its crop."""
        pixelwise = pixelwise_nodes(self.image, self.nodes)
        tensors = replay(pixelwise, {self.image: ops.convert_to_tensor(image[None])})
        height, width = self.grid.size
        origins = self.grid.origins(positions)
        crops = {
            number: ops.concatenate(
                [x[:, top : top + height, left : left + width] for top, left in origins]
            )
            for number, x in tensors.items()
        }
        above = [node for node in self.nodes if node not in pixelwise]
        maps = np.array(replay(above, crops)[self.target])
        inside = [self.grid.position(*position) for position in positions]
        return np.array([maps[i][position] for i, position in enumerate(inside)])

    def positions(self):
        """Corners, borders, the middle, and what lies between them."""
        rows, columns = (
            np.unique([*range(min(n, 3)), n // 2, n // 2 + 1, n - 2, n - 1]).clip(0, n - 1)
            for n in self.shapes[self.target][1:3]
        )
        return np.unique([(row, column) for row in rows for column in columns], axis=0)


def random_image(model, seed=0):
    return np.random.default_rng(seed).normal(size=model.input_shape[1:]).astype("float32")


def randomize(model, seed=0):
    """Random means, biases and statistics, so that padding differs from what lies beside it."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        low = 0.5 if "variance" in weight.name else -1.0
        weight.assign(rng.uniform(low, 1.0, weight.shape).astype("float32"))


def assert_units_are_those_of_the_whole_image(model, layer="top"):
    """Returns the `CropGrid`, None where crops save nothing."""
    crops = Crops(model, layer)
    if crops.grid is not None:
        image, positions = random_image(model), crops.positions()
        whole = crops.whole(image)
        expected = np.array([whole[tuple(position)] for position in positions])
        units = crops.units(image, positions)
        np.testing.assert_allclose(units, expected, rtol=1e-5, atol=1e-6 * np.abs(whole).max())
    return crops.grid


def check_random_convnet(data):
    model = random_convnet(data.draw, sizes=(14, 40))
    randomize(model)
    grid = assert_units_are_those_of_the_whole_image(model)
    event("in crops" if grid else "whole")


@settings(max_examples=40)
@given(st.data())
def test_units_of_random_convnets(data):
    check_random_convnet(data)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_units_of_more_random_convnets(data):
    check_random_convnet(data)


def check_layers_that_cut_off_and_pad(data):
    kinds = ["crop", "crop", "pad", "conv", "pool", "upsampling", "transposed"]
    model = random_convnet(data.draw, sizes=(30, 50), kinds=kinds, pooling=layers.AveragePooling2D)
    randomize(model)
    grid = assert_units_are_those_of_the_whole_image(model)
    event("in crops" if grid else "whole")


@settings(max_examples=20)
@given(st.data())
def test_units_where_layers_cut_off_and_pad_cells(data):
    check_layers_that_cut_off_and_pad(data)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_more_units_where_layers_cut_off_and_pad_cells(data):
    check_layers_that_cut_off_and_pad(data)


CUT_OFF = {
    "before": [layers.Cropping2D(((3, 0), (5, 0)))],
    "after": [layers.Cropping2D(((0, 3), (0, 5)))],
    "both, at a stride": [layers.MaxPooling2D(2), layers.Cropping2D(((2, 3), (4, 1)))],
    "uneven stride": [layers.Conv2D(2, 3, 3), layers.Cropping2D(((1, 2), (2, 1)))],
    "below a sparse upsampling": [
        layers.Conv2D(2, 1, 2),
        layers.Cropping2D(2),
        layers.Conv2DTranspose(2, 1, 2),
    ],
}


@pytest.mark.parametrize("name", CUT_OFF)
def test_cells_that_were_cut_off_are_no_padding(name):
    """A convolution above a cropping: its padding must not come nearer in a crop."""
    top = layers.Conv2D(2, 3, padding="same", name="top")
    stack = [layer.__class__.from_config(layer.get_config()) for layer in CUT_OFF[name]]
    model = keras.Sequential([keras.Input((41, 47, 3)), *stack, top])
    randomize(model)
    assert assert_units_are_those_of_the_whole_image(model) is not None


def test_zfnet():
    model = ZFNet(width=0.05, include_top=False)
    randomize(model)
    grid = assert_units_are_those_of_the_whole_image(model, "conv3")
    # 75 pixels at stride 16 from -17 on: a crop that begins 15 pixels early holds 90, hence 96.
    assert grid.size == (96, 96)
    assert grid.strides == (16, 16)
    assert grid.origin(0, 5) == (0, 48)
    assert grid.position(0, 5) == (0, 2)
    assert grid.origin(12, 12) == (128, 128)
    assert grid.box(0, 5) == (0, 63, 58, 138)
    np.testing.assert_array_equal(grid.origins([(0, 5), (12, 12)]), [(0, 48), (128, 128)])
    assert grid.origins(np.zeros((0, 2), int)).shape == (0, 2)
    assert assert_units_are_those_of_the_whole_image(model, "conv5").size == (160, 160)
    assert assert_units_are_those_of_the_whole_image(model, "pool5").size == (192, 192)


def test_crops_of_one_stride_are_the_receptive_fields():
    model = keras.Sequential([keras.Input((20, 30, 3)), layers.Conv2D(2, (3, 5), name="top")])
    grid = assert_units_are_those_of_the_whole_image(model)
    assert grid.size == (3, 5)
    assert grid.origin(7, 11) == (7, 11)


REFUSED = {
    "position weights of pixels": lambda x: layers.Conv2D(2, 3)(layers.PReLU()(x)),
    "constant image on the image": lambda x: layers.Conv2D(2, 3)(
        x + np.ones((24, 30, 3), "float32")
    ),
    "position weights": lambda x: layers.PReLU()(layers.Conv2D(2, 3)(x)),
    "mean image above": lambda x: PixelMean()(layers.Conv2D(2, 3)(x)),
    "mean image above padding": lambda x: layers.Cropping2D(1)(
        PixelMean()(layers.ZeroPadding2D(1)(x))
    ),
    "constant image": lambda x: layers.Conv2D(2, 3)(x) + np.ones((22, 28, 2), "float32"),
    "constant row": lambda x: layers.Conv2D(2, 3)(x) + np.ones((1, 28, 2), "float32"),
    "constant column": lambda x: layers.Conv2D(2, 3)(x) + np.ones((22, 1, 2), "float32"),
    "rows normalised apart": lambda x: layers.BatchNormalization(axis=1)(layers.Conv2D(2, 3)(x)),
    "rescaled by an image": lambda x: layers.Rescaling(np.ones((22, 28, 1)))(
        layers.Conv2D(2, 3)(x)
    ),
    "whole image": lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x),
    "between pixels": lambda x: layers.UpSampling2D(2)(x),
    "as large": lambda x: layers.Conv2D(2, (24, 30))(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_crops(name):
    inputs = keras.Input((24, 30, 3))
    top = layers.Activation("linear", name="top")(REFUSED[name](inputs))
    assert Crops(keras.Model(inputs, top)).grid is None


ACCEPTED = {
    "mean image": lambda x: layers.Conv2D(2, 3)(PixelMean()(x)),
    "mean of scaled pixels": lambda x: layers.Conv2D(2, 3)(PixelMean()(layers.Rescaling(0.5)(x))),
    "both ways": lambda x: layers.Add()([layers.Conv2D(3, 3, padding="same")(x), PixelMean()(x)]),
    "shared slopes": lambda x: layers.PReLU(shared_axes=(1, 2))(layers.Conv2D(2, 3)(x)),
    "channels rescaled": lambda x: layers.Rescaling([1.0, 2.0])(layers.Conv2D(2, 3)(x)),
    "channels normalised": lambda x: layers.BatchNormalization()(layers.Conv2D(2, 3)(x)),
    "constant per channel": lambda x: layers.Conv2D(2, 3)(x) + np.ones(2, "float32"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_crops_are_exact(name):
    inputs = keras.Input((24, 30, 3))
    top = layers.Activation("linear", name="top")(ACCEPTED[name](inputs))
    model = keras.Model(inputs, top)
    randomize(model)
    assert assert_units_are_those_of_the_whole_image(model) is not None


def test_pixelwise_nodes():
    inputs = keras.Input((24, 30, 3))
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    mean = PixelMean(name="mean")(x)
    conv = layers.Conv2D(3, 1, name="conv")(mean)
    top = layers.ReLU(name="relu")(layers.Add(name="sum")([conv, layers.ReLU(name="r")(mean)]))
    graph = read_graph(keras.Model(inputs, top))
    names = {node.name for node in pixelwise_nodes(graph.inputs[0], graph.nodes)}
    assert names == {"scale", "mean", "r"}


def test_images_of_unknown_size():
    model = keras.Sequential([keras.Input((None, 30, 1)), layers.Conv2D(2, 3, name="top")])
    assert Crops(model).grid is None
