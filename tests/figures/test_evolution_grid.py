from types import SimpleNamespace

import numpy as np
import pytest

from kerasvis.figures import convergence_curves, evolution_grid, signed_to_rgb
from kerasvis.figures.convergence_curves import quartiles
from tests.figures.shown import extents, pixels, texts

EPOCHS = np.array([1, 2, 5, 10])


def layer(name="conv2", num_maps=3, num_epochs=4, size=(7, 5), channels=3, seed=0):
    """The evolution of a layer, of noise; no image changes and no window hangs over."""
    rng = np.random.default_rng(seed)
    shape = (num_maps, num_epochs, *size, channels)
    return SimpleNamespace(
        layer=name,
        feature_indices=np.arange(num_maps) * 10 + 2,
        image_indices=np.zeros(shape[:2], "int64"),
        projections=rng.normal(size=shape).astype("float32"),
        patches=rng.integers(0, 250, shape).astype("uint8"),
        boxes=np.tile(np.array([0, 0, *size], "int32"), (*shape[:2], 1)),
    )


def evolution(*layers, epochs=EPOCHS):
    layers = layers or (layer(),)
    return SimpleNamespace(epochs=epochs, features={each.layer: each for each in layers})


def tiles(row, num_tiles, size):
    """The fields in a row of them that were enlarged."""
    times = row.shape[0] // size[0]
    width = times * size[1]
    gap = (row.shape[1] - num_tiles * width) // (num_tiles - 1)
    lefts = [number * (width + gap) for number in range(num_tiles)]
    return [row[::times, left : left + width : times] for left in lefts]


def test_a_row_for_each_feature_map_and_a_column_for_each_epoch():
    shown = evolution(layer("conv1"), layer("conv2", num_maps=2, seed=1))
    figure = evolution_grid(shown)
    names = ["conv1 2", "conv1 12", "conv1 22", "conv2 2", "conv2 12"]
    assert list(extents(figure)) == names
    for name in names:
        conv, index = name.split()
        number = int(index) // 10
        row = tiles(pixels(figure, name), len(EPOCHS), (7, 5))
        for column, tile in enumerate(row):
            expected = signed_to_rgb(shown.features[conv].projections[number, column])
            np.testing.assert_array_equal(tile, expected)
    assert [text for text in texts(figure) if text.isdigit()] == [
        *["1", "2", "5", "10", "2", "12", "22"],
        *["1", "2", "5", "10", "2", "12"],
    ]
    assert texts(figure).count("receptive field 7 × 5 pixels") == 2


def test_epochs_stand_above_their_columns():
    figure = evolution_grid(evolution())
    left, right, *_ = extents(figure)["conv2 2"]
    labels = {t.get_text(): t.get_position()[0] for t in figure.axes[0].texts}
    width = (right - left) / len(EPOCHS)
    for column, epoch in enumerate(["1", "5", "10"]):
        column = [0, 2, 3][column]
        assert left + column * width <= labels[epoch] < left + (column + 1) * width


def test_jumps_are_marked_between_their_columns():
    jumping = layer()
    jumping.image_indices[1] = 4, 4, 7, 4
    figure = evolution_grid(evolution(jumping))
    marks = {name: box for name, box in extents(figure).items() if "jump" in name}
    assert list(marks) == ["conv2 12 jump 5", "conv2 12 jump 10"]
    left, right, bottom, top = extents(figure)["conv2 12"]
    pitch = (right - left) / len(EPOCHS)
    for column, box in zip((2, 3), marks.values(), strict=True):
        assert np.mean(box[:2]) == pytest.approx(left + column * pitch, abs=0.02)
        assert top < box[3] < box[2] < bottom
    assert "Orange tick between two columns" in " ".join(texts(figure))
    assert "orange" not in " ".join(texts(evolution_grid(evolution())))


def test_layers_stand_side_by_side():
    shown = evolution(layer("a"), layer("b", num_maps=2), layer("c"))
    boxes = extents(evolution_grid(shown, blocks_per_row=2))
    assert boxes["a 2"][1] < boxes["b 2"][0]
    assert boxes["a 2"][3] == boxes["b 2"][3]
    assert boxes["c 2"][0] == boxes["a 2"][0]
    assert boxes["c 2"][3] > boxes["a 22"][2]
    alone = extents(evolution_grid(shown, blocks_per_row=1))
    assert alone["b 2"][3] > alone["a 22"][2]


def test_some_layers_and_feature_maps():
    shown = evolution(layer("a"), layer("b"), layer("c"))
    figure = evolution_grid(shown, layers=["c", "a"], num_features=2)
    assert list(extents(figure)) == ["c 2", "c 12", "a 2", "a 12"]


def test_last_column_holds_the_patches_of_the_last_epoch():
    shown = evolution()
    figure = evolution_grid(shown, with_patches=True)
    patch = pixels(figure, "conv2 12 patch")
    times = patch.shape[0] // 7
    expected = shown.features["conv2"].patches[1, -1]
    np.testing.assert_array_equal(patch, expected.repeat(times, 0).repeat(times, 1))
    assert extents(figure)["conv2 12 patch"][0] > extents(figure)["conv2 12"][1]
    assert "Last column: image patch" in " ".join(texts(figure))


def test_patches_that_were_left_out():
    shown = layer(num_maps=2, num_epochs=4)
    without = SimpleNamespace(**{**vars(shown), "patches": shown.patches[:, :, :0, :0]})
    plain, figure = (evolution_grid(evolution(each)) for each in (shown, without))
    for label in extents(figure):
        np.testing.assert_array_equal(pixels(figure, label), pixels(plain, label))
    sentence = r"Layer 'conv2' has no image patches, .*: show it without patches, or"
    with pytest.raises(ValueError, match=sentence):
        evolution_grid(evolution(without), with_patches=True)


def test_eight_epochs_of_two_layers_are_as_wide_as_a_page():
    epochs = np.array([1, 2, 5, 10, 20, 30, 40, 64])
    shown = [layer(name, num_epochs=8, size=(30, 30)) for name in ("a", "b")]
    figure = evolution_grid(evolution(*shown, epochs=epochs))
    assert 6.6 < figure.get_size_inches()[0] <= 7.2


def test_everything_stays_on_the_page():
    figure = evolution_grid(
        evolution(layer("a_long_name_of_a_layer/inside_another", num_epochs=1), epochs=EPOCHS[:1]),
        title="Evolution",
    )
    width, height = figure.get_size_inches()
    figure.canvas.draw()
    for text in figure.axes[0].texts:
        box = text.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert box.x0 >= 0
        assert box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height


def test_light_grey_is_explained_where_there_is_some():
    over = layer()
    over.boxes[0, 2] = 3, 0, 7, 5
    figure = evolution_grid(evolution(over))
    assert "Light grey: outside the image." in " ".join(texts(figure))
    tile = tiles(pixels(figure, "conv2 2"), len(EPOCHS), (7, 5))[2]
    assert np.all(tile[:3] == 232)


@pytest.mark.parametrize(
    ("shown", "options", "sentence"),
    [
        (evolution(), {"layers": ["fc"]}, "no layer 'fc' in the evolution: choose among conv2"),
        (evolution(), {"layers": []}, r"at least one layer. Received: layers=\[\]"),
        (evolution(), {"tile_size": 0}, "Received: blocks_per_row=2, tile_size=0"),
        (
            evolution(epochs=EPOCHS[:3]),
            {},
            "'conv2' for each of the 3 epochs. Received: shape",
        ),
    ],
)
def test_what_cannot_be_shown(shown, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        evolution_grid(shown, **options)


def test_a_projection_that_is_not_finite():
    broken = layer()
    broken.projections[1, 2, 0, 0, 0] = np.nan
    with pytest.raises(
        ValueError, match=r"contains NaN or infinity: .* Received: projection 2 of feature 12"
    ):
        evolution_grid(evolution(broken))


def convergence(num_maps=5, num_layers=2, epochs=EPOCHS, seed=0):
    rng = np.random.default_rng(seed)
    shape = (num_maps, len(epochs))
    layers = [
        SimpleNamespace(
            layer=f"conv_{number}",
            similarities=rng.uniform(-1, 1, shape).astype("float32"),
            is_final_image=rng.random(shape) < 0.5,
            between_maps=0.1 * number,
        )
        for number in range(num_layers)
    ]
    return SimpleNamespace(epochs=epochs, layers=tuple(layers))


def curves(axes):
    return [line for line in axes.lines if len(line.get_xdata()) == len(EPOCHS)]


def test_curves_are_medians_and_shares():
    measured = convergence()
    similarity, images = convergence_curves(measured).axes
    for panel in (similarity, images):
        assert len(curves(panel)) == 2
        assert [label.get_text() for label in panel.get_xticklabels()] == ["1", "2", "5", "10"]
    for layer, left, right in zip(measured.layers, curves(similarity), curves(images), strict=True):
        median = np.sort(layer.similarities, axis=0)[2]
        np.testing.assert_allclose(left.get_ydata(), median, rtol=1e-6)
        np.testing.assert_allclose(right.get_ydata(), layer.is_final_image.mean(axis=0))
        np.testing.assert_array_equal(left.get_xdata(), EPOCHS)
        assert left.get_color() == right.get_color()


def test_bands_are_the_middle_half():
    measured = convergence()
    similarity, _ = convergence_curves(measured).axes
    for layer, band in zip(measured.layers, similarity.collections, strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        ordered = np.sort(layer.similarities, axis=0)
        for bound in (ordered[1], ordered[3]):  # of five
            assert np.isclose(heights[:, None], bound, rtol=1e-6).any(axis=0).all()


def test_strokes_at_the_border_are_the_similarity_between_maps():
    similarity, _ = convergence_curves(convergence()).axes
    strokes = [line for line in similarity.lines if len(line.get_xdata()) == 2]
    assert [stroke.get_ydata()[0] for stroke in strokes] == [0.0, 0.1]


def test_silent_maps_are_left_out_and_counted():
    measured = convergence()
    measured.layers[1].similarities[3] = np.nan
    figure = convergence_curves(measured)
    left = np.delete(measured.layers[1].similarities, 3, axis=0)
    np.testing.assert_allclose(
        curves(figure.axes[0])[1].get_ydata(), np.median(left, axis=0), rtol=1e-6
    )
    caption = " ".join(text.get_text() for text in figure.texts)
    assert caption.endswith("are left out on the left: 1 of 5 in conv_1.")
    assert "inactive" not in " ".join(t.get_text() for t in convergence_curves(convergence()).texts)


def test_layers_of_silent_maps_have_no_curve():
    assert np.isnan(quartiles(np.full((3, 4), np.nan))).all()
    measured = convergence()
    measured.layers[0].similarities[:] = np.nan
    measured.layers[0].between_maps = float("nan")
    convergence_curves(measured).canvas.draw()


@pytest.mark.parametrize(
    ("measured", "sentence"),
    [
        (convergence(num_layers=0), "Received: 0 layers, 4 epochs"),
        (convergence(epochs=EPOCHS[:1]), "Received: 2 layers, 1 epoch"),
        (convergence(num_maps=0), r"similarities of layer 'conv_0' .* Received: shape \(0, 4\)"),
    ],
)
def test_curves_that_cannot_be_drawn(measured, sentence):
    with pytest.raises(ValueError, match=sentence):
        convergence_curves(measured)
