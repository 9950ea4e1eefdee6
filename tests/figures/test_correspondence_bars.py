from types import SimpleNamespace

import numpy as np
import pytest

from kerasvis.figures.correspondence_bars import correspondence_bars, mean_and_deviation

PARTS = ("right eye", "nose_$", "left eye")


def correspondence(layers=("conv5", "fc_7"), parts=PARTS, draws=4, **changes):
    rng = np.random.default_rng(0)
    shape = (len(layers), len(parts))
    arrays = {
        "delta": rng.random(shape) / 9,
        "random_delta": rng.random((*shape, draws)) / 9,
        "opposition": rng.random(shape),
        "random_opposition": rng.random((*shape, draws)),
    }
    boxes = np.zeros((len(parts), 5, 4))
    return SimpleNamespace(layers=layers, parts=parts, boxes=boxes, **(arrays | changes))


def lengths(axes):
    """Of the bars of parts and of random boxes."""
    of_parts, of_random = (
        [patch.get_width() for patch in container.patches]
        for container in axes.containers
        if hasattr(container, "patches")
    )
    return of_parts, of_random


def numbers(axes):
    return [text.get_text() for text in axes.texts]


def test_two_bars_for_each_part():
    shown = correspondence()
    figure = correspondence_bars(shown)
    assert len(figure.axes) == 4  # layer by layer
    for place, axes in zip(np.ndindex(2, 2), figure.axes, strict=True):
        layer, name = place[0], ("delta", "opposition")[place[1]]
        of_parts, of_random = lengths(axes)
        np.testing.assert_allclose(of_parts, getattr(shown, name)[layer])
        draws = getattr(shown, f"random_{name}")[layer]
        np.testing.assert_allclose(of_random, draws.mean(axis=-1))
        expected = []
        for part in range(3):
            deviation = draws[part].std(ddof=1)
            expected.append(f"{of_parts[part]:.3f}")
            expected.append(f"{draws[part].mean():.3f} ± {deviation:.3f}")
        assert numbers(axes) == expected
        assert axes.get_ylim() == (2.5, -0.5), "the first part is on top"
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(PARTS)
    assert [figure.axes[i].get_title(loc="left") for i in (0, 2)] == ["conv5", "fc_7"]


def test_whiskers_are_standard_deviations():
    shown = correspondence()
    axes = correspondence_bars(shown).axes[0]
    bars = next(c.errorbar for c in axes.containers if getattr(c, "errorbar", None))
    ends = np.array([segment[:, 0] for segment in bars.lines[2][0].get_segments()])
    draws = shown.random_delta[0]
    mean = draws.sum(axis=-1) / 4
    deviation = np.sqrt(((draws - mean[:, None]) ** 2).sum(axis=-1) / 3)
    np.testing.assert_allclose(ends, np.stack([mean - deviation, mean + deviation], axis=1))


def test_layers_share_a_scale():
    shown = correspondence()
    shown.delta[1] *= 10
    axes = correspondence_bars(shown).axes
    assert axes[0].get_xlim() == axes[2].get_xlim()
    assert axes[0].get_xlim()[1] > shown.delta.max()


def test_everything_is_on_the_page():
    shown = correspondence(parts=("a part with a rather long name", "nose"))
    figure = correspondence_bars(shown, title="A title")
    figure.canvas.draw()
    boxes = np.array([axes.get_tightbbox().extents for axes in figure.axes])
    written = np.array([text.get_window_extent().extents for text in figure.texts])
    edges = np.concatenate([boxes, written])
    assert edges[:, :2].min() >= 0
    assert edges[:, 2].max() <= figure.bbox.width
    assert edges[:, 3].max() <= figure.bbox.height
    left, right = boxes[:2], boxes[2:]
    assert (left[:, 2] < right[:, 0]).all()
    assert boxes[0, 1] > boxes[1, 3]
    caption_top = max(e[3] for e in written if e[3] < figure.bbox.height / 2)
    assert caption_top < boxes[:, 1].min()


def test_a_single_draw_has_no_deviation():
    mean, deviation = mean_and_deviation(np.array([[0.25], [0.75]]))
    np.testing.assert_array_equal(mean, [0.25, 0.75])
    np.testing.assert_array_equal(deviation, [0, 0])
    texts = [text.get_text() for text in correspondence_bars(correspondence(draws=1)).texts]
    assert any("one sample" in text for text in texts)


def test_draws_without_a_number_do_not_count():
    mean, deviation = mean_and_deviation(
        [[0.25, np.nan, 0.75], [np.nan, 0.5, np.nan], [np.nan] * 3]
    )
    np.testing.assert_array_equal(mean, [0.5, 0.5, np.nan])
    np.testing.assert_allclose(deviation, [np.std([0.25, 0.75], ddof=1), 0, np.nan], rtol=1e-12)


def test_what_is_undefined_is_said_to_be_none():
    shown = correspondence(layers=("conv5",))
    shown.opposition[:] = np.nan
    shown.random_opposition[:, 1] = np.nan
    texts = numbers(correspondence_bars(shown).axes[1])
    assert [text == "none" for text in texts] == [True, False, True, True, True, False]
    shown.random_opposition[:] = np.nan
    assert numbers(correspondence_bars(shown).axes[1]) == ["none"] * 6


def test_caption():
    texts = " ".join(text.get_text() for text in correspondence_bars(correspondence()).texts)
    assert "all pairs of images" in texts
    assert "occluded in 5 images" in texts
    assert "mean ± standard deviation of 4 samples" in texts
    bare = correspondence_bars(correspondence(), title="One title", caption="")
    assert [text.get_text() for text in bare.texts] == ["One title"]


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (
            correspondence(parts=()),
            r"Received: shapes \(2, 0\) and \(2, 0, 4\)",
        ),
        (
            correspondence(opposition=np.zeros((2, 2))),
            r"Give opposition of shape \(2, 3\) and random_opposition of shape \(2, 3, draws\), "
            r"none of them 0. Received: shapes \(2, 2\) and \(2, 3, 4\)",
        ),
        (correspondence(draws=0), r"Received: shapes .* and \(2, 3, 0\)"),
    ],
)
def test_what_cannot_be_drawn(shown, sentence):
    with pytest.raises(ValueError, match=sentence):
        correspondence_bars(shown)
