import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest

from kerasvis.figures import filter_diagnosis_grid, signed_to_rgb
from kerasvis.figures.filter_diagnosis_grid import COLUMN_WIDTH, band_of, evenly
from tests.figures.shown import pictures

NUM_FILTERS, NUM_FEATURES = 10, 13


@dataclasses.dataclass
class Diagnosis:
    """What the figure reads of a `FilterDiagnosis`."""

    model: str = "my_net"
    first_layer: str = "conv1"
    second_layer: str = "conv2"
    size: tuple = (7, 5)
    channels: int = 3
    strides: tuple = (2, 2)
    num_features: int = NUM_FEATURES
    median_aliasing: float = 1.41
    dominance: float = 2.5

    def __post_init__(self):
        rng = np.random.default_rng(0)
        self.kernels = rng.normal(size=(*self.size, self.channels, NUM_FILTERS))
        self.frequencies = np.linspace(0.01, 0.7, 23)
        self.spectra = rng.dirichlet(np.ones(23), NUM_FILTERS)
        self.band_shares = np.full((NUM_FILTERS, 3), 0.1)
        self.band_shares[np.arange(NUM_FILTERS), [0] * 2 + [1] * 3 + [2] * 5] = 0.8
        self.correlations = np.linspace(-1, 0.77, NUM_FILTERS)
        self.first = SimpleNamespace(is_dead=np.arange(NUM_FILTERS) < 4)
        self.projections = rng.normal(size=(self.num_features, 19, 17, self.channels))
        self.activations = np.ones(self.num_features)


def words(figure):
    return " ".join(text.get_text() for text in figure.axes[0].texts)


def tiles_of(image, size, columns, number):
    """Tiles of a mosaic at its own pixels, by the positions that its gaps leave."""
    pixels = np.asarray(image.get_array())
    times = (pixels.shape[1] // columns) // size[1]
    gap = (pixels.shape[1] - columns * size[1] * times) // (columns - 1)
    for place in range(number):
        row, column = divmod(place, columns)
        top, left = row * (size[0] * times + gap), column * (size[1] * times + gap)
        yield pixels[top : top + size[0] * times : times, left : left + size[1] * times : times]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_filter_stands_at_its_index_on_one_scale(channels):
    diagnosis = Diagnosis(channels=channels)
    diagnosis.kernels[..., 4] *= 5
    image = pictures(filter_diagnosis_grid(diagnosis))["my_net filters"]
    largest = np.abs(diagnosis.kernels).max()
    shown = list(tiles_of(image, (7, 5), 6, NUM_FILTERS))
    for number, tile in enumerate(shown):
        weights = diagnosis.kernels[..., number]
        np.testing.assert_allclose(
            tile.astype(int), np.rint(128 + 127 * weights / largest) + np.zeros(3), atol=1
        )


@pytest.mark.parametrize(("channels", "columns"), [(2, 8), (4, 8), (13, 13)])
def test_other_channels_are_shown_one_by_one(channels, columns):
    diagnosis = Diagnosis(channels=channels, num_features=3)
    figure = filter_diagnosis_grid(diagnosis)
    image = pictures(figure)["my_net filters"]
    shown = list(tiles_of(image, (7, 5), columns, channels * NUM_FILTERS))
    largest = np.abs(diagnosis.kernels).max()
    for number, tile in enumerate(shown):
        weights = diagnosis.kernels[..., number % channels, number // channels]
        grey = np.rint(128 + 127 * weights / largest)
        np.testing.assert_allclose(tile.astype(int), grey[..., None] + np.zeros(3), atol=1)
    assert "my_net projections" in pictures(figure)
    assert "Channels are shown one by one" in words(figure)


def test_projections_of_features_that_fire_are_shown():
    diagnosis = Diagnosis()
    diagnosis.activations[[0, 5]] = 0
    image = pictures(filter_diagnosis_grid(diagnosis, num_features=4))["my_net projections"]
    shown = list(tiles_of(image, (19, 17), 4, 4))
    for feature, tile in zip([1, 4, 9, 12], shown, strict=True):
        np.testing.assert_array_equal(tile, signed_to_rgb(diagnosis.projections[feature]))


def test_numbers_are_told():
    text = words(filter_diagnosis_grid(Diagnosis(), title="Two nets"))
    assert text.startswith("Two nets my_net conv1: 10 filters 7×5, stride 2×2; largest RMS 2.5 ×")
    assert "4 dead; two filters correlate by up to 0.77" in text
    assert "13 of 13 features, 19×17 pixels; energy at the stride 1.41 × that around it" in text
    assert "a line for each filter" in text
    one = words(filter_diagnosis_grid(Diagnosis(strides=(1, 1), median_aliasing=np.nan)))
    assert "no aliasing at stride 1" in one
    none = words(filter_diagnosis_grid(Diagnosis(median_aliasing=np.nan)))
    assert "aliasing not measurable" in none


def test_spectra_are_drawn_with_the_share_of_filters_in_each_band():
    diagnosis = Diagnosis()
    _, chart = filter_diagnosis_grid(diagnosis).axes
    assert [t.get_text() for t in chart.texts] == ["low 20%", "middle 30%", "high 50%"]
    *lines, mean = chart.lines
    for line, spectrum in zip(lines, diagnosis.spectra, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), diagnosis.frequencies)
        np.testing.assert_array_equal(line.get_ydata(), spectrum)
    np.testing.assert_allclose(mean.get_ydata(), diagnosis.spectra.mean(axis=0))


def test_filters_of_zeros_have_no_line_and_no_band():
    diagnosis = Diagnosis()
    diagnosis.spectra[:2] = diagnosis.band_shares[:2] = np.nan
    _, chart = filter_diagnosis_grid(diagnosis).axes
    assert len(chart.lines) == NUM_FILTERS - 2 + 1
    assert [t.get_text() for t in chart.texts] == ["low 0%", "middle 38%", "high 62%"]
    diagnosis.spectra[:] = diagnosis.band_shares[:] = np.nan
    _, chart = filter_diagnosis_grid(diagnosis).axes
    assert len(chart.lines) == 0
    assert len(band_of(diagnosis.band_shares)) == 0


def test_nets_stand_side_by_side_on_one_scale_and_nothing_overlaps():
    nets = [Diagnosis("a"), Diagnosis("b", size=(11, 11)), Diagnosis("c", num_features=0)]
    nets[1].spectra[0] *= 3
    figure = filter_diagnosis_grid(nets)
    width, height = figure.get_size_inches()
    boxes = {name: image.get_extent() for name, image in pictures(figure).items()}
    assert list(boxes) == ["a filters", "b filters", "c filters", "a projections", "b projections"]
    for left, right, bottom, top in boxes.values():
        assert 0 < left < right < width
        assert 0 < top < bottom < height
    lefts = [boxes[f"{name} filters"][0] for name in "abc"]
    assert np.diff(lefts) == pytest.approx(COLUMN_WIDTH + 0.2)
    charts = figure.axes[1:]
    assert len({chart.get_ylim() for chart in charts}) == 1
    below = max(boxes[f"{name} filters"][2] for name in "abc")
    for chart in charts:
        box = chart.get_position()
        top, bottom = (1 - box.y1) * height, (1 - box.y0) * height
        assert below < top < bottom < min(boxes["a projections"][3], boxes["b projections"][3])
    assert "second layer: no projections" in words(figure)


def test_without_projections_there_is_no_second_layer():
    figure = filter_diagnosis_grid(Diagnosis(num_features=0))
    assert list(pictures(figure)) == ["my_net filters"]
    assert "Second layer" not in words(figure)
    assert "econd layer" not in words(filter_diagnosis_grid(Diagnosis(num_features=0), caption=""))


def test_is_saved(tmp_path):
    filter_diagnosis_grid([Diagnosis(), Diagnosis()]).savefig(tmp_path / "a.png", dpi=50)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_evenly():
    numbers = np.arange(10, 20)
    assert evenly(numbers, 10).tolist() == evenly(numbers, 99).tolist() == numbers.tolist()
    assert evenly(numbers, 4).tolist() == [10, 13, 16, 19]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([],), "Received: 0 diagnoses, num_features=32"),
        ((Diagnosis(size=(7,)),), "Received: model 'my_net' with kernels of shape (7, 3, 10)"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        filter_diagnosis_grid(*arguments)
    with pytest.raises(ValueError, match="Received: 1 diagnosis, num_features=0"):
        filter_diagnosis_grid(Diagnosis(), num_features=0)
