"""The convnets against the paper's table: shapes, parameters, and what a user may vary."""

import keras
import numpy as np
import pytest

from kerasvis.convnets import AlexNet, SqueezeNet, ZFNet
from tests.marks import few, slow

ZFNET_SHAPES = {  # Figure 3
    "pixel_mean": (224, 224, 3),
    "conv1": (110, 110, 96),
    "pool1": (55, 55, 96),
    "norm1": (55, 55, 96),
    "conv2": (26, 26, 256),
    "pool2": (13, 13, 256),
    "norm2": (13, 13, 256),
    "conv3": (13, 13, 384),
    "conv4": (13, 13, 384),
    "conv5": (13, 13, 256),
    "pool5": (6, 6, 256),
    "fc6": (4096,),
    "fc7": (4096,),
    "softmax": (1000,),
}
ALEXNET_SHAPES = ZFNET_SHAPES | {
    "conv1": (55, 55, 96),
    "norm1": (55, 55, 96),
    "pool1": (27, 27, 96),
    "conv2": (27, 27, 256),
    "norm2": (27, 27, 256),
}
SQUEEZENET_SHAPES = {
    "channel_means": (227, 227, 3),
    "conv1": (113, 113, 64),
    "pool1": (56, 56, 64),
    "fire2_squeeze1x1": (56, 56, 16),
    "fire2": (56, 56, 128),
    "fire3": (56, 56, 128),
    "pool3": (27, 27, 128),
    "fire4_expand3x3": (27, 27, 128),
    "fire5": (27, 27, 256),
    "pool5": (13, 13, 256),
    "fire6": (13, 13, 384),
    "fire9": (13, 13, 512),
    "conv10": (13, 13, 1000),
    "pool10": (1000,),
    "softmax": (1000,),
}
BUILDERS = [AlexNet, ZFNet, SqueezeNet]


def convolution_parameters(*shapes):
    """Weights and biases of convolutions `(kernel side, input channels, filters)`."""
    return sum(kernel**2 * channels * filters + filters for kernel, channels, filters in shapes)


ABOVE = [(3, 256, 384), (3, 384, 384), (3, 384, 256), (6, 256, 4096), (1, 4096, 4096)]
PARAMETERS = {  # a dense layer on 6×6×256 has the parameters of a 6×6 convolution
    ZFNet: convolution_parameters((7, 3, 96), (5, 96, 256), *ABOVE, (1, 4096, 1000)),
    AlexNet: convolution_parameters((11, 3, 96), (5, 96, 256), *ABOVE, (1, 4096, 1000)),
}


@pytest.mark.parametrize(("builder", "shapes"), [(ZFNet, ZFNET_SHAPES), (AlexNet, ALEXNET_SHAPES)])
def test_the_paper_in_full(builder, shapes):
    model = builder(kernel_initializer="zeros")
    assert {name: model.get_layer(name).output.shape[1:] for name in shapes} == shapes
    mean = 224 * 224 * 3
    assert model.count_params() == PARAMETERS[builder] + mean
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == PARAMETERS[builder]


def test_order_of_the_layers():
    zfnet, alexnet = (
        [x.name for x in build(width=0.02).layers] for build in (small_zf, small_alex)
    )
    assert zfnet[1:7] == ["pixel_mean", "pad1", "conv1", "pool1", "norm1", "conv2"]
    assert alexnet[1:7] == ["pixel_mean", "pad1", "conv1", "norm1", "pool1", "conv2"]
    assert zfnet[-6:] == ["flatten", "fc6", "dropout6", "fc7", "dropout7", "softmax"]


def small_zf(input_shape=(64, 64, 3), classes=10, strides=(1, 1), **options):
    options = {"width": 0.1, "dense_units": 16, "kernel_initializer": "he_normal"} | options
    return ZFNet(input_shape, classes, strides=strides, **options)


def small_alex(input_shape=(64, 64, 3), classes=10, strides=(2, 1), **options):
    options = {"width": 0.1, "dense_units": 16, "kernel_initializer": "he_normal"} | options
    return AlexNet(input_shape, classes, strides=strides, **options)


def small_squeeze(input_shape=(64, 64, 3), classes=10, **options):
    return SqueezeNet(input_shape, classes, **options)


SMALL_BUILDERS = [small_zf, small_alex, small_squeeze]


def pixels(size=(64, 64), number=3):
    return np.random.default_rng(0).integers(0, 256, (number, *size, 3)).astype("uint8")


def test_squeezenet_in_full():
    model = SqueezeNet()
    shapes = {name: model.get_layer(name).output.shape[1:] for name in SQUEEZENET_SHAPES}
    assert shapes == SQUEEZENET_SHAPES
    assert model.count_params() == 1_235_496
    assert model.name == "squeezenet"


def test_squeezenet_takes_images_of_any_size():
    model = SqueezeNet((None, None, 3), 10)
    for size in ((64, 64), (50, 71)):
        probabilities = model.predict(pixels(size), verbose=0)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_squeezenet_subtracts_the_means_of_rgb():
    model = SqueezeNet((64, 64, 3))
    means = keras.Model(model.inputs, model.get_layer("channel_means").output)
    np.testing.assert_array_equal(
        means.predict(pixels(), verbose=0), pixels() - np.array([123, 117, 104], "float32")
    )


def spatial_sizes(model, names="conv1 pool1 conv2 pool2 conv5 pool5"):
    return [model.get_layer(name).output.shape[1] for name in names.split()]


@pytest.mark.slow
def test_small_inputs_as_documented():
    assert spatial_sizes(small_zf(strides=(1, 1))) == [60, 30, 26, 13, 13, 6]
    assert spatial_sizes(small_zf(strides=(2, 1))) == [30, 15, 11, 6, 6, 2]
    assert spatial_sizes(small_alex(strides=(2, 1))) == [29, 14, 14, 6, 6, 2]


def test_non_square_inputs():
    assert small_zf((64, 96, 3)).get_layer("pool5").output.shape[1:] == (6, 10, 26)
    assert small_alex((96, 64, 1)).get_layer("pool5").output.shape[1:] == (4, 2, 26)


@pytest.mark.parametrize("build", [small_zf, small_alex])
def test_widths(build):
    model = build(width=0.5, dense_units=24)
    filters = [model.get_layer(f"conv{n}").filters for n in range(1, 6)]
    assert filters == [48, 128, 192, 192, 128]
    assert [model.get_layer(name).units for name in ("fc6", "fc7", "softmax")] == [24, 24, 10]
    assert build(width=1e-6).get_layer("conv1").filters == 1


@pytest.mark.parametrize("build", [small_zf, small_alex])
def test_filters(build):
    model = build(width=1.0, filters=(1, 2, 3, 4, 5))
    assert [model.get_layer(f"conv{n}").filters for n in range(1, 6)] == [1, 2, 3, 4, 5]
    model = build(width=2.0, filters=(1, 2, 3, 4, 5))
    assert [model.get_layer(f"conv{n}").filters for n in range(1, 6)] == [2, 4, 6, 8, 10]


@pytest.mark.parametrize("build", [small_zf, small_alex])
@pytest.mark.parametrize("without", [(), (3, 4), (5,), (7,), [7, 6], (3, 4, 5, 6, 7)])
def test_layers_left_out(build, without):
    whole = [layer.name for layer in build(normalization="batch").layers]
    model = build(normalization="batch", without=without)
    gone = {f"{part}{n}" for n in without for part in ("conv", "norm", "fc", "dropout")}
    assert [layer.name for layer in model.layers] == [name for name in whole if name not in gone]
    assert model.output.shape == (None, 10)


@pytest.mark.parametrize("build", [small_zf, small_alex])
def test_normalizations(build):
    layers = {
        normalization: [
            x.name for x in build(normalization=normalization).layers if "norm" in x.name
        ]
        for normalization in ("local_response", "batch", None)
    }
    assert layers["local_response"] == ["norm1", "norm2"]
    assert layers["batch"] == ["norm1", "norm2", "norm3", "norm4", "norm5"]
    assert layers[None] == []


def test_initial_weights_of_the_paper():
    model = ZFNet((64, 64, 3), 10, strides=(1, 1), dense_units=16)
    kernel = keras.ops.convert_to_numpy(model.get_layer("conv2").kernel)
    assert kernel.std() == pytest.approx(1e-2, rel=0.02)
    assert abs(kernel.mean()) < 1e-4


@pytest.mark.parametrize("build", SMALL_BUILDERS)
def test_without_the_top(build):
    model = build(include_top=False)
    assert model.output.name == model.layers[-1].output.name
    assert model.layers[-1].name in ("pool5", "fire9")
    assert len(model.output.shape) == 4


@pytest.mark.parametrize("build", SMALL_BUILDERS)
def test_classifier_activation(build):
    model, scores = build(), build(classifier_activation=None)
    scores.set_weights(model.get_weights())
    expected = keras.ops.softmax(scores.predict(pixels(), verbose=0))
    np.testing.assert_allclose(model.predict(pixels(), verbose=0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("build", few(SMALL_BUILDERS, 1))
def test_weights_and_models_come_back(build, tmp_path):
    model = build()
    for weight in model.weights:
        weight.assign(weight + 0.01)
    expected = model.predict(pixels(), verbose=0)
    model.save_weights(tmp_path / "net.weights.h5")
    again = build(weights=tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(again.predict(pixels(), verbose=0), expected)
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.predict(pixels(), verbose=0), expected)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("policy", ["mixed_float16", slow("mixed_bfloat16")])
@pytest.mark.parametrize("build", few(SMALL_BUILDERS, 1))
def test_mixed_precision(build, policy):
    model = build()
    keras.config.set_dtype_policy(policy)
    try:
        mixed = build()
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(model.get_weights())
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    assert mixed.get_layer("conv1").compute_dtype == policy.removeprefix("mixed_")
    expected = model.predict(pixels(), verbose=0)
    np.testing.assert_allclose(mixed.predict(pixels(), verbose=0), expected, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("build", [small_zf, small_alex])
def test_training_lowers_the_loss(build):
    model = build()
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    labels = np.arange(3)
    images = pixels().astype("float32")
    before = model.evaluate(images, labels, verbose=0)
    model.fit(images, labels, epochs=8, verbose=0)
    assert model.evaluate(images, labels, verbose=0) < before


def error_of(build, *args, **kwargs):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize("builder", BUILDERS)
def test_wrong_arguments_of_all(builder):
    assert error_of(builder, (224, 224)).endswith("Received: input_shape=(224, 224)")
    assert error_of(builder, (64, 64, 3), 0).endswith("1 or more. Received: classes=0")
    keras.config.set_image_data_format("channels_first")
    try:
        error = error_of(builder, (64, 64, 3))
        assert "call keras.config.set_image_data_format('channels_last') first." in error
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("build", [small_zf, small_alex])
def test_wrong_arguments(build):
    error = error_of(build, normalization="layer")
    assert error.endswith("'batch', or None. Received: normalization='layer'")
    assert error_of(build, width=0).endswith("Received: width=0")


@pytest.mark.parametrize("build", [small_zf, small_alex])
def test_wrong_layers(build):
    error = error_of(build, filters=(1, 2))
    assert error.endswith("for conv1 to conv5. Received: filters=(1, 2)")
    for without in ((2,), (3, "fc7")):
        error = error_of(build, without=without)
        assert error.endswith(f"among 3, 4, 5, 6 and 7. Received: without={without}")


def test_squeezenet_takes_rgb_only():
    error = error_of(SqueezeNet, (64, 64, 1))
    assert "Give (rows, columns, 3)" in error
    assert error.endswith("Received: input_shape=(64, 64, 1)")


@pytest.mark.parametrize(
    ("build", "size", "place", "window", "arriving"),
    [
        (small_zf, (4, 64), "conv1", 7, "6×66"),
        (small_zf, (10, 64), "conv2", 5, "3×30"),
        (small_alex, (20, 64), "pool5", 3, "1×6"),
        (small_squeeze, (16, 64), "pool5", 3, "1×7"),
    ],
)
def test_inputs_that_are_too_small(build, size, place, window, arriving):
    error = error_of(build, (*size, 3))
    assert f"{place} has windows of {window}×{window}: give a larger input_shape" in error
    assert error.endswith(f"Received: feature maps of {arriving} at {place}")
