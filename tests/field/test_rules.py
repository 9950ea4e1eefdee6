"""Rules reach every analysis, and no refusal is swallowed."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.deconvnet.targets import Unit, WholeMap
from kerasvis.reports import write_gallery
from tests.marks import few

SHAPE = (14, 12, 3)


def images(number=6):
    return np.random.default_rng(5).integers(0, 256, (number, *SHAPE)).astype("float32")


def gated(seed=2):
    """Two convolutions with a smooth activation and a gate, as EfficientNet has them."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255, name="scaled")(inputs)
    x = layers.Conv2D(4, 3, activation="silu", name="conv1")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="gate")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.Conv2D(5, 3, strides=2, name="conv2")(x)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Flatten()(layers.Activation("gelu", name="smooth")(x))
    return keras.Model(inputs, layers.Dense(2, name="scores")(x))


def recorded(rules, folder):
    evolution = kv.callbacks.FeatureEvolution(
        "smooth",
        images(),
        epochs=[1],
        directory=folder / "evolution",
        rules=rules,
        preprocessing="raw",
    )
    model = gated()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(images(), np.arange(6) % 2, verbose=0, callbacks=[evolution])
    return kv.analyses.load_evolution(folder / "evolution")["smooth"].projections


def attributed(method):
    options = {"num_samples": 2} if method == "smoothgrad" else {}
    return lambda rules, _: kv.attribute(
        gated(), "scores", images(1), Unit(1), method, rules=rules, **options
    )


PROJECTIONS = {
    "DeconvModel": lambda rules, _: kv.DeconvModel(gated(), "smooth", rules=rules).project(
        images(1), WholeMap(2)
    ),
    "visualize_features": lambda rules, _: (
        kv.visualize_features(
            gated(), "smooth", images(), [0, 1], rules=rules, preprocessing="raw", verbose=0
        ).projections
    ),
    "deconvnet": attributed("deconvnet"),
    "compare_methods": lambda rules, _: kv.compare_methods(
        gated(), "scores", images(1), Unit(1), ["deconvnet"], rules=rules, preprocessing="raw"
    ).maps["deconvnet"],
    "fidelity_report": lambda rules, _: (
        kv.fidelity_report(
            gated(),
            "scores",
            images(1),
            methods=["deconvnet"],
            checks=["cosine_convergence"],
            rules=rules,
            preprocessing="raw",
        ).cosine_convergence.cosines
    ),
    "evolution_of_models": lambda rules, _: (
        kv.analyses.evolution_of_models(
            [gated(1), gated(2)], "smooth", images(), [1, 2], rules=rules, preprocessing="raw"
        )["smooth"].projections
    ),
    "FeatureEvolution": recorded,
    "diagnose_filters": lambda rules, _: (
        kv.diagnose_filters(
            gated(), images(50), second_layer="conv2", rules=rules, preprocessing="raw", verbose=0
        ).projections
    ),
}


@pytest.mark.parametrize("entrance", few(PROJECTIONS, 4))
def test_rules_reach_every_analysis(entrance, tmp_path):
    with pytest.raises(ValueError, match="rules='relaxed'"):
        PROJECTIONS[entrance]((), tmp_path)
    assert np.abs(PROJECTIONS[entrance]("relaxed", tmp_path)).max() > 0


DERIVATIVES = {
    **{
        method: attributed(method)
        for method in kv.attributions.METHODS
        if method not in ("deconvnet", "edges")
    },
    "maximize_activation": lambda *_: (
        kv.maximize_activation(gated(), "scores", Unit(0), num_steps=2).history
    ),
    "unit_invariance": lambda *_: (
        kv.analyses.unit_invariance(
            gated(), "scores", images(1)[0], Unit(0), num_directions=1
        ).directions
    ),
}


@pytest.mark.parametrize("entrance", few(DERIVATIVES, 3))
def test_derivatives_need_no_rules(entrance, tmp_path):
    assert np.abs(DERIVATIVES[entrance]((), tmp_path)).max() > 0


def test_the_relaxed_rules_are_the_pairs_of_that_name():
    by_name = kv.DeconvModel(gated(), "smooth", rules="relaxed")
    by_pairs = kv.DeconvModel(gated(), "smooth", rules=kv.rules.RELAXED_RULES)
    assert str(by_name.plan) == str(by_pairs.plan)
    assert kv.rules.rule_names("relaxed") == kv.rules.rule_names(kv.rules.RELAXED_RULES)


def test_own_rules_come_before_the_named_ones():
    rules = [(layers.LayerNormalization, lambda layer, signal, record: signal * 2), "relaxed"]
    twice = kv.DeconvModel(gated(), "smooth", rules=rules).project(images(1), WholeMap(1))
    once = kv.DeconvModel(gated(), "smooth", rules="relaxed").project(images(1), WholeMap(1))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


@pytest.mark.parametrize(
    "rules",
    ["relax", ["relaxed", "strict"], [(layers.Dense,)], layers.Dense, [(layers.Dense, "x")], 3],
)
def test_wrong_rules_get_a_sentence(rules):
    with pytest.raises(ValueError, match=r"Received: rules=.*"):
        kv.DeconvModel(gated(), "smooth", rules=rules)


@pytest.mark.slow
def test_snapshots_by_other_rules_are_other_snapshots(tmp_path):
    recorded("relaxed", tmp_path)
    recorded("relaxed", tmp_path)
    others = [(layers.LayerNormalization, kv.rules.GateAsConstant), "relaxed"]
    with pytest.raises(ValueError, match="with other rules"):
        recorded(others, tmp_path)


def gallery(folder, rules=(), number=50, model=None, **options):
    write_gallery(
        model or gated(),
        ["smooth"],
        images(number),
        folder,
        k=1,
        rules=rules,
        preprocessing="raw",
        verbose=0,
        **options,
    )
    return (folder / "index.html").read_text("utf-8")


@pytest.mark.slow
def test_the_gallery_takes_rules_for_its_findings_too(tmp_path):
    assert "no convolution" not in gallery(tmp_path / "a", "relaxed")
    with pytest.raises(ValueError, match="rules"):
        gallery(tmp_path / "a")


def test_the_gallery_refuses_what_it_cannot_diagnose_before_the_work(tmp_path):
    model = gated()
    with pytest.raises(ValueError, match=r"silu.*rules='relaxed'"):
        write_gallery(model, ["conv1"], images(50), tmp_path / "a", k=1, preprocessing="raw")
    assert not (tmp_path / "a" / "arrays").exists()


def test_weights_that_are_not_finite_are_no_lack_of_findings(tmp_path):
    model = gated()
    kernel = model.get_layer("gate").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(ValueError, match="NaN"):
        write_gallery(
            model, ["conv1"], images(), tmp_path, k=1, rules="relaxed", preprocessing="raw"
        )


def test_a_gallery_without_convolutions_says_so(tmp_path):
    dense = [keras.Input(SHAPE), layers.Flatten(), layers.Dense(3, name="smooth")]
    page = gallery(tmp_path, model=keras.Sequential(dense), number=3)
    assert "has no convolution layer" in page
