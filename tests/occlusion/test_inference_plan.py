"""What is computed on windows and what on whole maps, and what the plan says about it."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.layers import PixelMean
from kerasvis.occlusion import InferencePlan, Occluders, OcclusionSweep

SIZE = (40, 36)


def convnet(*middle, first=(), size=SIZE):
    """Two convolutions with these layers between them, and a classifier."""
    inputs = x = keras.Input((*size, 3))
    for layer in first:
        x = layer(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1")(x)
    for layer in middle:
        x = layer(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="means")(x)
    return keras.Model(inputs, layers.Dense(4, name="scores")(x), name="net")


def plan_of(model, method="auto", patch_size=4, strides=4, layer="conv2", size=SIZE):
    return OcclusionSweep(model, Occluders(size, patch_size, strides), layer, method=method).plan


def names(nodes):
    return [node.name for node in nodes]


def steps(plan):
    return [step.node.name for step in plan.steps]


def test_windows_for_a_small_occluder():
    plan = plan_of(convnet())
    assert isinstance(plan, InferencePlan)
    assert plan.method == "incremental"
    assert steps(plan) == ["conv1", "conv2"]
    assert names(plan.whole_nodes) == ["means", "scores"]
    sizes = [[window.size for window in step.windows] for step in plan.steps]
    assert sizes == [[6, 6], [8, 8]]
    assert plan.operations < plan.full_operations
    assert plan.reason == (
        "whole feature maps from 'means' on: GlobalAveragePooling2D has no rule for windows, as "
        "its input or output is not a stack of feature maps"
    )


def test_whole_maps_for_an_occluder_as_large_as_the_image():
    plan = plan_of(convnet(), patch_size=SIZE)
    assert plan.method == "full"
    assert steps(plan) == []
    assert names(plan.whole_nodes) == ["conv1", "conv2", "means", "scores"]
    assert plan.operations == plan.full_operations
    assert plan.reason == "whole feature maps from 'conv1' on: windows would save nothing"


def test_whole_maps_from_where_windows_have_grown():
    """Strides are cheap, a window of 11 locations in a map of 10 is not."""
    middle = layers.Conv2D(8, 3, strides=4, padding="same", name="step")
    large = layers.Conv2D(8, 9, padding="same", name="large")
    plan = plan_of(convnet(middle, large))
    assert plan.method == "incremental"
    assert steps(plan) == ["conv1", "step"]
    assert plan.reason == "whole feature maps from 'large' on: windows would cost as much"


@pytest.mark.parametrize("patch_size", [1, 4, 9, 20, 30, 36])
def test_auto_is_the_cheapest_cut(patch_size):
    model = convnet(layers.MaxPooling2D(2, name="pool"))
    full = plan_of(model, "full", patch_size)
    chosen = [plan_of(model, method, patch_size) for method in ("auto", "incremental")]
    for plan in chosen:
        assert plan.full_operations == full.full_operations == full.operations
        assert plan.operations <= full.operations
        assert (plan.method == "full") == (plan.operations == full.operations)
    assert chosen[0].operations == chosen[1].operations


def test_operations_grow_with_the_occluder():
    model = convnet()
    counts = [plan_of(model, patch_size=size).operations for size in (1, 4, 9, 20, 36)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] / 3


def test_operations_of_full_by_hand():
    plan = plan_of(convnet(), "full")
    num_pixels = SIZE[0] * SIZE[1]
    values = 32  # operations for writing one
    conv1 = num_pixels * (3 * 3 * 3 * 8 + values * 8)
    conv2 = num_pixels * (3 * 3 * 8 * 6 + values * 6)
    means = 6 + values * 6
    scores = 6 * 4 + values * 4
    pasted = values * num_pixels * 3
    assert plan.operations == conv1 + conv2 + means + scores + pasted
    assert plan.full_operations == plan.operations
    assert plan.reason == "requested"


def test_operations_of_windows_by_hand():
    plan = plan_of(convnet())
    values = 32
    num_pixels = SIZE[0] * SIZE[1]
    conv1 = 6 * 6 * (3 * 3 * 3 * 8 + values * 8) + values * 8 * 8 * 3  # reads 8×8 of 3 channels
    conv2 = 8 * 8 * (3 * 3 * 8 * 6 + values * 6) + values * 10 * 10 * 8
    means = 6 + values * 6
    scores = 6 * 4 + values * 4
    made_whole = values * num_pixels * 6
    assert plan.operations == conv1 + conv2 + means + scores + made_whole


def test_printed():
    plan = plan_of(convnet())
    share = plan.operations / plan.full_operations
    assert str(plan) == (
        "conv1                        windows of 6×6 in 40×36\nconv2                        "
        "windows of 8×8 in 40×36\nmeans                        whole\nscores                      "
        f" whole\n{100 * share:.1f}% of the operations of the full method; whole feature maps from "
        "'means' on: GlobalAveragePooling2D has no rule for windows, as its input or output is "
        "not a stack of feature maps"
    )


def test_printed_full():
    assert str(plan_of(convnet(), "full")) == (
        "conv1                        whole\n"
        "conv2                        whole\n"
        "means                        whole\n"
        "scores                       whole\n"
        "100.0% of the operations of the full method; requested"
    )


def test_pixels_are_treated_before_the_occluder_is_pasted():
    first = [layers.Rescaling(1 / 255, name="scaled"), PixelMean(name="mean")]
    plan = plan_of(convnet(first=first))
    assert names(plan.pixelwise) == ["scaled", "mean"]
    assert plan.sources == plan.pixelwise[-1].outputs
    assert steps(plan) == ["conv1", "conv2"]
    assert plan_of(convnet()).sources == (plan_of(convnet()).image,)


def test_all_on_windows():
    """Where the convolution itself returns one location of scores."""
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(8, 5, strides=5, name="conv1")(inputs)
    x = layers.Conv2D(4, (8, 7), name="scores")(x)
    plan = plan_of(keras.Model(inputs, x), layer="scores", method="windows")
    assert steps(plan) == ["conv1", "scores"]
    assert plan.reason == "all on windows"
    assert plan.whole_nodes == ()


REFUSED = {
    "UpSampling2D": (layers.UpSampling2D(2, name="it"), "it may read any location of its input"),
    "Conv2DTranspose": (
        layers.Conv2DTranspose(4, 3, name="it"),
        "it may read any location of its input",
    ),
    "Permute": (layers.Permute((2, 1, 3), name="it"), "it may read any location of its input"),
    "PReLU": (
        layers.PReLU(name="it"),
        "it treats equal values at two locations differently",
    ),
    "BatchNormalization": (
        layers.BatchNormalization(axis=1, name="it"),
        "it treats equal values at two locations differently",
    ),
    "PixelMean": (PixelMean(name="it"), "it treats equal values at two locations differently"),
    "Softmax": (layers.Softmax(axis=1, name="it"), "it may read any location of its input"),
    "UnitNormalization": (
        layers.UnitNormalization(axis=(1, 2), name="it"),
        "it may read any location of its input",
    ),
    "Reshape": (
        layers.Reshape((36, 40, 8), name="it"),
        "it may read any location of its input",
    ),
}


@pytest.mark.parametrize("type_name", REFUSED)
def test_refused(type_name):
    layer, why = REFUSED[type_name]
    plan = plan_of(convnet(type(layer).from_config(layer.get_config())), method="windows")
    assert steps(plan) == ["conv1"]
    assert names(plan.whole_nodes)[:2] == ["it", "conv2"]
    assert (
        plan.reason
        == f"whole feature maps from 'it' on: {type_name} has no rule for windows, as {why}"
    )


class Doubled(layers.Conv2D):
    """A subclass, which may do anything."""

    def call(self, inputs):
        return 2 * super().call(inputs[:, ::-1])


def test_subclass_has_no_rule_of_its_parent():
    plan = plan_of(convnet(Doubled(4, 3, padding="same", name="it")), method="windows")
    assert steps(plan) == ["conv1"]
    assert plan.reason == (
        "whole feature maps from 'it' on: Doubled has no rule for windows, as it may read any "
        "location of its input"
    )


def test_gates_are_spread_over_the_map():
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv1")(inputs)
    gate = layers.Conv2D(4, SIZE, activation="sigmoid", name="gate")(x)
    x = layers.Multiply(name="it")([x, gate])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, name="conv2")(x))
    plan = plan_of(keras.Model(inputs, x), method="windows")
    assert steps(plan) == ["conv1", "gate"]
    assert plan.reason == (
        "whole feature maps from 'it' on: Multiply has no rule for windows, as it spreads its "
        "input over more locations"
    )


@pytest.mark.parametrize("type_name", ["Permute", "UpSampling2D", "Conv2DTranspose", "Doubled"])
@pytest.mark.parametrize("method", ["auto", "incremental"])
def test_net_that_starts_with_a_layer_without_a_rule_is_run_as_a_whole(type_name, method):
    first = {
        "Permute": lambda: layers.Permute((2, 1, 3), name="it"),
        "UpSampling2D": lambda: layers.UpSampling2D(2, name="it"),
        "Conv2DTranspose": lambda: layers.Conv2DTranspose(4, 3, strides=2, name="it"),
        "Doubled": lambda: Doubled(4, 3, name="it"),
    }[type_name]()
    plan = plan_of(convnet(first=[first]), method)
    assert plan.method == "full"
    assert plan.reason == (
        f"whole feature maps from 'it' on: {type_name} has no rule for windows, as it may read any "
        "location of its input"
    )


def test_branches_meet_in_the_window_that_holds_both():
    inputs = keras.Input((*SIZE, 3))
    narrow = layers.Conv2D(4, 1, name="narrow")(inputs)
    wide = layers.Conv2D(4, 7, padding="same", name="wide")(inputs)
    x = layers.Add(name="both")([narrow, wide])
    x = layers.GlobalAveragePooling2D()(x)
    plan = plan_of(keras.Model(inputs, x), layer="both", method="windows")
    sizes = {step.node.name: step.windows[0].size for step in plan.steps}
    assert sizes == {"narrow": 4, "wide": 10, "both": 10}


def test_no_window_is_larger_than_its_map():
    middle = [layers.MaxPooling2D(2, name=f"pool{i}") for i in range(4)]
    plan = plan_of(convnet(*middle), patch_size=30)
    for step in plan.steps:
        shape = plan.shapes[step.node.outputs[0]][1:3]
        for window, length in zip(step.windows, shape, strict=True):
            assert 1 <= window.size <= length
            assert window.begins.min() >= 0
            assert np.max(window.begins) + window.size <= length
