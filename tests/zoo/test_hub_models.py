"""KerasHub's image models: projections, scan and occlusion against the plain way."""

import functools

import keras
import numpy as np
import pytest

import kerasvis as kv
from tests.oracles.lively_models import make_lively
from tests.zoo import checks
from tests.zoo.hub_models import BACKBONES, CLASSIFIERS, SIZE

pytest.importorskip("keras_hub", reason="KerasHub is not installed: pip install keras-hub.")
pytestmark = [
    pytest.mark.slow,
    # Of KerasHub's tasks and layers, when they are copied and called.
    pytest.mark.filterwarnings("ignore:.compile\\(\\). was not called:UserWarning"),
    pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning"),
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning"),
]
MODELS = {**CLASSIFIERS, **BACKBONES}
PLACES = [
    (name, place)
    for name in MODELS
    for place in ("early", "middle", "late", "score")
    if name in CLASSIFIERS or place != "score"
]


@functools.lru_cache(maxsize=1)
def net(name):
    """`(model, images, {place: layer})`."""
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    images = make_lively(model, np.random.default_rng(0), size=SIZE)
    return model, images, checks.layers_of(model, SIZE)


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_projection(name, place):
    model, images, layers = net(name)
    if place not in layers:
        pytest.skip(f"{name} returns no feature maps.")
    rules = checks.rules_for(model, layers[place])
    with checks.op_by_op(model):
        difference = checks.difference_of_projection(model, layers[place], images, rules)
    assert difference <= checks.TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_scan(name):
    model, images, layers = net(name)
    if not layers:
        pytest.skip(f"{name} returns neither feature maps nor scores.")
    with checks.op_by_op(model):
        checks.assert_scans_like_predict(model, list(layers.values()), images)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_occlusion(name):
    model, images, layers = net(name)
    with checks.op_by_op(model):
        checks.assert_occludes_like_the_whole_model(
            model, layers.get("late"), images[0], (17, 12), (29, 25)
        )


def test_a_layer_of_tokens_is_refused_in_a_sentence():
    model, _, _ = net("ViT")
    with pytest.raises(ValueError, match=r"feature maps .* or dense units .* were expected"):
        kv.DeconvModel(model, f"{model.backbone.name}/vit_encoder", rules="relaxed")
