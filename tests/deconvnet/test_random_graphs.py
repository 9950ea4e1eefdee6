"""The deconvnet of random small graphs, held against the modified gradient."""

import numpy as np
import pytest

import kerasvis as kv
from tests.marks import slow
from tests.oracles import modified_gradient
from tests.oracles.random_graphs import draw_graph
from tests.oracles.random_targets import draw_target

RECTIFICATIONS = ("deconvnet", "guided", "gradient")
NUM_GRAPHS = 40  # enough to hold every layer with a rule
NUM_MORE_GRAPHS = 960
TOLERANCE = 1e-5


def assert_projects_like_oracle(seed):
    graph = draw_graph(seed)
    rng = np.random.default_rng(seed)
    layer = graph.targets[max(rng.integers(len(graph.targets), size=2))]  # rather a high one
    maps = modified_gradient.activations(graph.model, layer, graph.images)
    target, position = draw_target(maps, rng)
    options = {"rectification": RECTIFICATIONS[seed % 3]}

    actual = kv.DeconvModel(graph.model, layer, **options).project(graph.images, target)
    expected = modified_gradient.project(graph.model, layer, graph.images, **position, **options)
    assert actual.dtype == np.float32
    difference = modified_gradient.relative_difference(actual, expected)
    assert difference <= TOLERANCE, f"{layer}, {options}, {target}\n{printed(graph.model)}"


def printed(model):
    lines = []
    model.summary(expand_nested=True, print_fn=lambda line, **_: lines.append(line))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "seed", [*range(NUM_GRAPHS), *map(slow, range(NUM_GRAPHS, NUM_GRAPHS + NUM_MORE_GRAPHS))]
)
def test_random_graph(seed):
    assert_projects_like_oracle(seed)


def test_random_graphs_hold_every_layer_with_a_rule():
    drawn = set()
    for seed in range(NUM_GRAPHS):
        drawn |= {type(layer).__name__ for layer in draw_graph(seed).model._flatten_layers()}
    wanted = """Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose Dense BatchNormalization
        MaxPooling2D AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D ReLU Activation
        LocalResponseNormalization Add Subtract Average Concatenate Multiply ZeroPadding2D
        Cropping2D UpSampling2D Flatten Reshape Permute Dropout SpatialDropout2D GaussianNoise
        RandomFlip Rescaling Normalization Functional Sequential""".split()
    assert not set(wanted) - drawn
