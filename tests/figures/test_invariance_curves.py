from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from kerasvis.figures.invariance_curves import (
    COLOURS,
    image_styles,
    invariance_curves,
    value_text,
)

VALUES = {"translation": [-4, 0, 6], "scale": [1, 1.4], "rotation": [0, 90, 180, 350]}


def curves(name, layers, images, channels=3, size=(13, 9)):
    rng = np.random.default_rng(len(name))
    values = np.array(VALUES[name], "float64")
    shown = values[[0, -1]]
    return SimpleNamespace(
        transformation=name,
        values=values,
        distances=1000 * rng.random((layers, images, len(values))),
        probabilities=rng.random((images, len(values))),
        example_values=shown,
        examples=rng.integers(0, 256, (min(images, 5), 2, *size, channels)).astype("uint8"),
    )


def invariance(layers=("conv1", "fc7"), images=3, names=tuple(VALUES), **options):
    parts = tuple(curves(name, len(layers), images, **options) for name in names)
    return SimpleNamespace(layers=layers, curves=parts, activation="", measure="probability")


def panels(figure):
    """The axes with curves, row by row."""
    return [axes for axes in figure.axes if axes.get_xlabel()]


def images(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_a_row_for_each_transformation():
    shown = invariance()
    figure = invariance_curves(shown)
    rows = np.reshape(panels(figure), (3, 3))
    labels = ["vertical translation (pixels)", "scale (factor)", "rotation (degrees)"]
    for row, parts, label in zip(rows, shown.curves, labels, strict=True):
        assert {axes.get_xlabel() for axes in row} == {label}
        for axes, expected in zip(row, [*parts.distances, parts.probabilities], strict=True):
            untransformed, *lines = axes.lines
            assert set(untransformed.get_xdata()) == {1 if "scale" in label else 0}
            for line, values in zip(lines, expected, strict=True):
                np.testing.assert_array_equal(line.get_xdata(), parts.values)
                np.testing.assert_array_equal(line.get_ydata(), values)
            low, high = axes.get_ylim()
            assert low == 0
            assert high > expected.max()
        assert row[-1].get_ylim()[1] == pytest.approx(1.03)
    assert {"distance, conv1", "distance, fc7", "probability"} <= set(texts(figure))


def test_rows_and_columns_do_not_overlap():
    figure = invariance_curves(invariance(images=12), title="A title")
    figure.canvas.draw()
    rows = np.reshape(panels(figure), (3, 3))
    boxes = np.array([[axes.get_tightbbox().extents for axes in row] for row in rows])
    assert (boxes[:, :-1, 2] < boxes[:, 1:, 0]).all()  # right of one, left of the next
    assert (boxes[:-1, :, 1] > boxes[1:, :, 3]).all()  # bottom of one, top of the next
    pictures = np.array([image.get_window_extent().extents for image in images(figure)])
    assert pictures[:, 2].max() < boxes[:, 0, 0].min()
    written = [text.get_window_extent().extents for text in figure.texts]
    edges = np.array([*boxes.reshape(-1, 4), *written])
    assert edges[:, :2].min() >= 0
    assert edges[:, 2].max() <= figure.bbox.width
    assert edges[:, 3].max() <= figure.bbox.height
    legend_top = max(
        text.get_window_extent().y1 for text in figure.texts if "image 11" in text.get_text()
    )
    assert legend_top < boxes[:, :, 1].min()


def test_examples_in_the_colours_of_the_curves():
    shown = invariance(images=7)
    figure = invariance_curves(shown)
    expected = [x for parts in shown.curves for of_image in parts.examples for x in of_image]
    for image, pixels in zip(images(figure), expected, strict=True):
        np.testing.assert_array_equal(image.get_array(), pixels)
        box = image.axes.get_window_extent()
        assert box.height / box.width == pytest.approx(13 / 9, rel=1e-3)
    strokes = [axes.lines[0].get_color() for axes in figure.axes if len(axes.lines) == 1]
    colours = [to_rgb(colour) for colour in COLOURS]
    legend = colours[:7]
    assert [to_rgb(colour) for colour in strokes] == [*colours[:5] * 3, *legend]
    lines = panels(figure)[0].lines[1:]
    assert [to_rgb(line.get_color()) for line in lines] == legend
    assert texts(figure).count("−4") == 1
    assert texts(figure).count("350°") == 1


def test_grey_examples():
    figure = invariance_curves(invariance(channels=1))
    assert images(figure)[0].get_array().shape == (13, 9)


def test_more_images_than_colours():
    styles = [tuple(image_styles(number).values()) for number in range(40)]
    assert len(set(styles)) == 40


def test_names_stand_in_the_legend():
    figure = invariance_curves(invariance(), ["Shih_Tzu", "$5", "tower"])
    assert {"Shih_Tzu", "$5", "tower"} <= set(texts(figure))
    assert {"image 0", "image 1", "image 2"} <= set(texts(invariance_curves(invariance())))


def test_more_layers_make_a_wider_figure():
    narrow = invariance_curves(invariance())
    wide = invariance_curves(invariance(layers=("a", "b", "c", "d")))
    assert narrow.get_figwidth() == pytest.approx(7.2, abs=0.01)
    assert wide.get_figwidth() > narrow.get_figwidth() + 2
    assert len(panels(wide)) == 3 * 5


def test_value_text():
    assert value_text("translation", -61.0) == "−61"
    assert value_text("scale", 1.4) == "×1.4"
    assert value_text("rotation", 350.0) == "350°"


def test_title_and_caption():
    figure = invariance_curves(invariance(), title="One title", caption="")
    assert "One title" in texts(figure)
    assert not any("Euclidean" in text for text in texts(figure))
    assert any("Euclidean" in text for text in texts(invariance_curves(invariance())))


def broken(**changes):
    shown = invariance(names=("scale",))
    vars(shown.curves[0]).update(changes)
    return shown


@pytest.mark.parametrize(
    ("shown", "names", "sentence"),
    [
        (invariance(names=()), None, "Received: 0 transformations, 2 layers"),
        (invariance(layers=()), None, "Received: 3 transformations, 0 layers"),
        (
            broken(distances=np.zeros((1, 3, 2))),
            None,
            r"distances of shape \(2, 3, 2\) .* for scale, none of them 0. Received: shapes "
            r"\(1, 3, 2\) and \(3, 2\)",
        ),
        (
            broken(examples=np.zeros((2, 5, 5, 3))),
            None,
            r"for scale. Received: shape \(2, 5, 5, 3\)",
        ),
        (invariance(), ["a"], "each of the 3 images. Received: 1 name"),
    ],
)
def test_what_cannot_be_drawn(shown, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        invariance_curves(shown, names)


def test_what_the_output_was_taken_for_is_told():
    shown = invariance()
    shown.activation = "sigmoid of the model's logits"
    words = " ".join(texts(invariance_curves(shown)))
    assert "of the true class, taken as sigmoid of the model's logits." in words


def test_other_measures_have_their_own_range():
    shown = invariance()
    shown.measure = "summed probability"
    for parts in shown.curves:
        parts.probabilities = 40 * parts.probabilities
    figure = invariance_curves(shown)
    assert "summed probability" in texts(figure)
    assert np.reshape(panels(figure), (3, 3))[0, -1].get_ylim()[1] > 20
