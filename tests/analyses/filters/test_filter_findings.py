import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses import diagnose_filters, filter_findings
from kerasvis.analyses.filters.filter_findings import (
    filters_per_band,
    high_frequency_filters_by_chance,
    is_high_frequency,
    is_twin,
    lower_bound_of_median,
)
from tests.marks import few, slow

NAMES = [
    "Dominant filters",
    "Dead filters",
    "Near-duplicate filters",
    "High-frequency filters",
    "Little in the middle frequencies",
    "Dead maps",
    "Aliasing",
]


def random_filters(size=(7, 7), num_filters=48, seed=0):
    filters = np.random.default_rng(seed).normal(0, 0.01, (*size, 3, num_filters))
    return filters.astype("float32")


def grating(size, frequency):
    rows, columns = np.indices(size)
    return 0.02 * np.cos(2 * np.pi * (frequency[0] * rows + frequency[1] * columns))[..., None]


def diagnosis_of(filters):
    convolution = layers.Conv2D(filters.shape[3], filters.shape[:2], name="conv1")
    model = keras.Sequential([keras.Input((32, 32, filters.shape[2])), convolution])
    convolution.set_weights([filters, np.zeros(filters.shape[3], "float32")])
    return diagnose_filters(model)


def findings_of(diagnosis):
    found = {finding.name: finding for finding in filter_findings(diagnosis)}
    assert list(found) == NAMES
    for finding in found.values():
        assert finding.evidence.endswith(".")
        assert bool(finding.remedy) == (finding.is_found is True)
    return found


def found_in(diagnosis):
    return [name for name, finding in findings_of(diagnosis).items() if finding.is_found]


@pytest.mark.parametrize("size", [(3, 3), (5, 7), (11, 11)])
def test_random_filters_have_no_fault(size):
    assert found_in(diagnosis_of(random_filters(size))) == []


@pytest.mark.parametrize("num", [1, 5, 30])
def test_planted_dead_filters(num):
    filters = random_filters()
    chosen = np.sort(np.random.default_rng(num).permutation(48)[:num])
    filters[..., chosen] *= 1e-3
    diagnosis = diagnosis_of(filters)
    assert found_in(diagnosis) == ["Dead filters", "Dead maps"]
    assert np.flatnonzero(diagnosis.first.is_dead).tolist() == chosen.tolist()
    evidence = findings_of(diagnosis)["Dead filters"].evidence
    assert evidence.startswith(f"Dead filters in conv1: {num} of 48, {num} with weights near zero")
    assert f"({', '.join(map(str, chosen[:8]))}{', …' if num > 8 else ''})" in evidence


@pytest.mark.parametrize("num", [1, 5, 30])
def test_planted_copies(num):
    filters = random_filters()
    chosen = np.sort(1 + np.random.default_rng(num).permutation(47)[:num])
    filters[..., chosen] = 1.5 * filters[..., :1]
    diagnosis = diagnosis_of(filters)
    assert found_in(diagnosis) == ["Near-duplicate filters"]
    assert np.flatnonzero(is_twin(diagnosis)).tolist() == chosen.tolist()


@pytest.mark.parametrize("frequency", [(0.5, 0.5), (0, 0.5), (0.4, 0.2)])
@pytest.mark.parametrize("size", few([(9, 7), (7, 7), (11, 11)]))
@pytest.mark.parametrize("num", [slow(1), 5])
def test_planted_high_frequencies(num, size, frequency):
    filters = random_filters(size)
    chosen = np.sort(np.random.default_rng(num).permutation(48)[:num])
    for number in chosen:
        filters[..., number] = grating(size, frequency) * (1, -0.5, 0.3)
        filters[..., number] += 1e-3 * random_filters(size, 1, number)[..., 0]
    diagnosis = diagnosis_of(filters)
    assert np.flatnonzero(is_high_frequency(diagnosis)).tolist() == chosen.tolist()
    assert findings_of(diagnosis)["High-frequency filters"].is_found


@pytest.mark.parametrize(
    ("size", "strides", "remedy"),
    [
        (
            11,
            4,
            "In the first layer, make the filters smaller (the paper: 7×7 instead of 11×11) and "
            "the stride smaller (the paper: 2 instead of 4).",
        ),
        (7, 2, "In the first layer, make the stride smaller (the paper: 2 instead of 4)."),
        (9, 1, "In the first layer, make the filters smaller (the paper: 7×7 instead of 11×11)."),
        (7, 1, "Filters and stride are small already: the paper has no further remedy."),
    ],
)
def test_the_remedy_is_what_is_not_done_yet(size, strides, remedy):
    convolution = layers.Conv2D(4, size, strides, use_bias=False)
    model = keras.Sequential([keras.Input((32, 32, 3)), convolution])
    convolution.set_weights([grating((size, size), (0.5, 0.5))[..., None] * np.ones((3, 4))])
    assert findings_of(diagnose_filters(model))["High-frequency filters"].remedy == remedy


def test_a_dominant_filter():
    filters = random_filters()
    filters[..., 3] *= 20
    diagnosis = diagnosis_of(filters)
    assert found_in(diagnosis) == ["Dominant filters"]
    finding = findings_of(diagnosis)["Dominant filters"]
    rms = np.sqrt((filters.astype("float64") ** 2).mean(axis=(0, 1, 2)))
    assert f"{rms.max() / np.median(rms):.1f} times the median" in finding.evidence
    assert finding.remedy == "Train with a filter RMS constraint (0.1 for pixels of ±128)."
    assert str(finding).startswith("Dominant filters: found. The largest filter of conv1 has RMS ")


def test_a_gap_in_the_middle():
    filters = random_filters((11, 11), 40)
    for number in range(20):
        filters[..., number] += 3 * grating((11, 11), (0, 0.02)) * (1, number / 20, 0)
    diagnosis = diagnosis_of(filters)
    np.testing.assert_allclose(filters_per_band(diagnosis), [0.5, 0, 0.5])
    assert findings_of(diagnosis)["Little in the middle frequencies"].is_found
    for number in range(10, 30):
        filters[..., number] = grating((11, 11), (0, 0.18)) * (1, number / 20, 0)
    diagnosis = diagnosis_of(filters)
    np.testing.assert_allclose(filters_per_band(diagnosis), [0.25, 0.5, 0.25])
    assert not findings_of(diagnosis)["Little in the middle frequencies"].is_found


def test_filters_that_are_all_zero():
    findings = findings_of(diagnosis_of(np.zeros((5, 5, 3, 4), "float32")))
    assert findings["Dominant filters"].is_found is None
    assert findings["Dead filters"].is_found
    assert "Dead filters in conv1: 4 of 4" in findings["Dead filters"].evidence


def net_of_stride(stride, size=7, image_size=(71, 64), seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((*image_size, 3)),
            layers.Conv2D(12, size, stride, activation="relu", name="conv1"),
            layers.MaxPooling2D(3, 2),
            layers.Conv2D(24, 3, activation="relu", name="conv2"),
        ]
    )


def smooth_images(image_size=(71, 64), num_images=50):
    """Sums of waves, the weaker the shorter, as in photographs."""
    rng = np.random.default_rng(0)
    frequencies = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, image_size), indexing="ij"))
    noise = rng.normal(size=(num_images, 3, *image_size))
    images = np.fft.ifft2(np.fft.fft2(noise) / (frequencies + 0.02)).real
    return np.moveaxis(images, 1, -1).astype("float32")


@pytest.mark.parametrize("seed", [0, slow(1)])
@pytest.mark.parametrize("size", [7, slow(11)])
def test_a_stride_of_4_is_found(size, seed):
    model = net_of_stride(4, size, seed=seed)
    finding = findings_of(diagnose_filters(model, smooth_images(), verbose=0))["Aliasing"]
    assert finding.is_found
    assert (
        finding.remedy == "Make the stride of the first layer smaller (the paper: 2 instead of 4)."
    )
    assert "the energy at stride 4×4 of conv1 is" in finding.evidence


@pytest.mark.slow
def test_a_stride_of_1_has_no_aliasing_and_small_windows_cannot_show_it():
    images = smooth_images()
    finding = findings_of(diagnose_filters(net_of_stride(1), images, verbose=0))["Aliasing"]
    assert finding.is_found is False
    assert finding.evidence == "conv1 has stride 1, which causes none."
    smallest = keras.Sequential(
        [
            keras.Input((71, 64, 3)),
            layers.Conv2D(4, 3, 6, activation="relu", name="conv1"),
            layers.Conv2D(3, 1, activation="relu", name="conv2"),
        ]
    )
    finding = findings_of(diagnose_filters(smallest, images, verbose=0))["Aliasing"]
    assert finding.is_found is None
    assert finding.evidence == "The windows of conv2, 3×3 pixels, are too small for stride 6×6."


def test_without_images_two_things_are_not_looked_at():
    findings = findings_of(diagnosis_of(random_filters()))
    not_looked_at = [name for name, finding in findings.items() if finding.is_found is None]
    assert not_looked_at == ["Dead maps", "Aliasing"]
    assert str(findings["Aliasing"]) == (
        "Aliasing: not looked at. This needs images and a second convolution layer."
    )


def test_dead_maps_are_told_layer_by_layer():
    model = net_of_stride(2)
    for name, dead in (("conv1", [2, 5]), ("conv2", [0])):
        kernel, bias = model.get_layer(name).get_weights()
        bias[dead] = -1e6
        model.get_layer(name).set_weights([kernel, bias])
    findings = findings_of(diagnose_filters(model, smooth_images(), verbose=0))
    assert findings["Dead maps"].evidence == (
        "Over 50 images, in 2 of 2 convolution layers: 2 of 12 in conv1 (2, 5), 1 of 24 in conv2 "
        "(0)."
    )
    assert findings["Dead filters"].evidence == (
        "Dead filters in conv1: 2 of 12, 0 with weights near zero, 2 that are (almost) never "
        "active (2, 5)."
    )


def test_small_filters_are_of_high_frequency_by_chance():
    shape = (3, 3, 3, 96)
    counts = [
        is_high_frequency(diagnosis_of(random_filters((3, 3), 96, seed))).sum()
        for seed in range(20)
    ]
    allowed = high_frequency_filters_by_chance(shape)
    assert np.mean(counts) < allowed < 2 * np.mean(counts) + 2
    assert high_frequency_filters_by_chance((11, 11, 3, 96)) == 0


def test_lower_bound_of_a_median_holds_39_times_in_40():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(4000, 64))
    misses = np.mean([lower_bound_of_median(sample) > 0 for sample in samples])
    assert 0.01 < misses < 0.04
    assert lower_bound_of_median(np.array([3.0, 2.0])) == 2
