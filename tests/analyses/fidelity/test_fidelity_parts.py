import dataclasses

import keras
import pytest

from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.fidelity_parts import computed_from, part_name
from kerasvis.analyses.fidelity.unit_maps import unit_methods
from kerasvis.attributions.edges import edges
from kerasvis.storage.fingerprints import as_json
from kerasvis.storage.parts import differing
from tests.analyses.fidelity.fidelity_reports import (
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


def what_is_computed_from(model, images, layer="conv2", feature_index=None, rules=()):
    units = choose_units(model, layer, images, feature_index)
    return as_json(computed_from(dataclasses.replace(units, rules=rules)))


def with_names(model, names):
    config = model.get_config()
    for layer, name in zip(config["layers"][1:], names, strict=True):
        layer["config"]["name"] = name
    copy = keras.Sequential.from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def test_the_same_model_and_images_are_known_again(model, images):
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    assert what_is_computed_from(again, images.copy()) == what_is_computed_from(model, images)


def test_other_models_images_units_and_rules_are_told_apart(model, images):
    other_pixel = images.copy()
    other_pixel[1, 3, 2, 0] += 1
    rules = [(keras.activations.relu, edges), ("Add", edges)]
    changed = {
        "model": what_is_computed_from(small_convnet(seed=1), images),
        "names of layers": what_is_computed_from(
            with_names(model, ["scale", "first", "pool1", "conv2"]), images
        ),
        "images": what_is_computed_from(model, other_pixel),
        "layer": what_is_computed_from(model, images, layer="conv1"),
        "features": what_is_computed_from(model, images, feature_index=5),
        "rules": what_is_computed_from(model, images, rules=rules),
    }
    for what, other in changed.items():
        differences = differing(other, what_is_computed_from(model, images))
        assert what in {words.split(" (")[0] for words in differences}
    assert what_is_computed_from(model, images, rules=rules[:1]) != changed["rules"]


def test_other_methods_are_other_parts():
    methods = unit_methods(("deconvnet", "guided"))
    names = [
        part_name("selectivity", "zf", edges),
        part_name("selectivity", "edges", edges),
        part_name("patch_sufficiency", "edges", edges),
        part_name("selectivity", "my/$method", edges),
        part_name("selectivity", "my_$method", edges),
        part_name("selectivity", "zf", methods["deconvnet"]),
        part_name("selectivity", "zf", methods["guided"]),
        part_name("selectivity", "zf", parts_of),
    ]
    assert len(set(names)) == len(names)
    assert not any("/" in name or "$" in name for name in names)


METHODS = ("deconvnet", "edges")
PARTS = [
    *(f"weight_randomization-{method}" for method in METHODS),
    *(f"selectivity-{method}" for method in METHODS),
    "cosine_convergence-deconvnet",
    *(f"patch_sufficiency-{method}" for method in METHODS),
    *(f"insertion_deletion-{method}" for method in (*METHODS, "random")),
]


def parts_of(paths):
    return [path.name.rpartition("-")[0] for path in paths]


@pytest.mark.slow
def test_interrupted_at_each_part(tmp_path, model, images, written):
    small_report(model, images, METHODS).save(tmp_path / "whole.npz")
    written.new(".npz")
    for number in range(len(PARTS)):
        if number < len(PARTS) - 1:
            written.interrupt_after(1, ".npz")
            with pytest.raises(KeyboardInterrupt):
                small_report(model, images, METHODS, directory=tmp_path / "parts")
        else:
            report = small_report(model, images, METHODS, directory=tmp_path / "parts")
        assert parts_of(written.new(".npz")) == [PARTS[number]]
    report.save(tmp_path / "interrupted.npz")
    assert (tmp_path / "interrupted.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert len(list((tmp_path / "parts").glob("*.npz"))) == len(PARTS)


@pytest.mark.usefixtures("eager_functions")
def test_interrupted_before_a_part_is_written(tmp_path, model, images, written, convolutions):
    expected = small_report(model, images, METHODS, checks="selectivity")
    num_calls = convolutions.num_new()
    options = {"checks": "selectivity", "directory": tmp_path}
    written.interrupt_after(0, ".npz")
    with pytest.raises(KeyboardInterrupt):
        small_report(model, images, METHODS, **options)
    convolutions.num_new()
    assert small_report(model, images, METHODS, **options) == expected
    assert convolutions.num_new() == num_calls


@pytest.mark.slow
@pytest.mark.usefixtures("eager_functions")
def test_what_is_asked_for_more_is_measured_alone(tmp_path, model, images, written, convolutions):
    options = {"directory": tmp_path}
    small_report(model, images, ("edges",), checks="selectivity", **options)
    small_report(model, images, METHODS, checks="selectivity", **options)
    assert parts_of(written.new(".npz")) == ["selectivity-edges", "selectivity-deconvnet"]
    checks = ("selectivity", "patch_sufficiency")
    small_report(model, images, METHODS, checks=checks, **options)
    of_patches = [f"patch_sufficiency-{method}" for method in METHODS]
    assert parts_of(written.new(".npz")) == of_patches
    convolutions.num_new()
    small_report(model, images, METHODS, checks=checks, **options)
    num_to_choose_units = convolutions.num_new()
    for changed in ({"patch_size": 3}, {"seed": 1}, {"baseline": 9}, {"num_draws": 3}):
        with pytest.raises(ValueError, match="was computed from another") as caught:
            small_report(model, images, METHODS, checks=checks, **options, **changed)
        assert {"baseline": "baselines"}.get(*changed, *changed) in str(caught.value)
        assert convolutions.num_new() == num_to_choose_units
    assert written.new(".npz") == []
