"""The report as a whole; what each check measures is tested with the check."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.fidelity_report import fidelity_report
from kerasvis.analyses.fidelity.fidelity_result import CHECKS, OF_ALL_METHODS
from kerasvis.analyses.fidelity.fidelity_table import fidelity_rows
from kerasvis.analyses.fidelity.patch_sufficiency import measure_patch_sufficiency
from kerasvis.analyses.fidelity.unit_maps import unit_methods
from kerasvis.data import Preprocessing
from kerasvis.occlusion import baseline_image
from tests.analyses.fidelity.fidelity_reports import (
    METHODS,
    SIZE,
    own_pixels,
    small_convnet,
    small_images,
    small_report,
)


@pytest.fixture(scope="module")
def model():
    return small_convnet()


@pytest.fixture(scope="module")
def images():
    return small_images()


@pytest.fixture(scope="module")
def report(model, images):
    return small_report(model, images)


def test_all_checks_on_the_same_units(model, images, report):
    units = choose_units(model, "conv2", images)
    assert report.layer == "conv2"
    assert report.methods == ("zf", "gradient", "pixels")
    for name in ("features", "positions", "activations", "boxes"):
        np.testing.assert_array_equal(getattr(report, name), getattr(units, name))
    for name, kind in CHECKS.items():
        assert type(getattr(report, name)) is kind
    assert report.weight_randomization.layers == ("conv2", "conv1")
    assert report.weight_randomization.is_unaffected.tolist() == [False, False, True]
    assert report.cosine_convergence.methods == ("zf", "gradient")
    assert report.insertion_deletion.methods == ("zf", "gradient", "pixels", "random")
    assert report.patch_sufficiency.patch_size.tolist() == [2, 2]  # a unit sees 8×8 pixels


def test_a_check_by_itself_is_the_same(model, images, report):
    alone = fidelity_report(model, "conv2", images, METHODS, checks="selectivity", verbose=0)
    assert alone.selectivity == report.selectivity
    assert [name for name in CHECKS if getattr(alone, name) is not None] == ["selectivity"]
    assert {row.check for row in fidelity_rows(alone)} == {"selectivity"}


@pytest.mark.slow
def test_a_method_by_itself_is_the_same(model, images, report):
    alone = small_report(model, images, {"gradient": "gradient"})
    number = report.methods.index("gradient")
    for name, check in vars(alone).items():
        if name not in CHECKS:
            continue
        of_all = getattr(report, name)
        for field, value in vars(check).items():
            if field not in OF_ALL_METHODS:
                row = np.array(getattr(of_all, field))[number]
                np.testing.assert_array_equal(np.array(value)[0], row, err_msg=f"{name}.{field}")


@pytest.mark.slow
def test_covered_with_what_was_asked_for(model, images):
    options = {"checks": "patch_sufficiency", "verbose": 0, "seed": 3, "patch_size": (3, 2)}
    preprocessing = Preprocessing("raw")
    for baseline in ("grey", "noise", 40.0):
        found = fidelity_report(model, "conv2", images, "deconvnet", baseline=baseline, **options)
        baselines = np.stack([baseline_image(x, baseline, preprocessing, seed=3) for x in images])
        units = choose_units(model, "conv2", images)
        methods = unit_methods("deconvnet")
        expected = measure_patch_sufficiency(units, methods, baselines, patch_size=(3, 2), seed=3)
        assert found.patch_sufficiency == expected


def test_only_methods_of_the_user(model, images):
    report = fidelity_report(
        model,
        "conv2",
        images,
        {"pixels": own_pixels},
        checks=("cosine_convergence", "selectivity"),
        verbose=0,
    )
    assert report.cosine_convergence.methods == ()
    assert {row.check for row in fidelity_rows(report)} == {"selectivity"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"images": np.zeros((*SIZE, 3))}, r"images of shape \(21, 17, 3\)"),
        ({"layer": "conv3"}, "no layer 'conv3': did you mean"),
        ({"layer": "scale"}, "layer 'scale' has a receptive field of 1×1 pixels"),
        ({"methods": ("saliency",)}, "There is no method 'saliency'"),
        ({"methods": {"random": "guided"}}, "The name 'random' is reserved for the control"),
        ({"checks": ("selektivity",)}, "There is no check 'selektivity': give some of weight_ran"),
        ({"checks": ()}, "No check was given"),
        ({"stages": ["pool1"]}, "Stage 'pool1' is not a layer with weights"),
        ({"patch_size": 9}, r"8×8 pixels: give .* patch_size=\(9, 9\)"),
        ({"baseline": "gray"}, "Received: baseline='gray'"),
        ({"feature": 8}, "has 8 features: give 0 to 7. Received: feature=8"),
        ({"num_draws": 0}, "at least 1. Received: num_draws=0"),
        ({"num_pairs": 0}, "at least 1. Received: num_pairs=0"),
        ({"num_units": 1}, "at least 2. Received: num_units=1"),
        ({"num_steps": 1}, "at least 2. Received: num_steps=1"),
        ({"verbose": 3}, "verbose=3"),
    ],
)
def test_errors(model, images, changes, sentence):
    arguments = {"images": images, "layer": "conv2", **changes}
    with pytest.raises(ValueError, match=sentence):
        fidelity_report(model, **arguments)


@pytest.mark.slow
def test_trained_weights_reproduce_what_was_published():
    """With a random top layer guided backpropagation and deconvnet stay alike, the gradient not."""
    import kerasvis  # noqa: F401 - registers its layers
    from kerasvis.data.demo_photographs import DemoPhotographs

    root = Path(__file__).resolve().parents[3]
    path = root / "saved_models/zfnet-tiny-imagenet-30/model.keras"
    model = keras.saving.load_model(path, compile=False)
    photographs = DemoPhotographs((64, 64))
    images = photographs[[0, len(photographs) // 3, 2 * len(photographs) // 3]]
    report = fidelity_report(
        model,
        "conv5",
        images,
        checks=("weight_randomization", "cosine_convergence"),
        stages=("conv5",),
        num_pairs=2,
        verbose=0,
    )
    at_top = report.weight_randomization.cascading[:, 0, :, 1].mean(axis=1)
    assert at_top[0] > 0.5
    assert at_top[1] > 0.8
    assert at_top[2] < 0.3
    cosines = report.cosine_convergence.cosines[:, -1].mean(axis=(1, 2))
    assert cosines[0] > 0.8
    assert cosines[1] > 0.9
    assert cosines[2] < 0.5
