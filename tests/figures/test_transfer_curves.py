from types import SimpleNamespace

import numpy as np
import pytest

from kerasvis.figures import transfer_curves
from kerasvis.figures.transfer_curves import mean_and_deviation

LAYERS = ("pool1", "conv3", "pool5")


def transfer(layers=LAYERS, heads=("svm", "softmax"), per_class=(5, 15), folds=3, scratch=0):
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        layers=layers,
        heads=heads,
        per_class=np.array(per_class),
        accuracies=rng.random((len(layers), len(heads), len(per_class), folds)),
        scratch_accuracies=rng.random((len(per_class), scratch)),
        class_names=("ant", "bass"),
    )


def lines(axes):
    """`(places, heights, colour, line style)` of the curves, without their error bars."""
    drawn = [container.lines[0] for container in axes.containers]
    return [(*line.get_data(), line.get_color(), line.get_linestyle()) for line in drawn]


def test_a_learning_curve_for_each_layer_and_head():
    shown = transfer()
    curves = lines(transfer_curves(shown).axes[0])
    assert len(curves) == 6
    for number, (places, heights, _, _) in enumerate(curves):
        np.testing.assert_array_equal(places, [5, 15])
        expected = shown.accuracies[number // 2, number % 2].mean(axis=-1)
        np.testing.assert_allclose(heights, expected)
    colours = [tuple(colour) for _, _, colour, _ in curves]
    assert len(set(colours)) == 3
    assert colours[::2] == colours[1::2]
    assert [style for *_, style in curves] == ["-", "--"] * 3


def test_the_largest_training_set_layer_by_layer():
    shown = transfer()
    panel = transfer_curves(shown).axes[1]
    for head, (places, heights, _, _) in enumerate(lines(panel)):
        np.testing.assert_array_equal(places, [0, 1, 2])
        np.testing.assert_allclose(heights, shown.accuracies[:, head, -1].mean(axis=-1))
    assert [label.get_text() for label in panel.get_xticklabels()] == list(LAYERS)


def test_bars_are_standard_deviations():
    shown = transfer()
    bars = transfer_curves(shown).axes[1].containers[1].lines[2][0]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    folds = shown.accuracies[:, 1, -1]
    mean = folds.sum(axis=-1) / 3
    deviation = np.sqrt(((folds - mean[:, None]) ** 2).sum(axis=-1) / 2)
    np.testing.assert_allclose(ends, np.stack([mean - deviation, mean + deviation], axis=1))


def test_a_single_fold_has_no_deviation():
    mean, deviation = mean_and_deviation(np.array([[0.25], [0.75]]))
    np.testing.assert_array_equal(mean, [0.25, 0.75])
    np.testing.assert_array_equal(deviation, [0, 0])


def test_the_net_from_scratch():
    shown = transfer(scratch=3)
    figure = transfer_curves(shown)
    left, right = figure.axes
    np.testing.assert_allclose(lines(left)[-1][1], shown.scratch_accuracies.mean(axis=1))
    level = [line for line in right.lines if line.get_label() == "from scratch"]
    assert level[0].get_ydata()[0] == pytest.approx(shown.scratch_accuracies[-1].mean())
    assert "From scratch" in " ".join(text.get_text() for text in figure.texts)
    without = transfer_curves(transfer())
    assert "From scratch" not in " ".join(text.get_text() for text in without.texts)


def test_long_names_stand_upright_and_stay_on_the_page():
    names = tuple(f"block{number}/a_long_name_$of_a_layer" for number in range(9))
    for layers, rotation in ((names, 90), (LAYERS, 0)):
        figure = transfer_curves(transfer(layers=layers), title="Caltech-101")
        figure.canvas.draw()
        labels = figure.axes[1].get_xticklabels()
        assert {label.get_rotation() for label in labels} == {rotation}
        caption_top = max(
            text.get_window_extent().y1 for text in figure.texts if text.get_text() != "Caltech-101"
        )
        assert min(label.get_window_extent().y0 for label in labels) > caption_top


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (
            transfer(layers=()),
            r"accuracies of shape \(0, 2, 2, folds\).* Received: shape \(0, 2, 2, 3\)",
        ),
        (
            transfer(folds=0),
            r"accuracies of shape \(3, 2, 2, folds\).* Received: shape \(3, 2, 2, 0\)",
        ),
        (
            SimpleNamespace(**vars(transfer()) | {"scratch_accuracies": np.zeros((3, 1))}),
            r"accuracies from scratch of shape \(2, folds\). Received: shape \(3, 1\)",
        ),
    ],
)
def test_what_cannot_be_drawn(shown, sentence):
    with pytest.raises(ValueError, match=sentence):
        transfer_curves(shown)
