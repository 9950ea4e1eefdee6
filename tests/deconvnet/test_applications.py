"""The deconvnet of well-known nets with random weights, held against the modified gradient."""

import numpy as np
import pytest
from keras import applications

import kerasvis as kv
from tests.marks import grid
from tests.oracles import modified_gradient
from tests.oracles.lively_models import make_lively
from tests.oracles.random_targets import draw_target

TOLERANCE = 1e-5


def application(name, *size):
    build = getattr(applications, name)
    return build(weights=None, include_top=False, input_shape=(*size, 3))


def paper_convnet(name):
    build = getattr(kv.convnets, name)
    return build((79, 70, 3), classes=7, width=0.25, dense_units=32)


# Sizes of their own, since what happens at the borders depends on them. The layer is the last one
# where no name is given.
PAPER_CONVNETS = {
    "AlexNet": (lambda: paper_convnet("AlexNet"), "conv5"),
    "ZFNet": (lambda: paper_convnet("ZFNet"), "conv5"),
    "ZFNet, a score": (lambda: paper_convnet("ZFNet"), "softmax"),
}
APPLICATIONS = {
    "VGG16": (lambda: application("VGG16", 64, 75), "block5_conv3"),
    "MobileNetV2": (lambda: application("MobileNetV2", 75, 64), None),
    "ResNet50": (lambda: application("ResNet50", 75, 64), None),
    "ResNet50V2": (lambda: application("ResNet50V2", 64, 77), None),
    "InceptionV3": (lambda: application("InceptionV3", 76, 83), None),
    "DenseNet121": (lambda: application("DenseNet121", 75, 65), None),
    "Xception": (lambda: application("Xception", 71, 80), None),
    "MobileNet": (lambda: application("MobileNet", 81, 75), None),
    "NASNetMobile": (lambda: application("NASNetMobile", 96, 75), None),
}
RECTIFICATIONS = ["deconvnet", "guided", "gradient"]


def op_by_op(test):
    """Runs the convnet as the oracle does, so that both decide alike which units are active.

    Compiled, its activations differ by rounding. Of the million units of such a net one or two lie
    that near to zero, and each of them changes a gradient by up to 1 %.
    """
    return pytest.mark.usefixtures("eager_functions")(test)


def assert_projects_like_oracle(build, layer, rectification):
    rng = np.random.default_rng(0)
    model = build()
    images = make_lively(model, rng)
    layer = layer or model.layers[-1].name
    maps = modified_gradient.activations(model, layer, images)
    assert np.isfinite(maps).all()
    assert np.mean(maps != 0) > 0.05
    target, position = draw_target(maps, rng)
    options = {"rectification": rectification}

    actual = kv.DeconvModel(model, layer, **options).project(images, target)
    expected = modified_gradient.project(model, layer, images, **position, **options)
    assert (np.abs(expected).max((1, 2, 3)) > 0).all()
    assert modified_gradient.relative_difference(actual, expected) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "rectification"),
    grid(
        PAPER_CONVNETS,
        RECTIFICATIONS,
        quick=[("ZFNet", "deconvnet")],
    ),
)
def test_paper_convnet(name, rectification):
    assert_projects_like_oracle(*PAPER_CONVNETS[name], rectification)


@pytest.mark.slow
@op_by_op
@pytest.mark.parametrize("rectification", RECTIFICATIONS)
@pytest.mark.parametrize("name", APPLICATIONS)
def test_application(name, rectification):
    assert_projects_like_oracle(*APPLICATIONS[name], rectification)
