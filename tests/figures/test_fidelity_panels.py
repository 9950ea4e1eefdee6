from types import SimpleNamespace

import numpy as np
import pytest

from kerasvis.figures.fidelity_maps import as_ink
from kerasvis.figures.fidelity_numbers import mean_and_error
from kerasvis.figures.fidelity_panels import fidelity_panels
from tests.marks import slow

METHODS = ("deconvnet", "my_$method")
MEASURES = ("rank, absolute", "rank, signed", "SSIM", "HOG")
CHECKS = (
    *("weight_randomization", "selectivity", "cosine_convergence"),
    *("patch_sufficiency", "insertion_deletion"),
)


def fidelity(methods=METHODS, layers=("a_long_name/of_conv2", "conv1"), checks=CHECKS):
    rng, num, images = np.random.default_rng(0), len(methods), 5
    common = {"methods": methods, "measures": MEASURES}
    found = {
        "weight_randomization": SimpleNamespace(
            layers=layers,
            cascading=rng.random((num, len(layers), images, 4)),
            independent=rng.random((num, len(layers), images, 4)),
            example_layers=layers[:5],
            examples=rng.random((num, 1 + len(layers[:5]), 9, 7)),
            **common,
        ),
        "selectivity": SimpleNamespace(
            between_units=rng.random((num, images, 4)),
            between_images=rng.random((num, images, 4)) - 0.5,
            **common,
        ),
        "cosine_convergence": SimpleNamespace(
            methods=methods[:1],
            calls=("conv2", "conv1", "image"),
            cosines=rng.random((1, 3, images, 2)),
        ),
        "patch_sufficiency": SimpleNamespace(
            methods=methods,
            patch_size=np.array([4, 6]),
            occluded=rng.random((num, images)),
            shown=rng.random((num, images)),
            random_occluded=rng.random((num, images, 3)),
            random_shown=rng.random((num, images, 3)),
        ),
        "insertion_deletion": SimpleNamespace(
            methods=(*methods, "random"),
            shares=np.array([0, 0.5, 1]),
            deletion=rng.random((num + 1, images, 3)),
            insertion=rng.random((num + 1, images, 3)),
            deletion_area=rng.random((num + 1, images)),
            insertion_area=rng.random((num + 1, images)),
        ),
    }
    kept = {name: found[name] if name in checks else None for name in CHECKS}
    return SimpleNamespace(methods=methods, activations=np.ones(images), **kept)


def panels(figure):
    """`{title: axes}` of the panels."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}


def test_a_panel_for_each_number():
    report = fidelity()
    found = panels(fidelity_panels(report))
    assert list(found) == [
        "random from the top, absolute",
        "random from the top, signed",
        "one layer random, signed",
        "units and images, signed",
        "cosine of two random signals",
        "activation, occluded or alone",
        "activation during deletion",
        "activation during insertion",
    ]
    weights = report.weight_randomization
    for title, array, number in (
        ("random from the top, absolute", weights.cascading, 0),
        ("random from the top, signed", weights.cascading, 1),
        ("one layer random, signed", weights.independent, 1),
    ):
        for container, of_method in zip(found[title].containers, array, strict=True):
            means = of_method[..., number].mean(axis=1)
            np.testing.assert_allclose(container.lines[0].get_ydata(), means)
        names = [label.get_text() for label in found[title].get_xticklabels()]
        assert names == list(weights.layers)


def test_bars_and_curves():
    report = fidelity()
    found = panels(fidelity_panels(report))

    def heights(title):
        containers = found[title].containers
        return [[bar.get_height() for bar in c] for c in containers if hasattr(c, "patches")]

    bars = heights("units and images, signed")
    for row, pair in enumerate(bars):
        check = report.selectivity
        expected = [x[row, :, 1].mean() for x in (check.between_units, check.between_images)]
        np.testing.assert_allclose(pair, expected)
    *bars, random = heights("activation, occluded or alone")
    check = report.patch_sufficiency
    np.testing.assert_allclose(bars, np.transpose([check.occluded.mean(1), check.shown.mean(1)]))
    draws = (check.random_occluded, check.random_shown)
    np.testing.assert_allclose(random, [x.mean() for x in draws])
    axes = found["activation during deletion"]
    check = report.insertion_deletion
    for line, curves, areas in zip(axes.lines, check.deletion, check.deletion_area, strict=True):
        np.testing.assert_allclose(line.get_ydata(), curves.mean(axis=0))
        assert line.get_label().startswith(f"{areas.mean():.2f}")
    assert axes.lines[-1].get_label().endswith("random")


def test_cosines_are_medians_with_their_middle_half():
    report = fidelity()
    report.cosine_convergence.cosines[0, 2] = np.nan  # nothing arrives at the image
    axes = panels(fidelity_panels(report))["cosine of two random signals"]
    expected = np.median(report.cosine_convergence.cosines[0, :2].reshape(2, -1), axis=1)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv2", "conv1", "image"]


def test_maps_of_every_method():
    report = fidelity()
    figure = fidelity_panels(report)
    pictures = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    maps = report.weight_randomization.examples.reshape(-1, 9, 7)
    assert len(pictures) == len(maps) == 6
    for shown, strengths in zip(pictures, maps, strict=True):
        np.testing.assert_array_equal(shown, as_ink(strengths))
    texts = [text.get_text() for text in figure.texts]
    assert texts.count("random down to") == 2
    assert {"trained", "conv1", "deconvnet", "my_$method"} <= set(texts)


def test_ink():
    strengths = np.arange(202.0).reshape(2, 101)
    found = as_ink(strengths)
    assert found.shape == (2, 101, 3)
    assert found.dtype == "uint8"
    full = np.percentile(np.arange(1, 202), 99)
    expected = np.rint(255 * (1 - np.minimum(strengths / full, 1)))
    np.testing.assert_array_equal(found[..., 1], expected)
    assert (as_ink(np.zeros((3, 4))) == 255).all()


@pytest.mark.parametrize("check", CHECKS)
def test_one_check_alone(check):
    figure = fidelity_panels(fidelity(checks=(check,)))
    figure.canvas.draw()
    assert panels(figure)
    assert bool([axes for axes in figure.axes if axes.images]) == (check == CHECKS[0])


@pytest.mark.parametrize("methods", [METHODS, slow(("one",)), slow(tuple("abcdefgh"))])
def test_everything_is_on_the_page(methods):
    layers = tuple(f"block{i}_convolution{i}" for i in range(40))
    figure = fidelity_panels(fidelity(methods, layers), title="A title")
    figure.canvas.draw()
    boxes = np.array([axes.get_tightbbox().extents for axes in figure.axes])
    written = np.array([text.get_window_extent().extents for text in figure.texts])
    edges = np.concatenate([boxes, written])
    assert edges[:, :2].min() >= -1
    assert edges[:, 2].max() <= figure.bbox.width + 1
    assert edges[:, 3].max() <= figure.bbox.height + 1
    pairs = [(one, other) for i, one in enumerate(boxes) for other in boxes[:i]]
    overlaps = [
        (one, other)
        for one, other in pairs
        if (np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]) > 1).all()
    ]
    assert overlaps == []


def test_mean_and_error():
    mean, error = mean_and_error(np.array([[1, 2, 3, np.nan], [5, np.nan, np.nan, np.nan]]))
    np.testing.assert_allclose(mean, [2, 5])
    np.testing.assert_allclose(error, [1 / np.sqrt(3), 0])
    assert np.isnan(mean_and_error(np.full(3, np.nan))[0])


def test_caption():
    text = " ".join(t.get_text() for t in fidelity_panels(fidelity()).texts)
    assert "when the 4×6 pixels with" in text
    assert "Means over 5 images" in text
    bare = fidelity_panels(fidelity(checks=("selectivity",)), title="One title", caption="")
    assert [t.get_text() for t in bare.texts] == ["One title", *(f"— {m}" for m in METHODS)]


def test_a_report_without_checks():
    with pytest.raises(ValueError, match="Give a report with at least one check"):
        fidelity_panels(fidelity(checks=()))
