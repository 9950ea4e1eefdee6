import keras
import numpy as np
import pytest

from kerasvis.analyses.fidelity import fidelity_report
from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.fidelity_parts import FidelityParts
from kerasvis.analyses.fidelity.selectivity import Selectivity
from kerasvis.analyses.fidelity.unit_maps import unit_methods
from kerasvis.attributions.edges import edges
from tests.analyses.fidelity.fidelity_reports import (
    small_convnet,
    small_images,
    small_report,
)

RESULT = Selectivity(
    ("zf",), ("rank",), np.array([[3]], "int32"), np.array([[[0.5]]]), np.array([[[np.nan]]])
)


@pytest.fixture(scope="module")
def model():
    return small_convnet()


@pytest.fixture(scope="module")
def images():
    return small_images()


def parts(directory, model, images, layer="conv2", feature_index=None, rules=()):
    units, _ = choose_units(model, layer, images, feature_index)
    return FidelityParts(directory, model, images, units, rules)


class Measuring:
    """Returns a result, and counts how often it was asked for one."""

    def __init__(self, result=RESULT):
        self.result, self.num_calls = result, 0

    def __call__(self):
        self.num_calls += 1
        return self.result


def num_measured(kept, *, check="selectivity", name="zf", method=edges, settings=None):
    """How often a part has to be measured: 1, or 0 where it is there."""
    measure = Measuring()
    assert kept.once(check, name, method, settings or {"num_units": 4}, measure) == RESULT
    return measure.num_calls


def test_a_part_is_measured_once(tmp_path, model, images):
    assert num_measured(parts(tmp_path / "new" / "folder", model, images)) == 1
    assert num_measured(parts(tmp_path / "new" / "folder", model, images)) == 0
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    assert num_measured(parts(tmp_path / "new" / "folder", again, images.copy())) == 0
    assert [path.name[:15] for path in (tmp_path / "new" / "folder").iterdir()] == [
        "selectivity-zf-"
    ]


def test_nothing_is_kept_without_a_folder(tmp_path, model, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert num_measured(parts(None, model, images)) == 1
    assert not list(tmp_path.iterdir())


def with_names(model, names):
    config = model.get_config()
    for layer, name in zip(config["layers"][1:], names, strict=True):
        layer["config"]["name"] = name
    copy = keras.Sequential.from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def test_other_models_images_units_and_rules_are_other_parts(tmp_path, model, images):
    other_pixel = images.copy()
    other_pixel[1, 3, 2, 0] += 1
    other_names = with_names(model, ["scale", "first", "pool1", "conv2"])
    rules = [(keras.activations.relu, edges), ("Add", edges)]
    asked = [
        parts(tmp_path, model, images),
        parts(tmp_path, small_convnet(seed=1), images),
        parts(tmp_path, other_names, images),
        parts(tmp_path, model, other_pixel),
        parts(tmp_path, model, images[:2]),
        parts(tmp_path, model, images, layer="conv1"),
        parts(tmp_path, model, images, feature_index=5),
        parts(tmp_path, model, images, rules=rules),
        parts(tmp_path, model, images, rules=rules[:1]),
    ]
    assert [num_measured(kept) for kept in asked] == [1] * len(asked)
    assert [num_measured(kept) for kept in asked] == [0] * len(asked)


def test_other_methods_and_settings_are_other_parts(tmp_path, model, images):
    changes = [
        {"name": "edges"},
        {"name": "my/$method"},
        {"name": "my_$method"},
        {"method": unit_methods("deconvnet")["deconvnet"]},
        {"method": unit_methods("guided")["guided"]},
        {"method": Measuring()},
        {"settings": {"num_units": 5}},
        {"settings": {"num_pairs": 4}},
        {"settings": {"num_units": 4, "stages": ("conv2",)}},
        {"settings": {"num_units": 4, "fills": np.zeros(3)}},
        {"settings": {"num_units": 4, "fills": np.ones(3)}},
    ]
    kept = parts(tmp_path, model, images)
    assert [num_measured(kept, **change) for change in changes] == [1] * len(changes)
    assert [num_measured(kept, **change) for change in changes] == [0] * len(changes)


@pytest.mark.parametrize("content", [b"", b"damaged", "other arrays"])
def test_something_else_in_its_place_is_measured_anew(tmp_path, model, images, content):
    num_measured(parts(tmp_path, model, images))
    (filepath,) = tmp_path.iterdir()
    if content == "other arrays":
        np.savez(filepath, methods=np.array(["zf"]))
    else:
        filepath.write_bytes(content)
    assert num_measured(parts(tmp_path, model, images)) == 1
    assert num_measured(parts(tmp_path, model, images)) == 0


def test_a_folder_that_cannot_be_made(tmp_path, model, images):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match="file"):
        parts(tmp_path / "file", model, images)


METHODS = ("deconvnet", "edges")
PARTS = [
    *(f"measure_weight_randomization {method}" for method in METHODS),
    *(f"measure_selectivity {method}" for method in METHODS),
    "measure_cosine_convergence deconvnet",
    *(f"measure_patch_sufficiency {method}" for method in METHODS),
    *(f"measure_insertion_deletion {method}" for method in (*METHODS, "random")),
]


class Watched:
    """The functions that measure checks: what they finished, and after how many they stop."""

    def __init__(self, monkeypatch):
        self.finished, self.num_left = [], np.inf
        for name in sorted({part.split()[0] for part in PARTS}):
            monkeypatch.setattr(
                fidelity_report, name, self.watched(name, getattr(fidelity_report, name))
            )

    def watched(self, name, measure):
        def measure_if_it_may(*arguments, **options):
            if self.num_left == 0:
                raise KeyboardInterrupt
            result = measure(*arguments, **options)
            self.finished += [f"{name} {method}" for method in result.methods]
            self.num_left -= 1
            return result

        return measure_if_it_may


def test_interrupted_at_each_part(tmp_path, model, images, monkeypatch):
    small_report(model, images, METHODS).save(tmp_path / "whole.npz")
    watched = Watched(monkeypatch)
    for number in range(len(PARTS)):
        watched.num_left = 1
        if number < len(PARTS) - 1:
            with pytest.raises(KeyboardInterrupt):
                small_report(model, images, METHODS, directory=tmp_path / "parts")
        else:
            report = small_report(model, images, METHODS, directory=tmp_path / "parts")
        assert watched.finished == PARTS[: number + 1]
    report.save(tmp_path / "interrupted.npz")
    assert (tmp_path / "interrupted.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert len(list((tmp_path / "parts").iterdir())) == len(PARTS)


def test_interrupted_before_a_part_is_written(tmp_path, model, images, monkeypatch):
    options = {"checks": "selectivity", "directory": tmp_path}
    expected = small_report(model, images, METHODS, checks="selectivity")
    watched = Watched(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr("kerasvis.storage.files.os.replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            small_report(model, images, METHODS, **options)
    assert small_report(model, images, METHODS, **options) == expected
    deconvnet, edges = PARTS[2:4]
    assert watched.finished == [deconvnet, deconvnet, edges]


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_what_is_asked_for_more_is_measured_alone(tmp_path, model, images, monkeypatch):
    watched = Watched(monkeypatch)
    options = {"directory": tmp_path}
    small_report(model, images, ("edges",), checks="selectivity", **options)
    small_report(model, images, METHODS, checks="selectivity", **options)
    assert watched.finished == ["measure_selectivity edges", "measure_selectivity deconvnet"]
    watched.finished.clear()
    checks = ("selectivity", "patch_sufficiency")
    small_report(model, images, METHODS, checks=checks, **options)
    of_patches = [f"measure_patch_sufficiency {method}" for method in METHODS]
    assert watched.finished == of_patches
    watched.finished.clear()
    small_report(model, images, METHODS, checks=checks, patch_size=3, **options)
    small_report(model, images, METHODS, checks=checks, patch_size=3, seed=1, **options)
    small_report(model, images, METHODS, checks=checks, patch_size=3, baseline=9, **options)
    small_report(model, images, METHODS, checks=checks, patch_size=3, num_draws=3, **options)
    assert watched.finished == 4 * of_patches
