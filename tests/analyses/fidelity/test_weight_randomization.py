import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.unit_maps import unit_methods
from kerasvis.analyses.fidelity.weight_randomization import (
    RandomizedCopy,
    WeightRandomization,
    check_stages,
    measure_weight_randomization,
    weighted_layers,
)
from kerasvis.layers import PixelMean

SIZE = (15, 11)


def convnet():
    stack = [
        keras.Input((*SIZE, 3)),
        PixelMean(name="mean"),
        layers.Conv2D(6, 3, activation="relu", name="conv1"),
        layers.BatchNormalization(name="norm1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(5, 2, activation="relu", name="conv2"),
        layers.Flatten(name="flat"),
        layers.Dense(4, name="scores"),
    ]
    return keras.Sequential(stack)


@pytest.fixture(scope="module")
def model():
    """Every weight is other than any initializer makes it."""
    keras.utils.set_random_seed(0)
    model, rng = convnet(), np.random.default_rng(0)
    model.set_weights([0.1 + 0.3 * rng.random(w.shape) for w in model.get_weights()])
    for name in ("conv1", "conv2", "scores"):
        kernel = model.get_layer(name).kernel
        kernel.assign(rng.normal(size=kernel.shape))
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(3, *SIZE, 3)).astype("float32")


def measure(model, images, layer="scores", methods=("deconvnet", "gradient"), **options):
    units = choose_units(model, layer, images)
    return measure_weight_randomization(units, unit_methods(methods), **options)


def weights_of(model):
    return {layer.name: layer.get_weights() for layer in model.layers}


def changed(model, copy):
    """Names of the layers of which some weight differs."""
    pairs = zip(weights_of(model).items(), weights_of(copy).values(), strict=True)
    return [
        name
        for (name, ours), theirs in pairs
        if any((a != b).any() for a, b in zip(ours, theirs, strict=True))
    ]


def test_layers_with_weights_from_the_top(model):
    assert weighted_layers(model, "scores") == ("scores", "conv2", "norm1", "conv1")
    assert weighted_layers(model, "pool1") == ("norm1", "conv1")


def test_only_the_layers_named_are_drawn(model):
    before = model.get_weights()
    copy = RandomizedCopy(model, seed=3)
    assert changed(model, copy.model) == []
    copy.randomize(["conv2"])
    assert changed(model, copy.model) == ["conv2"]
    copy.randomize(["norm1", "scores"])
    assert changed(model, copy.model) == ["norm1", "conv2", "scores"]
    norm = copy.model.get_layer("norm1")
    for weight, value in zip(norm.get_weights(), (1, 0, 0, 1), strict=True):
        np.testing.assert_array_equal(weight, np.full(6, value))  # moving statistics, too
    assert not copy.model.get_layer("conv2").bias.numpy().any()
    copy.restore()
    assert changed(model, copy.model) == []
    for ours, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, was)


def test_draws_depend_on_seed_and_name_alone(model):
    def drawn(seed, names):
        copy = RandomizedCopy(model, seed)
        copy.randomize(names)
        return copy.model.get_layer("conv2").kernel.numpy()

    np.testing.assert_array_equal(drawn(0, ["conv2"]), drawn(0, ["scores", "conv2"]))
    assert (drawn(0, ["conv2"]) != drawn(1, ["conv2"])).all()
    limit = np.sqrt(6 / (2 * 2 * 6 + 2 * 2 * 5))  # Glorot's, the layer's own initializer
    assert 0.8 * limit < np.abs(drawn(0, ["conv2"])).max() <= limit


def test_a_shared_layer_counts_once():
    shared = layers.Conv2D(3, 1, name="shared")
    inputs = keras.Input((5, 5, 3))
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="top")(shared(shared(inputs))))
    assert weighted_layers(model, "top") == ("top", "shared:2")
    copy = RandomizedCopy(model)
    copy.randomize(["shared:2"])
    assert changed(model, copy.model) == ["shared"]


def test_identical_weights_give_similarity_1(images):
    """The only initializer knows no chance, and the weights are what it makes."""
    model = keras.Sequential([keras.Input((*SIZE, 3)), layers.Flatten()])
    model.add(layers.Dense(2, kernel_initializer=Ramp(), name="scores"))
    found = measure(model, np.abs(images), "scores", ("deconvnet", "guided", "gradient"))
    np.testing.assert_allclose(found.cascading, 1, rtol=1e-12)
    np.testing.assert_allclose(found.independent, 1, rtol=1e-12)
    assert found.is_unaffected.all()


@keras.saving.register_keras_serializable(package="tests_of_fidelity")
class Ramp(keras.initializers.Initializer):
    """0, 1, 2, ...: no chance in it."""

    def __call__(self, shape, dtype=None):
        return keras.ops.reshape(keras.ops.arange(np.prod(shape), dtype=dtype), shape)


def test_a_method_that_ignores_the_model_is_flagged(model, images):
    before = model.get_weights()
    num_advances = []
    methods = {"edges": "edges", "gradient": "gradient", "pixels": lambda m, y, x, t: x}
    found = measure(model, images, methods=methods, advance=lambda: num_advances.append(1))
    assert found.methods == ("edges", "gradient", "pixels")
    assert found.layers == ("scores", "conv2", "norm1", "conv1")
    assert found.cascading.shape == (3, 4, 3, 4)
    np.testing.assert_allclose(found.cascading[[0, 2]], 1, rtol=1e-12)
    np.testing.assert_allclose(found.independent[[0, 2]], 1, rtol=1e-12)
    assert found.is_unaffected.tolist() == [True, False, True]
    assert (found.cascading[1, -1, :, :3] < 0.9).all()
    assert len(num_advances) == 8
    for ours, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, was)


def test_the_gradient_of_a_dense_net_changes_with_its_top_alone(images):
    """Of one layer: independent and cascading are the same, and maps are the kernel's columns."""
    stack = [layers.Flatten(), layers.Dense(9, use_bias=False, name="scores")]
    model = keras.Sequential([keras.Input((*SIZE, 3)), *stack])
    found = measure(model, images, methods=("gradient",), seed=5)
    np.testing.assert_array_equal(found.cascading, found.independent)
    copy = RandomizedCopy(model, 5)
    copy.randomize(["scores"])
    kernels = [m.get_layer("scores").kernel.numpy() for m in (model, copy.model)]
    ours, theirs = (kernel.reshape(*SIZE, 3, 9) for kernel in kernels)
    feature = model.predict(images, verbose=0).argmax(axis=1)[0]
    strengths = [np.abs(kernel[..., feature]).sum(axis=2) for kernel in (ours, theirs)]
    ranks = [x.ravel().argsort().argsort() for x in strengths]
    assert found.cascading[0, 0, 0, 0] == pytest.approx(np.corrcoef(*ranks)[0, 1], rel=1e-6)
    np.testing.assert_allclose(found.examples[0, :, :, :], strengths, rtol=1e-5)
    assert found.example_layers == ("scores",)


@pytest.mark.slow
def test_stages_leave_nothing_between_them_trained(model, images):
    all_layers = measure(model, images)
    some = measure(model, images, stages=["conv1", "conv2"])
    assert some.layers == ("conv2", "conv1")
    np.testing.assert_allclose(some.cascading, all_layers.cascading[:, [1, 3]], rtol=1e-6)
    np.testing.assert_allclose(some.independent, all_layers.independent[:, [1, 3]], rtol=1e-6)


def test_undefined_similarities_are_left_out():
    cascading = np.array([[[[0.95], [np.nan]]], [[[0.85], [0.9]]]])
    check = WeightRandomization(("a", "b"), ("conv",), ("rank",), cascading, cascading, (), None)
    assert check.is_unaffected.tolist() == [True, False]


def test_errors(model):
    with pytest.raises(ValueError, match="Stage 'conv3' is not a layer with weights at or below"):
        check_stages(("scores", "conv1"), ["conv3"])
    with pytest.raises(ValueError, match="No stage was given"):
        check_stages(("scores", "conv1"), [])
    assert check_stages(("scores", "conv1"), "conv1") == ("conv1",)
    with pytest.raises(ValueError, match="No layer up to 'mean' has weights with initializers"):
        weighted_layers(model, "mean")
