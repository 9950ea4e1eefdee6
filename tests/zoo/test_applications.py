"""Every family of `keras.applications`: projections, scan and occlusion against the plain way."""

import functools

import keras
import numpy as np
import pytest

from tests.marks import grid
from tests.oracles.lively_models import make_lively
from tests.zoo import checks
from tests.zoo.applications import RELAXED, SIZES, application

QUICK = [
    ("MobileNetV3Small", "middle"),
]


@functools.lru_cache(maxsize=1)
def net(name):
    """`(model, images, {place: layer})`."""
    keras.utils.set_random_seed(0)
    model = application(name)
    images = make_lively(model, np.random.default_rng(0))
    return model, images, checks.layers_of(model, SIZES[name])


@pytest.mark.parametrize(
    ("name", "place"), grid(SIZES, ["early", "middle", "late", "score"], quick=QUICK)
)
def test_projection(name, place):
    model, images, layers = net(name)
    rules = checks.rules_for(model, layers[place])
    assert place == "early" or (rules == "relaxed") == (name in RELAXED)
    with checks.op_by_op(model):
        difference = checks.difference_of_projection(model, layers[place], images, rules)
    assert difference <= checks.TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_scan(name):
    model, images, layers = net(name)
    with checks.op_by_op(model):
        checks.assert_scans_like_predict(model, list(layers.values()), images)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_occlusion(name):
    model, images, layers = net(name)
    with checks.op_by_op(model):
        plan = checks.assert_occludes_like_the_whole_model(
            model, layers["late"], images[0], (17, 12), (29, 25)
        )
    assert plan.method == "incremental"
