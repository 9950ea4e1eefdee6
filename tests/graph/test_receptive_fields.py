"""Receptive fields against brute force: change a row or a column, see which units change."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from kerasvis.convnets import AlexNet, ZFNet
from kerasvis.graph import read_graph, receptive_field
from kerasvis.layers import MaxPooling2DWithSwitches, PixelMean
from tests.graph.random_convnets import POINTWISE, UPSAMPLING, WINDOWS, random_convnet

POSITIVE = keras.initializers.RandomUniform(0.5, 1.0)


def seen(model, axis):
    """Which rows (axis 0) or columns (axis 1) each row or column of units depends on.

    With positive weights and no biases a unit is positive where it sees something, and 0 elsewhere.

    Returns:
        A bool array `(units, pixels)`.
    """
    size = model.input_shape[1:3]
    lines = np.eye(size[axis], dtype="float32")
    lines = lines[:, :, None, None] if axis == 0 else lines[:, None, :, None]
    images = np.broadcast_to(lines, (size[axis], *size, model.input_shape[3]))
    activations = np.abs(model(images.astype("float32")).numpy())
    return activations.max(axis=(3, 2 - axis)).T > 0


def boxes(field, axis, num_units):
    """`(begin, end)` along an axis for each unit."""
    positions = np.eye(2, dtype=int)[axis] * np.arange(num_units)[:, None]
    return np.array([field.box(*position) for position in positions])[:, [axis, axis + 2]]


def assert_all_seen_is_inside(model, field):
    for axis in (0, 1):
        units = seen(model, axis)
        for (begin, end), pixels in zip(boxes(field, axis, len(units)), units, strict=True):
            assert not pixels[: max(begin, 0)].any()
            assert not pixels[max(end, 0) :].any()


def assert_interior_is_exact(model, field, border):
    """Units whose box lies `border` pixels inside the image see its first and last pixel."""
    for axis in (0, 1):
        units = seen(model, axis)
        length = model.input_shape[1 + axis]
        for (begin, end), pixels in zip(boxes(field, axis, len(units)), units, strict=True):
            if border <= begin and end <= length - border:
                assert np.flatnonzero(pixels)[[0, -1]].tolist() == [begin, end - 1]


def positive_convnet(data, **options):
    return random_convnet(
        data.draw, pooling=layers.AveragePooling2D, kernel_initializer=POSITIVE, **options
    )


@settings(max_examples=40)
@given(st.data())
def test_a_unit_sees_nothing_outside_its_box(data):
    model = positive_convnet(data)
    assert_all_seen_is_inside(model, receptive_field(model, "top"))


@settings(max_examples=30)
@given(st.data())
def test_a_unit_sees_its_whole_box_in_the_interior(data):
    model = positive_convnet(data, kinds=WINDOWS + POINTWISE, sizes=(24, 40))
    assert_interior_is_exact(model, receptive_field(model, "top"), border=8)


@settings(max_examples=5)
@given(st.data())
def test_upsampled_boxes_are_hardly_too_wide(data):
    model = positive_convnet(data, kinds=UPSAMPLING, sizes=(6, 9))
    field = receptive_field(model, "top")
    for axis in (0, 1):
        units = seen(model, axis)
        for (begin, end), pixels in zip(boxes(field, axis, len(units)), units, strict=True):
            if begin >= 2 and end <= model.input_shape[1 + axis] - 2 and pixels.any():
                first, last = np.flatnonzero(pixels)[[0, -1]]
                # A bilinear unit that lies on a cell's centre has no use for the neighbours.
                slack = 1 + sum(isinstance(x, layers.UpSampling2D) for x in model.layers)
                assert first - begin <= slack
                assert end - 1 - last <= slack


@pytest.mark.parametrize(
    "interpolation", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
)
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_interpolations(interpolation, factor):
    upsampling = layers.UpSampling2D((factor, 1), interpolation=interpolation, name="top")
    model = keras.Sequential([keras.Input((17, 12, 1)), upsampling])
    field = receptive_field(model, "top")
    units = seen(model, axis=0)
    for (begin, end), pixels in zip(boxes(field, 0, len(units)), units, strict=True):
        assert not pixels[: max(begin, 0)].any()
        assert not pixels[max(end, 0) :].any()
    radius = {"nearest": 1, "bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}[
        interpolation
    ]
    assert field.window_size[0] <= 2 * radius + 1
    if interpolation == "nearest":
        assert field.window_size == (1, 1)
        assert field.box(2 * factor + factor - 1, 3) == (2, 3, 3, 4)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_transposed_convolution_is_exact(kernel, strides, dilation, padding):
    top = layers.Conv2DTranspose(
        1, kernel, strides, padding, dilation_rate=dilation, kernel_initializer=POSITIVE, name="top"
    )
    model = keras.Sequential([keras.Input((13, 9, 1)), top])
    field = receptive_field(model, "top")
    assert_all_seen_is_inside(model, field)
    units = seen(model, axis=0)
    for (begin, end), pixels in zip(boxes(field, 0, len(units)), units, strict=True):
        inside = np.flatnonzero(pixels)
        if begin >= 1 and end <= 12 and dilation == 1:
            # Where the kernel is smaller than the stride, some units see nothing.
            assert (inside[0], inside[-1]) == (begin, end - 1) if len(inside) else begin >= end


def test_output_padding_of_a_transposed_convolution():
    for output_padding in (0, 1):
        top = layers.Conv2DTranspose(
            1, 3, 2, "same", output_padding, kernel_initializer=POSITIVE, name="top"
        )
        model = keras.Sequential([keras.Input((13, 9, 1)), top])
        assert_all_seen_is_inside(model, receptive_field(model, "top"))


ZFNET = {  # size, stride, offset
    "pixel_mean": (1, 1, 0),
    "conv1": (7, 2, -1),
    "pool1": (11, 4, -1),
    "norm1": (11, 4, -1),
    "conv2": (27, 8, -1),
    "pool2": (43, 16, -1),
    "conv3": (75, 16, -17),
    "conv4": (107, 16, -33),
    "conv5": (139, 16, -49),
    "pool5": (171, 32, -49),
}


@pytest.fixture(scope="module")
def zfnet():
    return ZFNet(width=0.02, include_top=False)


@pytest.mark.parametrize("layer", ZFNET)
def test_zfnet_as_printed(zfnet, layer):
    field = receptive_field(zfnet, layer)
    assert field == (*((n, n) for n in ZFNET[layer]), (224, 224))


def test_zfnet_pool5_sees_the_image_border(zfnet):
    assert receptive_field(zfnet, "pool5").box(5, 0) == (111, -49, 282, 122)


def test_alexnet():
    model = AlexNet(width=0.02, include_top=False)
    expected = {"conv1": (11, 4), "pool1": (19, 8), "conv2": (51, 8), "pool2": (67, 16)}
    expected |= {"conv3": (99, 16), "conv4": (131, 16), "conv5": (163, 16), "pool5": (195, 32)}
    for layer, (size, strides) in expected.items():
        field = receptive_field(model, layer)
        assert (field.size, field.strides) == ((size, size), (strides, strides))


def test_vgg16():
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    expected = {"block1_pool": (6, 2), "block3_conv3": (40, 4), "block5_conv3": (196, 16)}
    for layer, (size, strides) in expected.items():
        field = receptive_field(model, layer)
        assert (field.size, field.strides) == ((size, size), (strides, strides))


def test_rows_and_columns_apart():
    model = keras.Sequential(
        [
            keras.Input((31, 50, 3)),
            layers.Conv2D(2, (3, 7), (1, 2), name="a"),
            layers.MaxPooling2D((2, 3), (2, 1), padding="same", name="b"),
        ]
    )
    assert receptive_field(model, "a") == ((3, 7), (1, 2), (0, 0), (31, 50))
    # 29 rows pool to 15 with one padded after; 22 columns to 22 with one padded on either side.
    field = receptive_field(model, "b")
    assert field == ((4, 11), (2, 2), (0, -2), (31, 50))
    assert field.box(3, 5) == (6, 8, 10, 19)
    assert field.window_size == (4, 11)


def test_union_over_branches():
    inputs = keras.Input((20, 24, 3))
    wide = layers.Conv2D(2, (7, 3), padding="same")(inputs)
    shifted = layers.Cropping2D(((2, 0), (0, 2)))(layers.ZeroPadding2D(((0, 2), (2, 0)))(inputs))
    merged = layers.Concatenate(name="merged")([wide, layers.Conv2D(2, 1)(shifted)])
    field = receptive_field(keras.Model(inputs, merged), "merged")
    assert field == ((7, 4), (1, 1), (-3, -2), (20, 24))


WHOLE_IMAGE = {
    "strides": lambda x: layers.Add()([layers.Cropping2D(3)(x), layers.MaxPooling2D(2)(x)]),
    "global pooling": lambda x: layers.GlobalAveragePooling2D(keepdims=True)(x),
    "gate": lambda x: layers.Multiply()([x, layers.GlobalMaxPooling2D(keepdims=True)(x)]),
    "broadcast": lambda x: layers.Add()([x, layers.Conv2D(3, 12)(x)]),
    "broadcast operation": lambda x: x + layers.Conv2D(3, 12)(x),
    "rows above rows": lambda x: layers.Concatenate(axis=1)([x, x]),
    "softmax over rows": lambda x: layers.Softmax(axis=1)(x),
    "softmax over the image": lambda x: layers.Softmax(axis=(1, 2, 3))(x),
    "normalised over the image": lambda x: layers.LayerNormalization(axis=(1, 2, 3))(x),
    "groups": lambda x: layers.GroupNormalization(3)(x),
    "dense": lambda x: layers.Dense(4)(layers.Flatten()(x)),
    "reshape": lambda x: layers.Reshape((6, 24, 3))(x),
    "permute": lambda x: layers.Permute((2, 1, 3))(x),
    "random crop": lambda x: layers.RandomCrop(6, 6)(x),
    "slice": lambda x: x[:, 1:],
    "joined operation": lambda x: ops.concatenate([x, x], axis=1),
    "a layer's own filter, whose scale is still 0": lambda x: OwnFilter()(x),
    "a Lambda that counts rows": lambda x: layers.Lambda(weighted_by_row)(x),
}


@keras.saving.register_keras_serializable(package="tests")
class OwnScale(layers.Layer):
    """A scale for each channel, as ConvNeXt and transformers have it."""

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], initializer="zeros")

    def call(self, x):
        return x * self.scale


@keras.saving.register_keras_serializable(package="tests")
class OwnFilter(OwnScale):
    """A residual block that begins as the identity."""

    def build(self, shape):
        super().build(shape)
        self.kernel = self.add_weight(shape=(3, 3, shape[-1], shape[-1]), initializer="zeros")

    def call(self, x):
        return x + ops.conv(x, self.kernel, padding="same") * self.scale


@keras.saving.register_keras_serializable(package="tests")
def weighted_by_row(x):
    """The same at no two rows."""
    return x * ops.reshape(ops.arange(x.shape[1], dtype=x.dtype), (1, -1, 1, 1))


@pytest.mark.parametrize("name", WHOLE_IMAGE)
def test_units_that_see_the_whole_image(name):
    inputs = keras.Input((12, 12, 3))
    top = layers.Activation("linear", name="top")(WHOLE_IMAGE[name](inputs))
    field = receptive_field(keras.Model(inputs, top), "top")
    assert field.is_whole_image
    assert field.box(1, 1) == (0, 0, 12, 12)
    assert field.window_size == (12, 12)


IN_PLACE = {
    "dense": lambda x: layers.Dense(4)(x),
    "channels": lambda x: layers.LayerNormalization()(x),
    "softmax": lambda x: layers.Softmax()(x),
    "prelu": lambda x: layers.PReLU()(x),
    "mean": lambda x: PixelMean()(x),
    "operations": lambda x: ops.relu(x * 2 + np.ones(3, "float32")) - x,
    "constant image": lambda x: x + np.ones((12, 12, 3), "float32"),
    "flip": lambda x: layers.RandomFlip()(x),
    "a layer's own scale": lambda x: OwnScale()(x),
    "nested": lambda x: keras.Sequential([keras.Input((12, 12, 3)), layers.ReLU()])(x),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_units_that_stay_in_place(name):
    inputs = keras.Input((12, 12, 3))
    x = IN_PLACE[name](layers.Conv2D(3, 3, padding="same")(inputs))
    top = layers.Activation("linear", name="top")(x)
    assert receptive_field(keras.Model(inputs, top), "top") == ((3, 3), (1, 1), (-1, -1), (12, 12))


def test_a_layer_that_is_tried_is_left_as_it_is():
    layer = OwnScale()
    model = keras.Sequential([keras.Input((12, 12, 3)), layer])
    assert receptive_field(model, layer.name).size == (1, 1)
    np.testing.assert_array_equal(layer.scale, np.zeros(3))


def test_units_of_convnext_see_windows():
    model = keras.applications.ConvNeXtTiny(
        weights=None, include_top=False, input_shape=(224, 224, 3)
    )
    field = receptive_field(model, "convnext_tiny_stage_1_block_0_identity")
    assert field.strides == (8, 8)
    assert field.size == (8 + 3 * 6 * 4 + 6 * 8,) * 2  # patches of 8 in blocks of 7×7 at 4 and 8


def test_pooling_with_switches():
    inputs = keras.Input((12, 13, 3))
    pooled, switches = MaxPooling2DWithSwitches(3, 2, "same", name="pool")(inputs)
    field = receptive_field(keras.Model(inputs, [pooled, switches]), "pool")
    assert field == ((3, 3), (2, 2), (0, -1), (12, 13))


def test_a_layer_called_twice():
    inputs = keras.Input((12, 12, 3))
    shared = layers.Conv2D(3, 3, name="shared")
    model = keras.Model(inputs, shared(shared(inputs)))
    assert receptive_field(model, "shared").size == (3, 3)
    assert receptive_field(model, "shared:2").size == (5, 5)


def test_images_of_any_size():
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(2, 3, padding="same", name="conv"),
            layers.MaxPooling2D(2, padding="same", name="pool"),
            layers.Conv2DTranspose(2, 3, 2, padding="same", name="up"),
        ]
    )
    assert receptive_field(model, "conv") == ((3, 3), (1, 1), (-1, -1), (None, None))
    assert receptive_field(model, "pool", (6, 7)) == ((4, 4), (2, 2), (-1, -1), (6, 7))
    assert receptive_field(model, "pool", (7, 6)) == ((4, 4), (2, 2), (-1, -1), (7, 6))
    assert receptive_field(model, "up", (8, 8)).strides == (1, 1)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        receptive_field(model, "pool")
    assert str(error.value) == (
        "The padding of layer 'pool' depends on the size of the image, which the model leaves "
        "open: give image_size=(height, width)."
    )


def test_images_of_another_size_than_the_model_takes():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.MaxPooling2D(3, 2, "same", name="a")])
    assert receptive_field(model, "a").offset == (0, 0)
    assert receptive_field(model, "a", (9, 8)).offset == (-1, 0)


def test_several_inputs():
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    model = keras.Model([a, b], layers.Add(name="sum")([a, b]), name="two")
    for image_size in (None, (8, 8)):
        with pytest.raises(ValueError, match=r"'two' has 2 inputs, .* kerasvis.image_model\("):
            receptive_field(model, "sum", image_size)


def test_vectors():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(3, name="d")], name="dense")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        receptive_field(model, "d")
    assert str(error.value) == (
        "The model 'dense' takes inputs of shape (None, 8), but images (batch, rows, columns, "
        "channels) were expected: kerasvis works on convnets with two spatial axes."
    )


def test_channels_first():
    conv = layers.Conv2D(2, 3, data_format="channels_first", name="c")
    model = keras.Sequential([keras.Input((3, 8, 8)), conv])
    with pytest.raises(ValueError) as error:  # noqa: PT011
        receptive_field(model, "c")
    assert str(error.value) == (
        "Layer 'c' is channels-first, but kerasvis supports channels-last models only: rebuild "
        "the model with data_format='channels_last' (the kernels are the same)."
    )


def test_the_model_is_left_as_it_is():
    model = ZFNet((64, 64, 3), 10, width=0.05, dense_units=8)
    weights, config = model.get_weights(), model.get_config()
    calls = [len(layer._inbound_nodes) for layer in model.layers]
    receptive_field(model, "conv5", (80, 64))
    read_graph(model)
    assert model.get_config() == config
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
