"""The kernel that a layer computes with counts, and what a subclass computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import kerasvis as kv
from tests.marks import few
from tests.oracles import modified_gradient

SHAPE = (9, 7, 3)
UNIT = kv.targets.Unit(2)
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")


def images():
    return np.random.default_rng(1).normal(size=(2, *SHAPE)).astype("float32")


def randomized(*stack, seed=0):
    model = keras.Sequential([keras.Input(SHAPE), *stack])
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def dense_model():
    return randomized(
        layers.Conv2D(4, 3, activation="relu", name="conv"),
        layers.Flatten(),
        layers.Dense(6, activation="relu", name="hidden"),
        layers.Dense(5, activation="softmax", name="scores"),
    )


def projected(model, layer="scores", unit=UNIT, **options):
    return kv.DeconvModel(model, layer, **options).project(images(), unit)


def effective_kernel(layer):
    """What a dense layer makes of unit vectors, less what it makes of none."""
    units = np.eye(layer.input_spec.axes[-1], dtype="float32")
    activation, layer.activation = layer.activation, keras.activations.linear
    kernel = np.asarray(layer(units)) - np.asarray(layer(np.zeros_like(units[:1])))
    layer.activation = activation
    return kernel


@pytest.mark.parametrize("mode", few(["int8", "float8", "int4"], 1))
def test_a_quantized_model(mode):
    model, plain = dense_model(), dense_model()
    model.quantize(mode)
    for name in ("hidden", "scores"):
        kernel = effective_kernel(model.get_layer(name))
        plain.get_layer(name).kernel.assign(kernel)
    # The activation at which the signal starts is that of inputs that are rounded, too.
    starts = [kv.DeconvModel(x, "scores").locate(images(), 2)[0] for x in (model, plain)]
    assert np.abs(starts[0] / starts[1] - 1).max() < 0.3
    expected = projected(plain) * (starts[0] / starts[1])[:, None, None, None]
    difference = np.abs(projected(model) - expected).max()
    assert difference <= 1e-5 * np.abs(expected).max()


def test_low_rank_adaptation():
    model = dense_model()
    for name in ("conv", "hidden"):
        layer = model.get_layer(name)
        layer.enable_lora(2)
        rng = np.random.default_rng(3)
        layer.lora_kernel_b.assign(rng.normal(size=layer.lora_kernel_b.shape))
    merged = dense_model()
    for name in ("conv", "hidden"):
        merged.get_layer(name).kernel.assign(model.get_layer(name).kernel)
    np.testing.assert_allclose(projected(model), projected(merged), rtol=1e-4, atol=1e-5)


def test_spectral_normalization():
    normalized = layers.SpectralNormalization(layers.Conv2D(4, 3, activation="relu"), name="a")
    model = randomized(normalized, layers.Conv2D(2, 2, name="top"))
    model(images(), training=True)  # normalizes the kernel
    plain = randomized(
        layers.Conv2D(4, 3, activation="relu", name="a"), layers.Conv2D(2, 2, name="top")
    )
    plain.get_layer("a").set_weights(normalized.layer.get_weights())
    plain.get_layer("top").set_weights(model.get_layer("top").get_weights())
    unit = kv.targets.Unit(1, 2, 3)
    expected = projected(plain, "top", unit)
    np.testing.assert_allclose(projected(model, "top", unit), expected, rtol=1e-5)
    assert kv.receptive_field(model, "top") == kv.receptive_field(plain, "top")


class StandardizedConv2D(layers.Conv2D):
    """Its kernel is standardized at every call."""

    def standardized(self):
        mean = ops.mean(self.kernel, axis=(0, 1, 2), keepdims=True)
        return (self.kernel - mean) / ops.std(self.kernel, axis=(0, 1, 2), keepdims=True)

    def call(self, inputs):
        outputs = self.convolution_op(inputs, self.standardized())
        return self.activation(outputs + self.bias)


class StandardizedKernel(layers.Conv2D):
    """The same, by the kernel."""

    @property
    def kernel(self):
        kernel = super().kernel
        mean = ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
        return (kernel - mean) / ops.std(kernel, axis=(0, 1, 2), keepdims=True)


class NamedConv2D(layers.Conv2D):
    """Leaves alone what its parent computes with."""

    def __init__(self, **options):
        super().__init__(4, 3, activation="relu", **options)

    def tell(self):
        return self.name


@pytest.mark.parametrize("kind", few([StandardizedConv2D, StandardizedKernel], 1))
@pytest.mark.parametrize("rectification", few(["deconvnet", "guided", "gradient"], 1))
def test_a_weight_standardized_convolution(kind, rectification):
    top = {"filters": 2, "kernel_size": 2, "name": "top"}
    model = randomized(kind(4, 3, activation="relu", name="a"), layers.Conv2D(**top))
    plain = randomized(layers.Conv2D(4, 3, activation="relu", name="a"), layers.Conv2D(**top))
    kernel = model.get_layer("a")._kernel
    mean, deviation = (
        f(np.asarray(kernel), axis=(0, 1, 2), keepdims=True) for f in (np.mean, np.std)
    )
    plain.get_layer("a").kernel.assign((np.asarray(kernel) - mean) / deviation)
    unit, options = kv.targets.Unit(1, 2, 3), {"rectification": rectification}
    expected = modified_gradient.project(plain, "top", images(), 1, 2, 3, **options)
    actual = projected(model, "top", unit, **options)
    assert modified_gradient.relative_difference(actual, expected) <= 1e-5


def test_a_subclass_that_leaves_alone_what_its_parent_computes_with_counts_as_it():
    model = randomized(NamedConv2D(name="a"), layers.Conv2D(2, 2, name="top"))
    assert "a (NamedConv2D): rectify · filter 3×3" in str(kv.DeconvModel(model, "top").plan)
    assert kv.receptive_field(model, "top").size == (4, 4)


class SquaredMaximum(layers.MaxPooling2D):
    """Named like max pooling, and another."""

    def call(self, inputs):
        return super().call(inputs) ** 2


class CosineDense(layers.Dense):
    def call(self, inputs):
        kernel = ops.normalize(self.kernel, axis=0)
        return ops.matmul(ops.normalize(inputs, axis=-1), kernel)


@pytest.mark.parametrize(
    ("layer", "is_pointwise"),
    [(SquaredMaximum(2, name="own"), False), (CosineDense(4, name="own"), True)],
    ids=["of windows", "pointwise"],
)
def test_a_subclass_that_computes_otherwise_is_refused(layer, is_pointwise):
    layer = type(layer).from_config(layer.get_config())
    model = randomized(layer, layers.Conv2D(2, 2, name="top"))
    pixels = tf.constant(images())
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        value = model(pixels)[:, 1, 1, 1]
    expected = tape.gradient(value, pixels, value).numpy()
    with pytest.raises(ValueError, match=rf"a layer {type(layer).__name__} \(own\)"):
        kv.DeconvModel(model, "top")
    actual = projected(model, "top", kv.targets.Unit(1, 1, 1), rectification="gradient")
    assert modified_gradient.relative_difference(actual, expected) <= 1e-5
    field = kv.receptive_field(model, "top")
    assert field.size == (2, 2) if is_pointwise else field.is_whole_image


@pytest.mark.slow
def test_the_model_is_left_as_it_is():
    model = dense_model()
    model.quantize("int8")
    before, answers = model.get_weights(), np.asarray(model(images()))
    projected(model)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(np.asarray(model(images())), answers)
    assert model.get_layer("scores").activation is keras.activations.softmax
