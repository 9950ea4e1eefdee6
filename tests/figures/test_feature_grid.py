import re
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from kerasvis.figures import feature_grid, signed_to_rgb
from kerasvis.figures.feature_tiles import feature_mosaics
from tests.figures.shown import extents, pixels, texts
from tests.marks import slow


def layer(name="conv2", num_maps=3, k=9, size=(7, 5), channels=3, seed=0):
    """What `visualize_features` returns, of noise; no window hangs over the border."""
    rng = np.random.default_rng(seed)
    shape = (num_maps, k, *size, channels)
    return SimpleNamespace(
        layer=name,
        feature_indices=np.arange(num_maps) * 10 + 2,
        activations=rng.random(shape[:2]).astype("float32"),
        image_indices=np.zeros(shape[:2], "int64"),
        positions=np.zeros((*shape[:2], 2), "int32"),
        projections=rng.normal(size=shape).astype("float32"),
        patches=rng.integers(0, 250, shape).astype("uint8"),
        boxes=np.tile(np.array([0, 0, *size], "int32"), (num_maps, k, 1)),
    )


def tile_of(whole, number, k, size):
    """One tile of a mosaic of fields that were enlarged, brought back to the field's size."""
    columns = int(np.ceil(np.sqrt(k)))
    rows = -(-k // columns)
    times = min(whole.shape[0] // (rows * size[0]), whole.shape[1] // (columns * size[1]))
    height, width = size[0] * times, size[1] * times
    gap = (whole.shape[1] - columns * width) // max(columns - 1, 1)
    assert whole.shape[1] == columns * width + (columns - 1) * gap
    row, column = divmod(number, columns)
    top, left = row * (height + gap), column * (width + gap)
    tile = whole[top : top + height, left : left + width]
    small = tile[::times, ::times]
    np.testing.assert_array_equal(small.repeat(times, 0).repeat(times, 1), tile)
    return small


def test_every_map_is_a_pair_under_its_index():
    figure = feature_grid(layer(num_maps=5), maps_per_row=2)
    kinds = [f"conv2 {index} {kind}" for index in (2, 12, 22, 32, 42) for kind in PAIR]
    assert list(extents(figure)) == kinds
    assert [text for text in texts(figure) if text.startswith("feature")] == [
        f"feature {index}" for index in (2, 12, 22, 32, 42)
    ]


def test_a_map_that_no_image_activates_is_marked():
    features = layer(num_maps=3)
    features.activations[1] = 0
    figure = feature_grid(features)
    assert [text for text in texts(figure) if text.startswith("feature")] == [
        *("feature 2", "feature 12, never active", "feature 22")
    ]


PAIR = ("projections", "patches")


@pytest.mark.parametrize("k", [1, 2, 5, 9, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_hold_the_projections_and_patches_in_order(k, channels):
    features = layer(k=k, channels=channels)
    figure = feature_grid(features)
    for number, index in enumerate(features.feature_indices):
        for place in range(k):
            actual = tile_of(pixels(figure, f"conv2 {index} projections"), place, k, (7, 5))
            expected = signed_to_rgb(features.projections[number, place])
            np.testing.assert_array_equal(actual, expected)
            actual = tile_of(pixels(figure, f"conv2 {index} patches"), place, k, (7, 5))
            expected = np.broadcast_to(features.patches[number, place], (7, 5, 3))
            np.testing.assert_array_equal(actual, expected)


def test_grey_patches_go_with_coloured_projections():
    features = layer(k=1)
    features.patches = features.patches[..., :1]
    actual = tile_of(pixels(feature_grid(features), "conv2 2 patches"), 0, 1, (7, 5))
    np.testing.assert_array_equal(actual, features.patches[0, 0].repeat(3, axis=-1))


def test_what_lies_outside_the_image_is_light_grey():
    features = layer(k=4)
    features.boxes[1, 2] = 2, 0, 7, 3
    figure = feature_grid(features)
    for kind in PAIR:
        tile = tile_of(pixels(figure, f"conv2 12 {kind}"), 2, 4, (7, 5))
        inside = np.zeros((7, 5), bool)
        inside[2:7, 0:3] = True
        assert np.all(tile[~inside] == 232)
        assert not np.any(np.all(tile[inside] == 232, axis=-1))
    whole = tile_of(pixels(figure, "conv2 12 patches"), 1, 4, (7, 5))
    np.testing.assert_array_equal(whole, features.patches[1, 1])


def test_light_grey_is_explained_only_where_there_is_some():
    features = layer()
    assert "outside the image" not in " ".join(texts(feature_grid(features)))
    features.boxes[0, 0, 0] = 1
    assert "Light grey: outside the image." in " ".join(texts(feature_grid(features)))


def test_absent_images_are_blank():
    features = layer(k=4)
    features.image_indices[0, 3] = -1
    features.boxes[0, 3] = -1  # whatever stands there is not read
    figure = feature_grid(features)
    for kind in PAIR:
        assert np.all(tile_of(pixels(figure, f"conv2 2 {kind}"), 3, 4, (7, 5)) == 255)
    assert "outside the image" not in " ".join(texts(figure))


def test_large_fields_are_averaged_before_they_get_contrast():
    """A fine pattern that is brighter on one side keeps its full contrast when printed small."""
    size, k = (224, 224), 9
    features = layer(num_maps=1, k=k, size=size)
    stripes = np.where(np.arange(224) % 2, 1.0, -0.9)
    ramp = np.linspace(0, 1, 224)[:, None, None]
    features.projections[:] = stripes[None, :, None] * ramp
    features.patches[:] = 77
    mosaics = feature_mosaics(features, 0, size=240, gap=3)
    assert mosaics["projections"].shape == mosaics["patches"].shape == (246, 246, 3)
    assert mosaics["projections"].max() == 255
    assert set(np.unique(mosaics["patches"])) == {77, 255}
    assert np.all(mosaics["patches"][:80, :80] == 77)


def test_border_of_a_large_field_is_mixed_in_proportion():
    features = layer(num_maps=1, k=1, size=(160, 160))
    features.patches[:] = 32
    features.boxes[0, 0] = 3, 0, 160, 160
    patch = feature_mosaics(features, 0, size=80, gap=1)["patches"]
    assert patch.shape == (80, 80, 3)
    assert np.all(patch[0] == 232)
    assert np.all(patch[1] == (232 + 32) / 2)
    assert np.all(patch[2:] == 32)


def test_layers_are_blocks_with_name_and_receptive_field():
    blocks = [layer("conv1", size=(7, 7)), layer("a_$b$/conv_2", num_maps=5, size=(40, 23))]
    figure = feature_grid(blocks, maps_per_row=2)
    found = texts(figure)
    assert found[0:2] == ["conv1", "receptive field 7 × 7 pixels"]
    second = found.index("a_$b$/conv_2")
    assert found[second + 1] == "receptive field 40 × 23 pixels"
    lowest = max(bottom for label, (_, _, bottom, _) in extents(figure).items() if "conv1" in label)
    baseline = figure.axes[0].texts[second].get_position()[1]
    highest = min(top for label, (_, _, _, top) in extents(figure).items() if "conv_2" in label)
    assert lowest < baseline < highest


@pytest.mark.parametrize("size", [(7, 7), (40, 20), (20, 40), (1, 30), (300, 300)])
@pytest.mark.parametrize("k", [1, 2, 9])
def test_pictures_stay_apart_inside_the_page_and_in_shape(size, k):
    figure = feature_grid([layer(num_maps=5, k=k, size=size), layer("next", k=k)], maps_per_row=3)
    width, height = figure.get_size_inches()
    placed = list(extents(figure).values())
    for number, (left, right, bottom, top) in enumerate(placed):
        assert 0 < left < right < width
        assert 0 < top < bottom < height
        for other in placed[:number]:
            assert right < other[0] or left > other[1] or bottom < other[3] or top > other[2]
    for image in figure.axes[0].images:
        left, right, bottom, top = image.get_extent()
        rows, columns = image.get_array().shape[:2]
        assert (bottom - top) / (right - left) == pytest.approx(rows / columns)


@pytest.mark.parametrize(
    ("size", "k", "expected", "in_a_row"),
    [
        ((7, 5), 9, 0.82, 4),
        ((50, 20), 9, 1.0, 3),  # 150 pixels to the inch
        ((60, 75), 4, 1.0, 3),
        ((224, 224), 9, 1.69, 2),  # a pair is as wide as a column of 3.5 inches
        ((224, 224), 1, 224 / 150, 2),
    ],
)
def test_mosaics_suit_the_receptive_field(size, k, expected, in_a_row):
    placed = extents(feature_grid(layer(num_maps=5, k=k, size=size)))
    longest = [max(right - left, bottom - top) for left, right, bottom, top in placed.values()]
    np.testing.assert_allclose(longest, expected, rtol=1e-6)
    tops = [top for label, (*_, top) in placed.items() if label.endswith("patches")]
    assert tops.count(tops[0]) == in_a_row
    alone = feature_grid(layer(num_maps=1, k=k, size=size))
    assert alone.get_size_inches()[0] <= 3.5 + 1e-6


def test_methods_are_blocks_that_say_so():
    def by(method, seed):
        return SimpleNamespace(**vars(layer(size=(7, 7), seed=seed)), method=method)

    by_method = {"deconvnet": by("deconvnet", 0), "grad_cam": by("grad_cam", 1)}
    other = SimpleNamespace(**vars(layer("conv3", size=(9, 9))), method="deconvnet")
    field = "receptive field 7 × 7 pixels"
    figure = feature_grid({"conv2": by_method, "conv3": {"deconvnet": other}})
    beside = [text for text in texts(figure) if text.startswith("receptive field")]
    assert beside[:2] == [f"{field}, method deconvnet", f"{field}, method grad cam"]
    assert len(beside) == 3
    assert len(extents(figure)) <= 2 * 3 * 3
    assert texts(feature_grid({"conv2": other}))[1] == "receptive field 9 × 9 pixels"


def test_mosaics_are_equally_large_on_every_page():
    def size_of_spans(num_maps):
        figure = feature_grid(layer(num_maps=num_maps, size=(9, 9)))
        spans = {(r - le, b - t) for le, r, b, t in extents(figure).values()}
        return np.round(sorted(spans), 9).tolist(), figure.get_size_inches()

    four, (four_width, four_height) = size_of_spans(4)
    sixteen, (sixteen_width, sixteen_height) = size_of_spans(16)
    assert len({tuple(span) for span in (*four, *sixteen)}) == 1
    assert four_width == sixteen_width == pytest.approx(7.2, abs=0.02)
    assert 3 * 0.82 < sixteen_height - four_height < 3 * 1.05


@pytest.mark.parametrize("dpi", [100, slow(72), slow(200), slow(300)])
@pytest.mark.parametrize(
    ("name", "num_maps"), [("outer/inner/block_of_long_name_conv", 1), ("a", 9)]
)
def test_all_text_lies_inside_the_page(name, num_maps, dpi):
    features = layer(name, num_maps=num_maps, size=(100, 100))
    features.boxes[:, :, 0] = 4
    title = "A title that is longer than one narrow map is wide, and still stays on its page. " * 3
    figure = feature_grid(features, title=title)
    figure.set_dpi(dpi)
    page = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1


def test_title_and_caption():
    figure = feature_grid(layer(), title="ZFNet", caption="Nine each.")
    assert texts(figure)[0] == "ZFNet"
    assert texts(figure)[-1] == "Nine each."
    rule = "on neutral grey (zero), each scaled by the 99th percentile of its pixel strengths"
    assert rule in " ".join(texts(feature_grid(layer())))
    assert texts(feature_grid(layer(), caption=""))[-1] == "feature 22"


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_saves_whatever_style_the_user_has_set(tmp_path, suffix):
    style = {"image.origin": "lower", "figure.constrained_layout.use": True, "text.color": "red"}
    with matplotlib.rc_context({**style, "figure.facecolor": "black"}):
        figure = feature_grid(layer("a_$b", num_maps=1))
        figure.savefig(tmp_path / f"figure.{suffix}")
    assert (tmp_path / f"figure.{suffix}").stat().st_size > 1000
    if suffix == "png":
        saved = matplotlib.image.imread(tmp_path / "figure.png")
        np.testing.assert_allclose(saved.shape[:2], figure.get_size_inches()[::-1] * 300, atol=1)
        assert np.all(saved[0] == 1)


def test_nothing_is_left_open_in_pyplot():
    import matplotlib.pyplot as plt

    feature_grid(layer())
    assert plt.get_fignums() == []


def changed(**fields):
    return SimpleNamespace(**{**vars(layer()), **fields})


def with_value(field, place, value):
    array = getattr(layer(), field).copy()
    array[place] = value
    return changed(**{field: array})


WRONG = [
    ([], "one FeatureVisualization or a list of them. Received: features=[]"),
    (
        [{"layer": "conv1"}],
        "Received: a dict without layer, feature_indices, image_indices, projections",
    ),
    (layer(num_maps=0), "Received: projections of shape (0, 9, 7, 5, 3)"),
    (layer(k=0), "Received: projections of shape (3, 0, 7, 5, 3)"),
    (changed(patches=layer(k=8).patches), "Received: patches of shape (3, 8, 7, 5, 3)"),
    (changed(patches=layer(channels=4).patches), "Received: patches of shape (3, 9, 7, 5, 4)"),
    (changed(boxes=layer().boxes[..., :2]), "Received: boxes of shape (3, 9, 2)"),
    (changed(feature_indices=[1]), "Received: feature_indices of shape (1,)"),
    (changed(patches=layer().patches / 255), "Received: patches of dtype float64"),
    (
        with_value("projections", (1, 4, 2, 2, 0), np.nan),
        "Received: projection 4 of feature 12",
    ),
    (
        with_value("boxes", (2, 1), (0, 0, 8, 5)),
        "window of 7 × 5 pixels. Received: box [0, 0, 8, 5]",
    ),
    (with_value("boxes", (0, 0), (3, 0, 2, 5)), "Received: box [3, 0, 2, 5]"),
    (with_value("boxes", (0, 0), (0, -1, 2, 5)), "Received: box [0, -1, 2, 5]"),
]


@pytest.mark.parametrize(("features", "sentence"), WRONG)
def test_what_cannot_be_shown_is_refused(features, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        feature_grid(features)


@pytest.mark.parametrize("wrong", [{"maps_per_row": 0}, {"mosaic_size": 0}])
def test_impossible_layout_is_refused(wrong):
    with pytest.raises(ValueError, match="maps_per_row of 1 or more and mosaic_size above 0"):
        feature_grid(layer(), **wrong)


def changed_layer(layer, **arrays):
    return SimpleNamespace(**{**vars(layer), **arrays})


@pytest.mark.parametrize("channels", [2, 5])
def test_other_channels_are_shown_one_by_one(channels):
    features = layer(channels=channels, num_maps=2, k=4)
    figure = feature_grid(features)
    shown = {image.get_label() for image in figure.axes[0].images}
    for feature in features.feature_indices:
        for channel in range(channels):
            assert f"conv2 {feature}, channel {channel} patches" in shown
            alone = changed_layer(
                features,
                projections=features.projections[..., channel : channel + 1],
                patches=features.patches[..., channel : channel + 1],
            )
            for kind in ("patches", "projections"):
                np.testing.assert_array_equal(
                    pixels(figure, f"conv2 {feature}, channel {channel} {kind}"),
                    pixels(feature_grid(alone), f"conv2 {feature} {kind}"),
                )


def test_three_channels_can_be_chosen():
    features = layer(channels=4, num_maps=2, k=4)
    chosen = changed_layer(
        features,
        projections=features.projections[..., [3, 1, 0]],
        patches=features.patches[..., [3, 1, 0]],
    )
    label = f"conv2 {features.feature_indices[1]} patches"
    np.testing.assert_array_equal(
        pixels(feature_grid(features, channels=[3, 1, 0]), label),
        pixels(feature_grid(chosen), label),
    )
    for wrong in ([0, 1], [0, 1, 4], 3, [0.5], [-1]):
        with pytest.raises(ValueError, match="from 0 to 3"):
            feature_grid(features, channels=wrong)
