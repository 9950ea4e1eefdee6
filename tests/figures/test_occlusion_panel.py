import dataclasses
import re
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from kerasvis.figures import OcclusionRow, occlusion_overlay, occlusion_panel, signed_to_rgb
from kerasvis.figures.colour_scale import COLOURS, ColourScale, three_digits
from kerasvis.figures.label_map import label_counts, label_pixels, nearest
from kerasvis.figures.occlusion_row import shortened
from kerasvis.figures.page import LABEL, text_width
from tests.figures.shown import extents, pixels, texts
from tests.marks import few, slow

IMAGE_SIZE = (30, 44)


def result(image_size=IMAGE_SIZE, patch_size=(8, 6), strides=(4, 6), region=None, seed=0, **fields):
    """What `occlusion_sensitivity` returns, of noise."""
    top, left, bottom, right = region or (0, 0, *image_size)
    tops = np.arange(top, bottom - patch_size[0] + 1, strides[0])
    lefts = np.arange(left, right - patch_size[1] + 1, strides[1])
    boxes = [[(t, le, t + patch_size[0], le + patch_size[1]) for le in lefts] for t in tops]
    rng = np.random.default_rng(seed)
    shape = (len(tops), len(lefts))

    def heat_map(values):
        pixels = np.full(image_size, np.nan)
        for row, column in np.ndindex(image_size):
            covering = [
                values[place]
                for place in np.ndindex(shape)
                if tops[place[0]] <= row < tops[place[0]] + patch_size[0]
                and lefts[place[1]] <= column < lefts[place[1]] + patch_size[1]
            ]
            if covering:
                pixels[row, column] = np.mean(covering)
        return pixels

    made = SimpleNamespace(
        probability=rng.random(shape).astype("float32"),
        label=rng.integers(0, 3, shape),
        activity=(5 + 20 * rng.random(shape)).astype("float32"),
        base_probability=0.75,
        base_label=2,
        base_activity=31.5,
        class_index=2,
        layer="conv_$5$",
        feature_index=17,
        projection=rng.normal(size=(*image_size, 3)).astype("float32"),
        boxes=np.array(boxes, "int32"),
        image_size=image_size,
        patch_size=patch_size,
        strides=strides,
        heat_map=heat_map,
        activation="",
        measure="probability",
        projection_reason="",
    )
    vars(made).update(fields)
    return made


def row(of=None, **fields):
    of = of or result()
    pixels = np.random.default_rng(1).integers(0, 256, (*of.image_size, 3)).astype("uint8")
    return OcclusionRow(of, pixels, **fields)


NAMES = {0: "tabby", 2: "Egyptian cat"}


def test_a_shows_the_occluder_to_scale_where_the_probability_is_lowest():
    shown = row()
    shown.result.probability[1, 4] = -1
    image = pixels(occlusion_panel(shown), "row 0 a")
    covered = np.zeros(IMAGE_SIZE, bool)
    covered[4:12, 24:30] = True
    assert np.all(image[covered] == 128)
    np.testing.assert_array_equal(image[~covered], shown.pixels[~covered])
    assert not np.all(shown.pixels[covered] == 128)


@pytest.mark.parametrize(
    ("letter", "field", "low", "high"), [("d", "probability", 0, 1), ("b", "activity", 5, 31.5)]
)
def test_heat_maps_are_the_means_over_the_windows_in_the_colours_of_the_bar(
    letter, field, low, high
):
    shown = row(result(patch_size=(6, 8), strides=(4, 4)))
    getattr(shown.result, field)[0, :2] = low, high
    figure = occlusion_panel(shown)
    shares = (shown.result.heat_map(getattr(shown.result, field)) - low) / (high - low)
    actual, bar = pixels(figure, f"row 0 {letter}"), pixels(figure, f"row 0 {letter} bar")
    assert actual.shape == (*IMAGE_SIZE, 3)
    np.testing.assert_allclose(actual, 255 * COLOURS(shares)[..., :3], atol=1)
    np.testing.assert_allclose(bar, 255 * COLOURS(np.arange(256))[None, :, :3], atol=1)
    left, right = extents(figure)[f"row 0 {letter} bar"][:2]
    mark = np.mean(extents(figure)[f"row 0 {letter} bar mark"][:2])
    base = getattr(shown.result, f"base_{field}")
    assert (mark - left) / (right - left) == pytest.approx((base - low) / (high - low))


def test_scales_say_their_ends_and_units():
    of = result(probability=np.full((6, 7), 0.25, "float32"), base_probability=0.123)
    of.activity[2, 2] = 1.5
    found = texts(occlusion_panel(row(of)))
    for expected in ("1.5", "31.5", "activity", "0", "0.25", "probability"):
        assert expected in found
    of = result(probability=np.full((6, 7), 0.25, "float32"), base_probability=0.375)
    assert {"0", "0.375"} <= set(texts(occlusion_panel(row(of))))


def test_colours_of_probabilities_begin_at_0_so_that_small_differences_look_small():
    of = result(patch_size=(6, 8), strides=(4, 4), base_probability=0.5)
    of.probability[:] = np.linspace(0.499, 0.5, of.probability.size).reshape(of.probability.shape)
    colours = pixels(occlusion_panel(row(of)), "row 0 d").reshape(-1, 3).astype(int)
    assert np.ptp(colours, axis=0).max() <= 8


def test_probabilities_of_0_are_shown_from_0_to_1():
    of = result(probability=np.zeros((6, 7), "float32"), base_probability=np.float32(0))
    assert {"0", "1"} <= set(texts(occlusion_panel(row(of))))


def test_scale_of_equal_values_is_one_unit_wide():
    scale = ColourScale.of([3.0, 3.0], "activity")
    assert scale == ColourScale(3.0, 4.0, "activity")
    np.testing.assert_array_equal(scale.shares([2.0, 3.0, 3.25, 9.0]), [0, 0, 0.25, 1])


def test_pixels_that_no_occluder_covers_are_light_grey():
    shown = row(result(region=(4, 10, 24, 40)))
    covered = np.zeros(IMAGE_SIZE, bool)
    covered[4:24, 10:40] = True
    figure = occlusion_panel(shown)
    for letter in "bde":
        is_grey = np.all(pixels(figure, f"row 0 {letter}") == 232, axis=-1)
        np.testing.assert_array_equal(is_grey, ~covered)
    assert "Light grey: pixels that are never occluded." in " ".join(texts(figure))
    whole = occlusion_panel(row(result(patch_size=(6, 8), strides=(4, 4))))
    assert "Light grey" not in " ".join(texts(whole))


def test_labels_lie_where_the_centre_of_the_occluder_was():
    """Non-overlapping occluders: every one has its own pixels."""
    of = result(image_size=(12, 20), patch_size=(4, 5), strides=(4, 5))
    of.label = np.arange(12).reshape(3, 4) % 3
    colours = {label: colour for label, (colour, _) in label_counts(of).items()}
    expected = np.zeros((12, 20, 3), "uint8")
    for row_number, column_number in np.ndindex(12, 20):
        expected[row_number, column_number] = colours[of.label[row_number // 4, column_number // 5]]
    np.testing.assert_array_equal(label_pixels(of), expected)


def test_nearest_by_hand():
    np.testing.assert_array_equal(nearest(np.array([2.0, 5.0]), 7), [0, 0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(nearest(np.array([3.0]), 3), [0, 0, 0])


def test_the_correct_class_comes_first_in_its_own_colour():
    of = result(label=np.array([[5, 5, 5], [9, 9, 2]]))
    assert label_counts(of) == {
        2: ((0, 114, 178), 1),
        5: ((230, 159, 0), 3),
        9: ((0, 158, 115), 2),
    }
    of.class_index = 7  # nowhere: its colour stays free
    counts = label_counts(of)
    assert list(counts) == [5, 9, 2]
    assert (0, 114, 178) not in [colour for colour, _ in counts.values()]


@pytest.mark.parametrize(("class_index", "first"), [(11, 11), (99, 0)])
def test_rare_labels_are_other(class_index, first):
    labels = np.repeat(np.arange(12), np.arange(13, 1, -1)).reshape(6, 15)
    counts = label_counts(result(label=labels, class_index=class_index))
    assert next(iter(counts)) == first
    assert len(counts) == 7
    assert sum(count for _, count in counts.values()) == 90
    assert len({colour for colour, _ in counts.values()}) == 7
    assert counts[None][1] == 90 - sum(range(13, 7, -1)) + (8 - 2 if class_index == 11 else 0)


def test_rare_labels_are_drawn_in_the_grey_of_other():
    of = result()
    of.label = np.arange(of.label.size).reshape(of.label.shape)
    grey = np.all(label_pixels(of) == 150, axis=-1)
    assert 0 < grey.sum() < grey.size
    assert "row 0 legend other" in extents(occlusion_panel(row(of)))


def test_legend_names_the_labels_with_their_shares():
    of = result(label=np.repeat([0, 1, 2], [21, 14, 7]).reshape(6, 7))
    figure = occlusion_panel(row(of, class_names=NAMES))
    assert {"tabby 50 %", "class 1 33 %", "Egyptian cat 17 %"} <= set(texts(figure))
    assert "without: Egyptian cat" in texts(figure)
    assert "of Egyptian cat" in texts(figure)
    styles = {text.get_text(): text.get_fontweight() for text in figure.axes[0].texts}
    assert styles["Egyptian cat 17 %"] == "bold"
    assert styles["tabby 50 %"] == "normal"
    for label, colour in {"tabby": (230, 159, 0), "Egyptian cat": (0, 114, 178)}.items():
        np.testing.assert_array_equal(pixels(figure, f"row 0 legend {label}"), [[colour]])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["class 0", "class 3"]),
        (["ant", "bee"], ["ant", "class 3"]),
        ({3: "cat"}, ["class 0", "cat"]),
    ],
)
def test_class_names(names, expected):
    named = row(class_names=names)
    assert [named.name(np.int64(0)), named.name(3)] == expected


def test_projection_is_framed_beside_those_of_other_images():
    rng = np.random.default_rng(3)
    others = [rng.normal(size=(20, 10, 3)), rng.normal(size=(7, 7, 1))]
    shown = row(other_projections=others)
    figure = occlusion_panel(shown)
    frame, own = (extents(figure)[f"row 0 c 0{part}"] for part in (" frame", ""))
    assert np.subtract(own, frame) == pytest.approx((0.02, -0.02, -0.02, 0.02))
    found = [label for label in extents(figure) if label.startswith("row 0 c")]
    assert found == ["row 0 c 0 frame", "row 0 c 0", "row 0 c 1", "row 0 c 2"]
    for number, projection in enumerate([shown.result.projection, *others]):
        whole = pixels(figure, f"row 0 c {number}")
        times = whole.shape[0] // projection.shape[0]
        np.testing.assert_array_equal(whole[::times, ::times], signed_to_rgb(projection))
    alone = extents(occlusion_panel(row()))["row 0 c 0 frame"]
    assert alone[2] - alone[3] == pytest.approx(1.1 * 30 / 44)


def test_panels_that_no_row_has_are_left_out():
    bare = row(result(activity=None, projection=None))
    assert [t[:3] for t in texts(occlusion_panel(bare, caption="")) if t[0] == "("] == [
        "(a)",
        "(d)",
        "(e)",
    ]
    both = occlusion_panel([bare, row()])
    assert {"row 1 b", "row 1 c 0"} <= set(extents(both))
    assert not {"row 0 b", "row 0 c 0"} & set(extents(both))
    assert extents(both)["row 0 d"][:2] == extents(both)["row 1 d"][:2]


@pytest.mark.parametrize("image_size", few([(30, 44), (60, 16), (40, 40), (16, 60)]))
@pytest.mark.parametrize("num_others", few([0, 1, 3]))
def test_pictures_stay_apart_inside_the_page_and_in_shape(image_size, num_others):
    others = [np.ones((9, 5, 3)), np.ones((5, 9, 3)), np.ones((30, 30, 3))][:num_others]
    shown = row(result(image_size), class_names=NAMES, title="One", other_projections=others)
    figure = occlusion_panel([shown, row()], title="Both")
    width, height = figure.get_size_inches()
    assert width == pytest.approx(7.2, abs=0.05)
    placed = {
        label: extent
        for label, extent in extents(figure).items()
        if not label.endswith(("frame", "mark"))
    }
    for number, (left, right, bottom, top) in enumerate(placed.values()):
        assert 0 < left < right < width
        assert 0 < top < bottom < height
        for other in [*placed.values()][:number]:
            assert right < other[0] or left > other[1] or bottom < other[3] or top > other[2]
    panels = [placed[f"row 0 {letter}"] for letter in "abde"]
    for left, right, bottom, top in panels:
        assert (bottom - top, right - left) == pytest.approx(
            np.array(image_size) / max(image_size) * 1.1
        )
        assert top == pytest.approx(panels[0][3])


@pytest.mark.parametrize("dpi", [72, slow(100), slow(300)])
def test_all_text_lies_inside_the_page_and_apart(dpi):
    long = {number: f"a name that is long enough to be cut, number {number}" for number in range(3)}
    shown = row(
        result(layer="outer/inner/block_of_long_name_conv"), class_names=long, title="A " * 150
    )
    figures = [occlusion_panel([shown, row()]), occlusion_overlay(shown.result, shown.pixels)]
    for figure in figures:
        figure.set_dpi(dpi)
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        for number, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
            for other in boxes[:number]:
                is_beside = box.x1 <= other.x0 or box.x0 >= other.x1
                # Lines of text are a little closer than the boxes of their fonts.
                assert is_beside or box.y1 <= other.y1 - 1 or other.y1 <= box.y1 - 1


def test_a_sweep_of_one_position():
    of = result(patch_size=(8, 6), strides=(40, 60))
    assert of.probability.shape == (1, 1)
    of.activity[:] = of.base_activity
    figure = occlusion_panel(row(of))
    image = pixels(figure, "row 0 d")
    is_grey = np.all(image == 232, axis=-1)
    assert not is_grey[:8, :6].any()
    assert is_grey.sum() == 30 * 44 - 48
    assert {"31.5", "32.5"} <= set(texts(figure))


def test_a_long_name_ends_in_an_ellipsis():
    assert shortened("tabby", 1.0, LABEL) == "tabby"
    cut = shortened("jaguar, panther, Panthera onca", 0.6, LABEL)
    assert cut.endswith("…")
    assert "jaguar, panther".startswith(cut[:-1])
    assert text_width(cut, LABEL) <= 0.6 < text_width(f"{cut}, i", LABEL)
    assert shortened("tabby", 0.001, LABEL) == "…"


def test_title_and_caption():
    figure = occlusion_panel(row(title="chelsea"), title="ZFNet", caption="Six.")
    assert texts(figure)[0] == "ZFNet"
    assert "chelsea" in texts(figure)
    assert texts(figure)[-1] == "Six."
    text = " ".join(texts(occlusion_panel(row())))
    assert "Colour of a pixel: mean over the occluder positions that contain it." in text
    assert "each scaled by the 99th percentile of its pixel strengths" in text
    assert "(c)" not in " ".join(texts(occlusion_panel(row(result(projection=None)))))


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
@pytest.mark.parametrize("draw", [occlusion_panel, lambda r: occlusion_overlay(r.result, r.pixels)])
def test_saves_whatever_style_the_user_has_set(tmp_path, suffix, draw):
    style = {"image.origin": "lower", "figure.constrained_layout.use": True, "text.color": "red"}
    with matplotlib.rc_context({**style, "figure.facecolor": "black", "image.cmap": "jet"}):
        draw(row()).savefig(tmp_path / f"figure.{suffix}")
    assert (tmp_path / f"figure.{suffix}").stat().st_size > 1000


def test_overlay_mixes_colours_with_the_photograph_in_grey():
    of = result(region=(4, 10, 24, 40))
    photograph = row(of).pixels
    figure = occlusion_overlay(of, photograph, class_name="tabby", opacity=0.25)
    assert texts(figure)[:3] == [
        "image",
        "probability of tabby",
        "activity of conv_$5$, feature 17",
    ]
    np.testing.assert_array_equal(pixels(figure, "image"), photograph)
    grey = (0.299 * photograph[..., 0] + 0.587 * photograph[..., 1]) + 0.114 * photograph[..., 2]
    values = of.heat_map(of.probability) / of.probability.max()
    actual = pixels(figure, "probability")
    for place in np.ndindex(IMAGE_SIZE):
        colour = 255 * np.array(COLOURS(values[place])[:3])
        is_covered = 4 <= place[0] < 24 and 10 <= place[1] < 40
        expected = 0.25 * colour + 0.75 * grey[place] if is_covered else np.full(3, grey[place])
        np.testing.assert_allclose(actual[place], expected, atol=0.8)
    assert "Without colour: pixels that are never occluded." in " ".join(texts(figure))


def test_overlay_without_activity():
    of = result(activity=None, patch_size=(6, 8), strides=(4, 4))
    figure = occlusion_overlay(of, row(of).pixels, title="ZFNet")
    assert list(extents(figure)) == [
        "image",
        "probability",
        "probability bar",
        "probability bar mark",
    ]
    assert texts(figure)[:3] == ["ZFNet", "image", "probability of class 2"]
    assert f"{of.probability.max():.3g}" in texts(figure)
    assert "Without colour" not in " ".join(texts(figure))
    assert "summed" not in " ".join(texts(figure))


def test_nothing_is_left_open_in_pyplot():
    import matplotlib.pyplot as plt

    occlusion_panel(row())
    assert plt.get_fignums() == []


def with_value(field, place, value):
    array = getattr(result(), field).copy()
    array[place] = value
    return result(**{field: array})


WRONG = [
    (
        SimpleNamespace(label=0),
        "Received: a SimpleNamespace without probability, activity, base_prob",
    ),
    (
        result(probability=np.zeros(4)),
        "probabilities of shape (rows, columns), at least one of each. Received: shape (4,)",
    ),
    (result(probability=np.zeros((0, 4))), "at least one of each. Received: shape (0, 4)"),
    (result(label=np.zeros((2, 3))), "Received: label of shape (2, 3)"),
    (result(activity=np.zeros(3)), "Received: activity of shape (3,)"),
    (result(boxes=np.zeros((6, 7))), "Received: boxes of shape (6, 7)"),
    (
        with_value("probability", (1, 2), np.nan),
        "The values of probability contain NaN or infinity: look for",
    ),
    (
        with_value("activity", (0, 0), np.inf),
        "The values of activity contain NaN or infinity: look for NaN or",
    ),
    (with_value("boxes", (1, 1), (0, 0, 31, 4)), "Received: box [0, 0, 31, 4]"),
    (
        with_value("boxes", (1, 1), (5, 0, 5, 4)),
        "Received: box [5, 0, 5, 4]",
    ),
    (with_value("boxes", (1, 1), (-1, 0, 5, 4)), "Received: box [-1, 0, 5, 4]"),
]


@pytest.mark.parametrize(("wrong", "sentence"), WRONG)
def test_what_cannot_be_shown_is_refused(wrong, sentence):
    shown = dataclasses.replace(row(), result=wrong)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        occlusion_panel([row(), shown])
    with pytest.raises(ValueError, match=re.escape(sentence)):
        occlusion_overlay(wrong, shown.pixels)


@pytest.mark.parametrize("wrong", [np.zeros((44, 30, 3), "uint8"), np.zeros((*IMAGE_SIZE, 3))])
def test_another_image_is_refused(wrong):
    sentence = f"Received: {wrong.dtype} pixels of shape {wrong.shape}"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        occlusion_panel(OcclusionRow(result(), wrong))


def test_wrong_arguments_are_refused():
    with pytest.raises(
        ValueError, match=r"one OcclusionRow or a list of them. Received: rows=\[\]"
    ):
        occlusion_panel([])
    with pytest.raises(ValueError, match="Received: panel_size=0"):
        occlusion_panel(row(), panel_size=0)
    with pytest.raises(ValueError, match=r"at most 3 projections from other images. Received: 4"):
        occlusion_panel(row(other_projections=[np.ones((3, 3, 3))] * 4))
    for wrong in ({"opacity": 1.1}, {"opacity": -0.1}, {"photograph_size": 0}):
        with pytest.raises(ValueError, match="opacity from 0 to 1 and photograph_size above 0"):
            occlusion_overlay(result(), row().pixels, **wrong)
    broken = result(projection=np.full((*IMAGE_SIZE, 3), np.nan))
    with pytest.raises(ValueError, match="values contain NaN or infinity"):
        occlusion_panel(row(broken))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.00321, "0.00321"), (-12.34, "-12.3"), (4913.4, "4910"), (-123456, "-123000")],
)
def test_numbers_have_three_digits(number, text):
    assert three_digits(number) == text


def test_other_measures_are_named_and_scaled_by_their_range():
    shown = result(measure="summed probability", activation="softmax of the model's logits")
    shown.probability *= 300
    for figure in (occlusion_panel(row(shown)), occlusion_overlay(shown, row(shown).pixels)):
        words = " ".join(texts(figure))
        assert "summed probability of" in words
        assert "Taken as summed probability: softmax of the model's logits." in words
        assert three_digits(shown.probability.max()) in words


def test_a_function_in_place_of_classes():
    """Its values are (d), and there is no label, no legend and no class."""
    shown = result(measure="margin", class_index=-1, base_label=-1, label=np.full((6, 7), -1))
    figure = occlusion_panel(row(shown))
    words = " ".join(texts(figure))
    assert "(d) score" in words
    assert "The margin." in words
    assert "label" not in words
    assert "class" not in words
    assert not any("legend" in label or label.endswith(" e") for label in extents(figure))
    assert figure.get_size_inches()[0] < occlusion_panel(row()).get_size_inches()[0]
    overlay = occlusion_overlay(shown, row(shown).pixels)
    assert "class" not in " ".join(texts(overlay))


def test_classes_and_a_function_side_by_side():
    shown = result(measure="margin", class_index=-1, base_label=-1, label=np.full((6, 7), -1))
    words = " ".join(texts(occlusion_panel([row(shown), row()])))
    assert "The margin or probability of the correct class." in words
    assert "(e) most probable label" in words


def test_a_projection_of_four_channels_is_summed():
    projection = np.random.default_rng(3).normal(size=(*IMAGE_SIZE, 4))
    (summed, grey) = (
        occlusion_panel(row(result(projection=each)))
        for each in (projection, projection.sum(axis=-1, keepdims=True))
    )
    shown = [
        next(i for i in f.axes[0].images if i.get_label() == "row 0 c 0") for f in (summed, grey)
    ]
    np.testing.assert_array_equal(*(np.asarray(image.get_array()) for image in shown))
    assert "Of 4 channels, (c) shows the sum." in " ".join(texts(summed))
    assert "channels" not in " ".join(texts(grey))


def test_why_there_is_no_projection_stands_in_its_place():
    reason = "Layer 'gelu' has the activation 'gelu', which cannot be projected through."
    figure = occlusion_panel(row(result(projection=None, projection_reason=reason)))
    assert "(c) projections" in texts(figure)
    lines = [text for text in figure.axes[0].texts if text.get_text() in reason]
    assert " ".join(line.get_text() for line in lines) == reason
    assert len({line.get_position()[0] for line in lines}) == 1
    assert "(c) projections" not in texts(occlusion_panel(row(result(projection=None))))
