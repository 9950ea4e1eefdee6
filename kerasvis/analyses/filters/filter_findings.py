"""A filter diagnosis in words: the paper's faults, whether they are found, and the remedies."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kerasvis.analyses.filters.filter_spectra import BAND_EDGES, BANDS, high_shares_of_noise
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.analyses.filters.filter_diagnosis import FilterDiagnosis


# Each threshold lies between the values of random or healthy trained filters and those of faulty
# ones. benchmarks/filter_diagnosis.py prints how often each rule is wrong.

# Filters with random weights reach 1.1 to 1.3, those of trained models 1.6 to 3.
DOMINANCE = 4.0

# Random filters of 27 weights (3×3, RGB), the most similar of all, stay below 0.75 in a layer of a
# hundred, and trained models below 0.92. Copies with noise of a fifth of their size are at 0.98.
TWIN_CORRELATION = 0.95

# White noise has 0.8 of its energy in the high band, which is 0.8 of the spectrum's area. Of random
# 7×7 filters 1 in 500 reaches 0.9; of random 3×3 filters, whose spectra are coarse, 1 in 16.
# Gratings with periods below 3 pixels exceed it.
HIGH_FREQUENCY_SHARE = 0.9
# Small filters can reach it by chance. The fault is found if more filters do than expected of noise
# plus 1.5 standard deviations, which one random layer in ten exceeds.
CHANCE_DEVIATIONS = 1.5

# If filters were spread evenly over three bands, a third would be in the middle one.
LITTLE_IN_BETWEEN = 0.15

# The ratio is 1 without aliasing. Its median over features is uncertain, so a lower bound of the
# median is compared. At strides other than the model's, it stays below 1.1. At the model's own
# stride of 4 it is 1.25 and more for trained weights, and 4 and more for random ones.
ALIASING = 1.1


PAPER_FILTER_SIZE = 7  # pixels, of the paper's improved first layer


class Finding(NamedTuple):
    """One fault, and whether it was found.

    Attributes:
        name: short name of the fault.
        is_found: whether the fault was found; None if it could not be measured.
        evidence: a sentence with the numbers.
        remedy: a sentence with the paper's remedy; "" unless the fault was found.
    """

    name: str
    is_found: bool | None
    evidence: str
    remedy: str

    def __str__(self):
        state = {True: "found", False: "not found", None: "not looked at"}[self.is_found]
        return " ".join(filter(None, [f"{self.name}: {state}.", self.evidence, self.remedy]))


def filter_findings(diagnosis: "FilterDiagnosis") -> tuple[Finding, ...]:
    """Puts a diagnosis into words.

    Args:
        diagnosis: a `FilterDiagnosis`.

    Returns:
        Tuple of `Finding`: dominant filters, dead filters, near-duplicate filters, high-frequency
        filters, a gap in the middle frequencies, dead maps, aliasing.

    Reference:
        Zeiler & Fergus 2013, Sections 3 and 4.1, with the filter RMS constraint, smaller filters
        and a smaller stride as remedies. Deviation: the paper has no remedy for duplicates; the
        advice is to use fewer filters.
    """
    tests = (
        _dominance,
        _dead_filters,
        _duplicates,
        _high_frequencies,
        _little_in_between,
        _dead_maps,
        _aliasing,
    )
    findings = (test(diagnosis) for test in tests)
    return tuple(f if f.is_found else f._replace(remedy="") for f in findings)


def is_twin(diagnosis):
    """Which first-layer filters are near-duplicates of an earlier one, bool `(filters,)`."""
    return diagnosis.correlations >= TWIN_CORRELATION


def is_high_frequency(diagnosis):
    """Which first-layer filters contain mostly high frequencies, bool `(filters,)`."""
    return _living(diagnosis) & (diagnosis.band_shares[:, 2] >= HIGH_FREQUENCY_SHARE)


def filters_per_band(diagnosis):
    """Share of the first layer's living filters with most energy in each band, `(3,)`."""
    shares = diagnosis.band_shares[_living(diagnosis)]
    counts = np.bincount(shares.argmax(axis=1), minlength=len(BANDS))
    return counts / max(len(shares), 1)


def _living(diagnosis):
    return ~diagnosis.first.is_weak


def _dominance(diagnosis):
    living = diagnosis.rms[_living(diagnosis)]
    if not len(living):
        return Finding("Dominant filters", None, "All filters have weights near zero.", "")
    evidence = (
        f"The largest filter of {diagnosis.first_layer} has RMS {living.max():.3g}, "
        f"{diagnosis.dominance:.1f} times the median of {np.median(living):.3g} "
        f"(limit {DOMINANCE:g})."
    )
    return Finding(
        "Dominant filters",
        diagnosis.dominance > DOMINANCE,
        evidence,
        "Train with a filter RMS constraint (0.1 for pixels of ±128).",
    )


def _dead_filters(diagnosis):
    is_dead = diagnosis.first.is_dead
    num_weak = int(diagnosis.first.is_weak.sum())
    evidence = (
        f"Dead filters in {diagnosis.first_layer}: {int(is_dead.sum())} of {len(is_dead)}, "
        f"{num_weak} with weights near zero{_numbers(diagnosis.first.is_weak)}"
    )
    if diagnosis.first.is_watched:
        is_rare = diagnosis.first.is_rare
        evidence += f", {int(is_rare.sum())} that are (almost) never active{_numbers(is_rare)}"
    return Finding(
        "Dead filters",
        bool(is_dead.any()),
        f"{evidence}.",
        "Make the filters smaller, constrain their RMS, or use fewer.",
    )


def _duplicates(diagnosis):
    twins = is_twin(diagnosis)
    evidence = (
        f"Near-duplicates of earlier filters: {int(twins.sum())} of {len(twins)}"
        f"{_numbers(twins)}; the largest correlation is {diagnosis.correlations.max():.2f} "
        f"(limit {TWIN_CORRELATION:g})."
    )
    return Finding("Near-duplicate filters", bool(twins.any()), evidence, "Use fewer filters.")


def _high_frequencies(diagnosis):
    is_high = is_high_frequency(diagnosis)
    num_by_chance = high_frequency_filters_by_chance(diagnosis.kernels.shape)
    evidence = (
        f"Filters with {HIGH_FREQUENCY_SHARE:.0%} or more of their energy above "
        f"{BAND_EDGES[1]:g} cycles per pixel: {int(is_high.sum())} of {len(is_high)}"
        f"{_numbers(is_high)}; in noise, up to {num_by_chance} are expected."
    )
    return Finding(
        "High-frequency filters",
        bool(is_high.sum() > num_by_chance),
        evidence,
        _smaller(diagnosis),
    )


def _smaller(diagnosis):
    """The paper's changes of the first layer that the model does not have yet."""
    is_large = max(diagnosis.kernels.shape[:2]) > PAPER_FILTER_SIZE
    changes = [
        *(["filters smaller (the paper: 7×7 instead of 11×11)"] if is_large else []),
        *(["stride smaller (the paper: 2 instead of 4)"] if diagnosis.strides.max() > 1 else []),
    ]
    if not changes:
        return "Filters and stride are small already: the paper has no further remedy."
    return f"In the first layer, make the {' and the '.join(changes)}."


def high_frequency_filters_by_chance(shape):
    """The most high-frequency filters to expect of noise.

    Args:
        shape: `(height, width, channels, filters)`.
    """
    share = np.mean(high_shares_of_noise(shape[:2], shape[2]) >= HIGH_FREQUENCY_SHARE)
    deviation = np.sqrt(shape[3] * share * (1 - share))
    return int(shape[3] * share + CHANCE_DEVIATIONS * deviation)


def _little_in_between(diagnosis):
    low, middle, high = filters_per_band(diagnosis)
    evidence = (
        f"Filters with most energy below {BAND_EDGES[0]:g} cycles per pixel: {low:.0%}; in "
        f"between: {middle:.0%}; above {BAND_EDGES[1]:g}: {high:.0%}."
    )
    return Finding(
        "Little in the middle frequencies",
        bool(middle < LITTLE_IN_BETWEEN and min(low, high) > middle),
        evidence,
        _smaller(diagnosis),
    )


def _dead_maps(diagnosis):
    watched = [layer for layer in diagnosis.layers if layer.is_watched]
    if not watched and not any(layer.is_weak.any() for layer in diagnosis.layers):
        reason = "This needs images and rectified layers; no weights are near zero."
        return Finding("Dead maps", None, reason, "")
    dead = {layer.layer: layer.is_dead for layer in diagnosis.layers}
    found = [
        f"{int(is_dead.sum())} of {len(is_dead)} in {name}{_numbers(is_dead)}"
        for name, is_dead in dead.items()
        if is_dead.any()
    ]
    where = "By weights alone"
    if diagnosis.num_images:
        where = (
            f"Over {counted(diagnosis.num_images, 'image')}, in {len(watched)} of "
            f"{len(diagnosis.layers)} convolution layers"
        )
    evidence = f"{where}: {', '.join(found) or 'none'}."
    return Finding(
        "Dead maps",
        bool(found),
        evidence,
        "Constrain the RMS of filters, or train with a smaller learning rate or fewer filters.",
    )


def _aliasing(diagnosis):
    name, strides = "Aliasing", "×".join(map(str, diagnosis.strides.tolist()))
    if not diagnosis.second_layer:
        return Finding(name, None, "This needs images and a second convolution layer.", "")
    if diagnosis.strides.max() == 1:
        evidence = f"{diagnosis.first_layer} has stride 1, which causes none."
        return Finding(name, False, evidence, "")
    measured = diagnosis.aliasing[~np.isnan(diagnosis.aliasing)]
    if not len(measured):
        evidence = (
            f"The windows of {diagnosis.second_layer}, {diagnosis.projections.shape[1]}×"
            f"{diagnosis.projections.shape[2]} pixels, are too small for stride {strides}."
        )
        return Finding(name, None, evidence, "")
    bound = lower_bound_of_median(measured)
    evidence = (
        f"In projections of {diagnosis.second_layer} the energy at stride {strides} of "
        f"{diagnosis.first_layer} is {diagnosis.median_aliasing:.2f} times that around it, at "
        f"least {bound:.2f} (median of {counted(len(measured), 'feature')} and its lower bound; "
        f"limit {ALIASING:g})."
    )
    return Finding(
        name,
        bool(bound > ALIASING),
        evidence,
        "Make the stride of the first layer smaller (the paper: 2 instead of 4).",
    )


def lower_bound_of_median(values):
    """A bound that the true median falls below once in 40 times, from the order of `values` alone.

    The number of values below the true median has a binomial distribution, like heads in n throws
    of a coin. It is below n / 2 - sqrt(n), two standard deviations, in 2 % of all cases.
    """
    place = int(len(values) / 2 - np.sqrt(len(values)))
    return float(np.sort(values)[max(place, 0)])


def _numbers(condition, most=8):
    """The first indices at which the condition is true, in brackets."""
    places = np.flatnonzero(condition).tolist()
    if not places:
        return ""
    more = ", …" if len(places) > most else ""
    return f" ({', '.join(map(str, places[:most]))}{more})"
