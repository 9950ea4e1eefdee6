from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.text import Text

from kerasvis.figures import ablation_chart
from kerasvis.figures.ablation_chart import standard_errors

NAMES = ("none", "without layers 3, 4", "layers 6, 7 of 2048")
PAPER = {
    "replica": {"none": (35.1, 40.5, 18.1), "layers 6, 7 of 2048": (40.3, 41.7, 18.8)},
    "Figure 3 net": {"none": (33.1, 38.4, 16.5)},
}


def ablation(names=NAMES, **changes):
    rng = np.random.default_rng(0)
    num = len(names)
    fields = {
        "variants": names,
        "train_errors": rng.uniform(0, 100, (num, 2)),
        "validation_errors": rng.uniform(0, 100, (num, 2)),
        "num_parameters": rng.integers(10**3, 10**7, num),
        "seconds": rng.uniform(0, 5000, num),
        "num_images": (15000, 1500),
        "num_classes": 30,
        "num_epochs": 12,
    }
    return SimpleNamespace(**fields | changes)


def dots(axes):
    """`{label: (errors, rows)}`."""
    lines = {line.get_label(): line for line in axes.lines}
    named = ("training images, top-1", "validation images, top-1", "validation images, top-5")
    return {name: lines[name].get_data() for name in named}


def test_errors_of_this_run():
    shown = ablation()
    drawn = dots(ablation_chart(shown).axes[0])
    expected = [shown.train_errors[:, 0], *shown.validation_errors.T]
    for (errors, rows), values in zip(drawn.values(), expected, strict=True):
        np.testing.assert_array_equal(errors, values)
        np.testing.assert_array_equal(rows, [0, 1, 2])


def test_errors_of_the_paper_stand_in_the_rows_of_their_variants():
    figure = ablation_chart(ablation(), PAPER)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["this run", "paper: replica", "paper: Figure 3 net"]
    train, top_1, top_5 = (errors for errors, _ in dots(figure.axes[1]).values())
    np.testing.assert_array_equal(train, [35.1, np.nan, 40.3])
    np.testing.assert_array_equal(top_1, [40.5, np.nan, 41.7])
    np.testing.assert_array_equal(top_5, [18.1, np.nan, 18.8])
    np.testing.assert_array_equal(
        dots(figure.axes[2])["validation images, top-1"][0], [38.4, np.nan, np.nan]
    )


def test_bars_are_two_standard_errors():
    errors = np.array([[50.0, 10.0], [20.0, 0.0], [100.0, 36.0]])
    axes = ablation_chart(ablation(validation_errors=errors, num_images=(9, 100))).axes[0]
    for container, centres, deviations in zip(
        axes.containers, errors.T, ([5, 4, 0], [3, 0, 4.8]), strict=True
    ):
        ends = [segment[:, 0] for segment in container.lines[2][0].get_segments()]
        expected = np.transpose([centres, centres]) + 2 * np.outer(deviations, (-1, 1))
        np.testing.assert_allclose(ends, expected)


def test_standard_errors():
    """Of 400 images of which a fifth is wrong: 2 points."""
    np.testing.assert_allclose(standard_errors([20, 0, 50], 400), [2, 0, 2.5])


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_columns():
    shown = ablation(num_parameters=np.array([1234567, 8, 90]), seconds=np.array([1.4, 1e4, 2]))
    axes = ablation_chart(shown).axes[0]
    written = [(text.get_text(), text.xy[1]) for text in axes.texts if text.get_text()]
    assert written == [
        *zip(NAMES, range(3), strict=True),
        *zip(["parameters", "1,234,567", "8", "90"], range(-1, 3), strict=True),
        *zip(["seconds", "1", "10,000", "2"], range(-1, 3), strict=True),
    ]


def test_chance_and_the_net_itself():
    shown = ablation(num_classes=4)
    lines = {line.get_linestyle(): line for line in ablation_chart(shown).axes[0].lines}
    assert lines["--"].get_xdata()[0] == pytest.approx(75)
    assert lines["-"].get_xdata()[0] == shown.validation_errors[0, 0]


def test_caption_and_title():
    alone = " ".join(texts(ablation_chart(ablation())))
    assert (
        "for 12 epochs on 15,000 training images of 30 classes, with 1,500 validation images."
        in alone
    )
    assert "ImageNet" not in alone
    assert "1 epoch on" in " ".join(texts(ablation_chart(ablation(num_epochs=1))))
    beside = " ".join(texts(ablation_chart(ablation(), PAPER)))
    assert "1000 classes of ImageNet: compare their pattern" in beside
    assert texts(ablation_chart(ablation(), title="Layers", caption="")) == ["Layers"]


@pytest.mark.parametrize("paper", [None, PAPER])
def test_everything_is_on_the_page_and_nothing_overlaps(paper):
    names = (*NAMES, "a net with a $long_name$ and no layers at all")
    figure = ablation_chart(ablation(names), paper, title="Layers")
    figure.canvas.draw()
    page = figure.bbox
    written = [child for axes in figure.axes for child in axes.get_children()] + figure.texts
    written = [child for child in written if isinstance(child, Text) and child.get_text()]
    boxes = [child.get_window_extent() for child in [*written, *figure.legends]]
    panels = [axes.get_tightbbox() for axes in figure.axes[1:]]
    for box in boxes + panels:
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (ablation(()), r"at least one variant. Received: variants=\(\)"),
        (
            ablation(train_errors=np.zeros(3)),
            r"Give train_errors of shape \(3, 2\). Received: shape \(3,\)",
        ),
        (ablation(seconds=np.zeros(2)), r"Give seconds of shape \(3,\). Received: shape \(2,\)"),
    ],
)
def test_what_cannot_be_drawn(shown, sentence):
    with pytest.raises(ValueError, match=sentence):
        ablation_chart(shown)
