import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.fidelity.chosen_units import choose_units, plan_of
from kerasvis.analyses.fidelity.cosine_convergence import measure_cosine_convergence, random_signals
from kerasvis.deconvnet import passes

RECTIFICATIONS = ("deconvnet", "guided", "gradient")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((3, 5, 4, 2)).astype("float32")


def measure(model, layer, images, **options):
    return measure_cosine_convergence(choose_units(model, layer, images), **options)


def cosine(first, second):
    return np.sum(first * second) / np.sqrt(np.sum(first**2) * np.sum(second**2))


def test_a_linear_net_by_its_matrices(images):
    keras.utils.set_random_seed(0)
    stack = [
        keras.Input((5, 4, 2)),
        layers.Flatten(name="flat"),
        layers.Dense(7, name="hidden"),
        layers.Dense(6, name="top"),
    ]
    model = keras.Sequential(stack)
    hidden, top = (model.get_layer(n).kernel.numpy().astype("float64") for n in ("hidden", "top"))
    num_advances = []
    found = measure(
        model, "top", images, num_pairs=2, seed=3, advance=lambda: num_advances.append(1)
    )
    assert found.methods == RECTIFICATIONS
    assert found.calls == ("top", "hidden", "flat", "image")
    assert found.cosines.shape == (3, 4, 3, 2)
    assert len(num_advances) == 6
    seeds = np.random.default_rng(3).integers(2**31, size=2)
    for pair, seed in enumerate(seeds):
        signals = random_signals((3, 1, 1, 6), seed).reshape(2, 3, 6).astype("float64")
        for image in range(3):
            first, second = signals[:, image]
            steps = [(first, second)]
            steps.append((top @ first, top @ second))
            steps.append((hidden @ top @ first, hidden @ top @ second))
            steps.append(steps[-1])
            expected = [cosine(*step) for step in steps]
            for method in range(3):  # without a ReLU they are one
                np.testing.assert_allclose(
                    found.cosines[method, :, image, pair], expected, rtol=1e-4, atol=1e-6
                )


def test_a_single_unit_leaves_one_direction(images):
    stack = [
        keras.Input((5, 4, 2)),
        layers.Flatten(name="flat"),
        layers.Dense(1, name="narrow"),
        layers.Dense(6, name="top"),
    ]
    found = measure(keras.Sequential(stack), "top", images, num_pairs=5)
    np.testing.assert_allclose(np.abs(found.cosines[:, 1:]), 1, rtol=1e-5)
    assert (np.abs(found.cosines[:, 0]) < 0.99).all()


@pytest.mark.slow
def test_rectified_signals_converge_and_the_gradient_does_not(images):
    keras.utils.set_random_seed(0)
    dense = [layers.Dense(32, activation="relu", name=f"fc{i}") for i in range(7)]
    model = keras.Sequential([keras.Input((5, 4, 2)), layers.Flatten(), *dense])
    found = measure(model, "fc6", images)
    medians = np.nanmedian(found.cosines[:, -1], axis=(1, 2))
    assert medians[0] > 0.8
    assert medians[2] < 0.5
    again = measure(model, "fc6", images)
    np.testing.assert_array_equal(found.cosines, again.cosines)
    other = measure(model, "fc6", images, seed=1)
    assert (found.cosines[:, 0] != other.cosines[:, 0]).all()


def test_a_signal_that_ends_is_undefined(images):
    stack = [
        keras.Input((5, 4, 2)),
        layers.Conv2D(3, 1, activation="relu", name="off"),
        layers.Conv2D(2, 1, bias_initializer="ones", name="top"),
    ]
    model = keras.Sequential(stack)
    model.get_layer("off").bias.assign([-100.0] * 3)
    found = measure(model, "top", images)
    assert found.calls == ("top", "off", "image")
    assert np.isnan(found.cosines[1:, -1]).all()
    assert not np.isnan(found.cosines[:, :2]).any()


def test_signals_add_up_where_branches_met(images):
    """At each tensor the signal is the gradient with respect to it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 4, 2), name="pixels")
    below = layers.Conv2D(3, 3, padding="same", name="below")(inputs)
    left = layers.Conv2D(4, 1, name="left")(below)
    right = layers.Conv2D(4, 3, padding="same", name="right")(below)
    model = keras.Model(inputs, layers.Add(name="sum")([left, right]))
    plan = plan_of(model, "sum", "gradient")
    tensors, switches = passes.forward(plan, images)
    signal = np.random.default_rng(1).normal(size=(3, 5, 4, 4)).astype("float32")
    signals = dict(passes.projected_signals(plan, signal, tensors, switches))
    assert len(signals) == 5
    assert list(signals)[-1] == plan.image
    projection = passes.project(plan, signal, tensors, switches)
    np.testing.assert_array_equal(signals[plan.image], projection)
    names = {step.node.name: step.node.outputs[0] for step in plan.steps}
    # ⟨A a, s⟩ = ⟨a, Aᵀ s⟩ for the linear net above `below`, without its biases
    for name in ("left", "right"):
        model.get_layer(name).bias.assign([0.0] * 4)
    other = np.random.default_rng(2).normal(size=(3, 5, 4, 3)).astype("float32")
    above = keras.Sequential([keras.Input((5, 4, 3)), Branches(model)])
    left_side = np.sum(above.predict(other, verbose=0) * signal)
    right_side = np.sum(other * signals[names["below"]])
    assert left_side == pytest.approx(right_side, rel=1e-4)


class Branches(layers.Layer):
    """What is above `below`, on other tensors."""

    def __init__(self, model):
        super().__init__()
        self.parts = [model.get_layer(name) for name in ("left", "right")]

    def call(self, inputs):
        return self.parts[0](inputs) + self.parts[1](inputs)
