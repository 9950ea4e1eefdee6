"""Projections small enough to be worked out on paper."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from tests.marks import few
from tests.oracles import modified_gradient

IMAGE = [
    [1, 2, 0, 1],
    [0, 3, 1, 0],
    [2, 0, 1, 1],
    [1, 0, 2, 4],
]
# Filters 2×2 (valid), biases 0, -1, 0. The maps after ReLU are
#
#   A                B                C
#   1 0   4 3 0      0 1   1 2 1      0 -1   0 0 0
#   0 1   0 4 2      1 0   4 0 0      0  0   0 0 0
#         2 2 5            0 0 2             0 0 0
#
# Pooling 2×2, stride 1, the places of the maxima in brackets; of equals the first counts.
#
#   4 (0,0)  4 (1,1)     4 (1,0)  2 (0,1)     0 (0,0)  0 (0,1)
#   4 (1,1)  5 (2,2)     4 (1,0)  2 (2,2)     0 (1,0)  0 (1,1)
#
# The units are relu(A - B + C + 2):
#
#   2 4
#   2 5
FILTERS = np.array(
    [
        [[1, 0], [0, 1]],
        [[0, 1], [1, 0]],
        [[0, -1], [0, 0]],
    ],
    "float32",
)

# The unit at (0, 0) sends 2 to A (0,0), -2 to B (1,0) and 2 to C (0,0). The ReLU of the deconvnet
# stops the -2 of B; the guided one also the 2 of C, which was off; the gradient only that of C.
UNIT = {
    "deconvnet": [
        [2, -2, 0, 0],
        [0, 2, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ],
    "guided": [
        [2, 0, 0, 0],
        [0, 2, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ],
    "gradient": [
        [2, 0, 0, 0],
        [0, 0, 0, 0],
        [-2, 0, 0, 0],
        [0, 0, 0, 0],
    ],
}

# The strongest unit is that at (1, 1), 5: 5 to A (2,2), -5 to B (2,2), 5 to C (1,1).
STRONGEST = {
    "deconvnet": [
        [0, 0, 0, 0],
        [0, 0, -5, 0],
        [0, 0, 5, 0],
        [0, 0, 0, 5],
    ],
    "guided": [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 5, 0],
        [0, 0, 0, 5],
    ],
    "gradient": [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 5, -5],
        [0, 0, -5, 5],
    ],
}

# The whole map: windows which share a maximum add up. A takes 2, 4 + 2, 5 at (0,0), (1,1), (2,2);
# B takes -2 - 2, -4, -5 at (1,0), (0,1), (2,2); C takes 2, 4, 2, 5 at (0,0), (0,1), (1,0), (1,1).
WHOLE_MAP = {
    "deconvnet": [
        [2, -2, -4, 0],
        [0, 8 - 2, -5, 0],
        [0, 0, 11, 0],
        [0, 0, 0, 5],
    ],
    "guided": [
        [2, 0, 0, 0],
        [0, 8, 0, 0],
        [0, 0, 11, 0],
        [0, 0, 0, 5],
    ],
    "gradient": [
        [2, 0, -4, 0],
        [0, 8 - 4 - 4, 0, 0],
        [-4, 0, 11, -5],
        [0, 0, -5, 5],
    ],
}

CASES = [
    (kv.targets.Unit(0, 0, 0), {"row": 0, "column": 0}, UNIT),
    (kv.targets.Strongest(0), {}, STRONGEST),
    (kv.targets.WholeMap(0), {"whole_map": True}, WHOLE_MAP),
]


def convolution_pooling_unit():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(3, 2, activation="relu"),
            layers.MaxPooling2D(2, strides=1),
            layers.Conv2D(1, 1, activation="relu", name="unit"),
        ]
    )
    kernel = FILTERS.transpose(1, 2, 0)[:, :, None]
    weights = np.reshape([1.0, -1.0, 1.0], (1, 1, 3, 1))
    model.set_weights([kernel, np.array([0.0, -1.0, 0.0]), weights, np.array([2.0])])
    return model, np.reshape(IMAGE, (1, 4, 4, 1)).astype("float32")


def test_the_activations_are_those_on_paper():
    model, image = convolution_pooling_unit()
    np.testing.assert_array_equal(np.asarray(model(image))[0, ..., 0], [[2, 4], [2, 5]])


@pytest.mark.parametrize("rectification", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize(("target", "position", "expected"), few(CASES, unpack=True))
def test_convolution_pooling_unit(target, position, expected, rectification):
    model, image = convolution_pooling_unit()
    deconv = kv.DeconvModel(model, "unit", rectification=rectification)
    projection = deconv.project(image, target)
    np.testing.assert_array_equal(projection[0, ..., 0], expected[rectification])


@pytest.mark.parametrize("rectification", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize(("_", "position", "expected"), CASES)
def test_the_oracle_agrees_with_the_numbers_on_paper(_, position, expected, rectification):
    model, image = convolution_pooling_unit()
    projection = modified_gradient.project(
        model, "unit", image, 0, **position, rectification=rectification
    )
    np.testing.assert_array_equal(projection[0, ..., 0], expected[rectification])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_a_class_is_projected_by_its_score(activation):
    """The score of class 1 is 1·2 - 3·1 + 4·3 + 0.5 = 11.5, and its weights come down times it."""
    model = keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            layers.Flatten(),
            layers.Dense(2, activation=activation, name="scores"),
        ]
    )
    weights = np.array([[9, 2], [9, 0], [9, -1], [9, 3]], "float32")
    model.set_weights([weights, np.array([0, 0.5], "float32")])
    image = np.array([[1, 2], [3, 4]], "float32").reshape(1, 2, 2, 1)
    projection = kv.DeconvModel(model, "scores").project(image, kv.targets.Unit(1))
    np.testing.assert_array_equal(projection[0, ..., 0], [[23, 0], [-11.5, 34.5]])


def test_each_image_has_its_own_unit_and_switches():
    model, image = convolution_pooling_unit()
    images = np.concatenate([image, image, 2 * image])
    projections = kv.DeconvModel(model, "unit").project(
        images, kv.targets.Unit([0, 0, 0], [0, 1, 1], [0, 1, 1])
    )
    np.testing.assert_array_equal(projections[0, ..., 0], UNIT["deconvnet"])
    np.testing.assert_array_equal(projections[1, ..., 0], STRONGEST["deconvnet"])
    # Twice the image: A 10 at (2,2), B 2·3 - 1 = 5 at (2,2): the unit is 10 - 5 + 2 = 7.
    np.testing.assert_array_equal(
        projections[2, ..., 0] * 5, np.multiply(STRONGEST["deconvnet"], 7)
    )
