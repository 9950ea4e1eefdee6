"""Incremental inference, held against occluding the image and running the whole model."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.convnets import AlexNet, SqueezeNet, ZFNet
from kerasvis.graph import feature_extractor
from kerasvis.layers import MaxPooling2DWithSwitches
from kerasvis.occlusion import Occluders, OcclusionSweep
from tests.marks import few, slow
from tests.oracles.random_graphs import draw_graph, randomize_weights
from tests.zoo.checks import assert_occludes_like_the_whole_model

NUM_GRAPHS = 10
NUM_MORE_GRAPHS = 90
NUM_SEEN = 200  # so many hold every layer with a rule


def with_scores(graph):
    """The drawn model, with a classifier where it has none."""
    model = graph.model
    if len(model.output.shape) == 2:
        return model
    x = layers.GlobalAveragePooling2D(name="pooled")(model.output)
    model = keras.Model(model.input, layers.Dense(3, name="scores")(x))
    return model


def layers_of_maps(model, names):
    """Those of the layers that return feature maps."""
    outputs = feature_extractor(model, names)(keras.Input(model.input.shape[1:]))
    return [name for name, x in zip(names, outputs, strict=True) if len(x.shape) == 4]


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize(
    "seed", [*range(NUM_GRAPHS), *map(slow, range(NUM_GRAPHS, NUM_GRAPHS + NUM_MORE_GRAPHS))]
)
def test_random_graph(seed):
    graph = draw_graph(seed, num_images=1)
    rng = np.random.default_rng(seed)
    model, image = with_scores(graph), graph.images[0]
    patch_size = [int(rng.integers(1, n // 2)) for n in image.shape[:2]]
    strides = [int(rng.integers(1, 6)) for _ in range(2)]
    layer = rng.choice(layers_of_maps(model, graph.targets))
    assert_occludes_like_the_whole_model(
        model, str(layer), image, patch_size, strides, seed=seed, method="windows"
    )


@pytest.mark.slow
def test_random_graphs_hold_every_layer_with_a_rule():
    seen = set()
    for seed in range(NUM_SEEN):
        graph = draw_graph(seed, num_images=1)
        model = with_scores(graph)
        layer = layers_of_maps(model, graph.targets)[0]
        occluders = Occluders(graph.images.shape[1:3], 3, 2)
        sweep = OcclusionSweep(model, occluders, layer, method="windows")
        seen |= {step.node.type_name for step in sweep.plan.steps}
    wanted = """Conv2D DepthwiseConv2D SeparableConv2D MaxPooling2D AveragePooling2D ZeroPadding2D
        Cropping2D BatchNormalization ReLU Activation LocalResponseNormalization Add Subtract
        Average Concatenate Rescaling Normalization Dropout""".split()
    assert not set(wanted) - seen


@pytest.mark.usefixtures("eager_functions")
def test_pooling_with_switches_never_takes_the_padding():
    inputs = keras.Input((17, 14, 3))
    x = layers.Conv2D(4, 3, activation=lambda x: -keras.activations.relu(x))(inputs)  # below 0
    x, _ = MaxPooling2DWithSwitches(3, 2, padding="same", name="pool")(x)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    image = np.random.default_rng(0).normal(size=(17, 14, 3)).astype("float32")
    plan = assert_occludes_like_the_whole_model(
        model, "pool", image, (5, 4), (2, 3), method="windows"
    )
    assert "MaxPooling2DWithSwitches" in [step.node.type_name for step in plan.steps]


def build(name, size):
    """A net with random weights that keep its activations alive, and its last maps."""
    builders = {"ZFNet": ZFNet, "AlexNet": AlexNet, "SqueezeNet": SqueezeNet}
    build = builders.get(name) or getattr(keras.applications, name)
    # Scores, not their softmax, which random weights leave at 0 and 1.
    model = build(input_shape=(*size, 3), weights=None, classes=10, classifier_activation=None)
    randomize_weights(model, np.random.default_rng(0))
    return model


NETS = [
    ("SqueezeNet", (99, 83), "fire9"),
    ("MobileNet", (97, 64), "conv_pw_13_relu"),
    ("ZFNet", (99, 83), "conv5"),
    ("AlexNet", (99, 83), "conv5"),
    ("VGG16", (96, 64), "block5_conv3"),
    ("ResNet50", (96, 80), "conv5_block3_out"),
    ("InceptionV3", (107, 91), "mixed10"),
    ("DenseNet121", (96, 75), "relu"),
    ("Xception", (96, 80), "block14_sepconv2_act"),
    ("MobileNetV2", (96, 80), "out_relu"),
]


@pytest.mark.parametrize(
    ("name", "size", "layer"), few(NETS, 1, unpack=True), ids=[net[0] for net in NETS]
)
def test_net(name, size, layer):
    model = build(name, size)
    image = np.random.default_rng(1).normal(size=(*size, 3)).astype("float32")
    plan = assert_occludes_like_the_whole_model(model, layer, image, (17, 12), (29, 25))
    assert plan.method == "incremental"
