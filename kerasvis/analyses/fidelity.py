"""How far maps of single units can be trusted: what experts hold against such pictures, measured.

Each check is a file of its own; this one runs them on the same images and units, and sets their
numbers side by side.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tqdm

from kerasvis.analyses.chosen_units import choose_units
from kerasvis.analyses.cosine_convergence import CosineConvergence, measure_cosine_convergence
from kerasvis.analyses.insertion_deletion import InsertionDeletion, measure_insertion_deletion
from kerasvis.analyses.map_similarity import SMALLEST_SIDE, mean_of_defined
from kerasvis.analyses.patch_sufficiency import (
    ENOUGH,
    PatchSufficiency,
    as_patch_size,
    measure_patch_sufficiency,
)
from kerasvis.analyses.selectivity import Selectivity, measure_selectivity
from kerasvis.analyses.unit_maps import RectifiedProjection, as_methods
from kerasvis.analyses.weight_randomization import (
    WeightRandomization,
    check_stages,
    measure_weight_randomization,
    weighted_layers,
)
from kerasvis.data.npz_files import read_npz, write_npz
from kerasvis.occlusion.fills import filled
from kerasvis.occlusion.input_units import input_units, mean_of_data_set

CHECKS = {
    "weight_randomization": WeightRandomization,
    "selectivity": Selectivity,
    "cosine_convergence": CosineConvergence,
    "patch_sufficiency": PatchSufficiency,
    "insertion_deletion": InsertionDeletion,
}


@dataclasses.dataclass(frozen=True, eq=False)
class FidelityReport:
    """The checks of some methods on the same units.

    Attributes:
        layer: name of the layer.
        methods: tuple of names.
        features: int32 `(images,)`: the feature map, or the dense unit, chosen in each image.
        positions: int32 `(images, 2)`: (row, column) in it.
        activations: float32 `(images,)`.
        boxes: int64 `(images, 4)`: what each unit sees, (top, left, bottom, right) in pixels.
        weight_randomization: a `WeightRandomization`; like the following ones None if left out.
        selectivity: a `Selectivity`.
        cosine_convergence: a `CosineConvergence`.
        patch_sufficiency: a `PatchSufficiency`.
        insertion_deletion: an `InsertionDeletion`.
    """

    layer: str
    methods: tuple[str, ...]
    features: np.ndarray
    positions: np.ndarray
    activations: np.ndarray
    boxes: np.ndarray
    weight_randomization: WeightRandomization | None = None
    selectivity: Selectivity | None = None
    cosine_convergence: CosineConvergence | None = None
    patch_sufficiency: PatchSufficiency | None = None
    insertion_deletion: InsertionDeletion | None = None

    def save(self, filepath):
        """Writes an `.npz` archive, whole or not at all."""
        arrays = {}
        for name, value in vars(self).items():
            parts = {name: value}
            if name in CHECKS:
                parts = {f"{name}.{k}": v for k, v in vars(value).items()} if value else {}
            arrays |= {k: np.array(v) for k, v in parts.items()}
        write_npz(filepath, arrays)

    @classmethod
    def load(cls, filepath):
        """Reads an archive written by `save`.

        Raises:
            ValueError: if the file is no such archive.
        """
        own = [field.name for field in dataclasses.fields(cls) if field.name not in CHECKS]
        arrays = read_npz(filepath, "a fidelity report", own)
        checks = {name: _restored(arrays, name, kind) for name, kind in CHECKS.items()}
        values = {name: _as_names(arrays[name]) for name in own}
        return cls(**values | {"layer": str(arrays["layer"])} | checks)


def fidelity_report(
    model,
    images,
    layer,
    methods=("deconvnet", "guided", "gradient"),
    *,
    feature_index=None,
    checks=tuple(CHECKS),
    stages=None,
    patch_size=None,
    fill_value="grey",
    preprocessing="auto",
    num_units=4,
    num_pairs=4,
    num_draws=5,
    num_steps=11,
    rules=(),
    seed=0,
    verbose="auto",
):
    """Checks how far the maps of single units tell what the units respond to.

    In every image one unit is asked about, the strongest. Its map is compared with maps of copies
    of the model with random weights, with maps of other units and of other images; two random
    signals are sent down the same way; and the patch and the pixels to which the map points are
    covered, and shown alone.

    Args:
        model: a functional or Sequential `keras.Model`; it is left as it is.
        images: `(images, rows, columns, channels)`, as the model takes them. Five to ten will do.
        layer: name of the layer whose units are asked about.
        methods: names out of `"deconvnet"`, `"guided"`, `"gradient"` and `"edges"`, a control that
            looks at the image alone; or a mapping from names to these or to functions
            `method(model, layer, images, target)`, which return maps of the shape of the images for
            a `kerasvis.targets.Unit` with one entry per image.
        feature_index: number of a feature map, or a list of one per image; by default the feature
            map in which the layer's strongest unit is.
        checks: names of the checks, which are those of the report's attributes.
        stages: names of the layers at which maps of random copies are compared; by default all
            layers with weights at or below `layer`.
        patch_size: `(height, width)` of the patch in pixels, or a side; by default a third of what
            a unit sees along each side.
        fill_value: how the image looks where it is covered: `"grey"`, `"mean"`, `"blur"`,
            `"noise"`, a number, a colour or an image; see `kerasvis.occlusion.filled`.
        preprocessing: a `kerasvis.data.Preprocessing`, or the name of one: how the images were made
            from pixels. By default that of the net of `keras.applications` whose name the model
            bears, and `"raw"` for others.
        num_units: units compared in one image.
        num_pairs: pairs of random signals for each image.
        num_draws: random boxes for each image.
        num_steps: points of the curves of insertion and deletion.
        rules: pairs for layers that the deconvnet does not know, as for `DeconvModel`.
        seed: of random weights, signals, boxes and orders.
        verbose: 1 or 0, with or without a progress bar; `"auto"`: with one on a terminal.

    Returns:
        A `FidelityReport`.

    Raises:
        ValueError: if an argument is wrong, or a chosen unit is not active.

    Reference:
        Adebayo et al. 2018; Mahendran & Vedaldi 2016; Sixt et al. 2020; Petsiuk et al. 2018; each
        in the file of its check. Zeiler & Fergus 2013, Section 4.2, for the covered patch.

    Example:
        >>> import kerasvis as kv
        >>> model = kv.convnets.ZFNet((64, 64, 3), classes=10, width=0.1, dense_units=32)
        >>> images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3))
        >>> report = fidelity_report(model, images, "conv2", checks=["selectivity"])
        >>> report.selectivity.between_units.shape
        (3, 2, 4)
    """
    images = np.asarray(images, "float32")
    _check_images(images)
    counts = {"num_pairs": num_pairs, "num_draws": num_draws}
    _check_counts(counts, num_units, num_steps, verbose)
    methods, checks = as_methods(methods, rules), _as_checks(checks)
    units, activations = choose_units(model, layer, images, feature_index, rules)
    _check_sight(units)
    stages = check_stages(weighted_layers(model, layer), stages)
    patch_size = as_patch_size(patch_size, units)
    preprocessing = input_units(model, preprocessing)
    mean = mean_of_data_set(model, preprocessing)
    fill = {"mean": mean, "patch_size": patch_size, "seed": seed}
    fills = np.stack([filled(image, fill_value, preprocessing, **fill) for image in images])
    rectifications = {
        name: method.rectification
        for name, method in methods.items()
        if isinstance(method, RectifiedProjection)
    }
    asked = (model, layer, images, units)

    num_maps = len(methods) * len(images)
    num_advances = {
        "weight_randomization": 2 * len(stages),
        "selectivity": num_maps,
        "cosine_convergence": len(rectifications) * num_pairs,
        "patch_sufficiency": num_maps,
        "insertion_deletion": num_maps + len(images),
    }
    disable = {"auto": None}.get(verbose, not verbose)  # None: shown on a terminal only
    total = sum(num_advances[name] for name in checks)
    with tqdm.tqdm(total=total, desc="Fidelity", disable=disable) as bar:
        common = {"advance": bar.update}
        sampled = {**common, "seed": seed, "rules": rules}
        run = {
            "weight_randomization": lambda: measure_weight_randomization(
                *asked, methods, stages=stages, seed=seed, **common
            ),
            "selectivity": lambda: measure_selectivity(
                *asked, activations, methods, num_units=num_units, **common
            ),
            "cosine_convergence": lambda: dataclasses.replace(
                measure_cosine_convergence(
                    *(model, layer, images, activations, tuple(rectifications.values())),
                    num_pairs=num_pairs,
                    **sampled,
                ),
                methods=tuple(rectifications),
            ),
            "patch_sufficiency": lambda: measure_patch_sufficiency(
                *asked, methods, fills, patch_size=patch_size, num_draws=num_draws, **sampled
            ),
            "insertion_deletion": lambda: measure_insertion_deletion(
                *asked, methods, fills, num_steps=num_steps, **sampled
            ),
        }
        found = {name: run[name]() for name in checks}
    return FidelityReport(
        layer,
        tuple(methods),
        units.features,
        units.positions,
        units.activations,
        units.boxes,
        **found,
    )


class Row(NamedTuple):
    """One number of each method.

    Attributes:
        check: name of the check.
        measure: what the number is.
        values: `{method: number}`; a method for which there is none is left out.
        reference: `(name, number)` of what to compare with, or None.
    """

    check: str
    measure: str
    values: dict
    reference: tuple | None = None


def fidelity_rows(report):
    """The report as rows of a table, means over images.

    Args:
        report: a `FidelityReport`.

    Returns:
        List of `Row`s, check by check; of checks that were left out there are none.
    """
    of_check = {
        "weight_randomization": _randomization_rows,
        "selectivity": _selectivity_rows,
        "cosine_convergence": _cosine_rows,
        "patch_sufficiency": _patch_rows,
        "insertion_deletion": _curve_rows,
    }
    rows = []
    for name, make_rows in of_check.items():
        if (check := getattr(report, name)) is not None:
            rows += make_rows(check)
    return rows


def _randomization_rows(check):
    rows = []
    top, all_layers = f"random at {check.layers[0]}", f"random down to {check.layers[-1]}"
    for number, measure in enumerate(check.measures):
        for stage, name in {0: top, len(check.layers) - 1: all_layers}.items():
            means = mean_of_defined(check.cascading[:, stage, :, number])
            rows.append(Row("weights", f"{name}: {measure}", _by_method(check, means)))
    return rows


def _selectivity_rows(check):
    rows = []
    for number, measure in enumerate(check.measures):
        for name in ("between_units", "between_images"):
            means = mean_of_defined(getattr(check, name)[..., number])
            label = f"{name.replace('_', ' ')}: {measure}"
            rows.append(Row("selectivity", label, _by_method(check, means)))
    return rows


def _cosine_rows(check):
    if not check.methods:
        return []
    arrived = check.cosines[:, -1].reshape(len(check.methods), -1)
    means = mean_of_defined(arrived)
    return [Row("cosine", "of random signals, at the image", _by_method(check, means))]


def _patch_rows(check):
    size = "×".join(map(str, check.patch_size))
    rows = [
        Row(
            "patch",
            f"activation, {size} {what}",
            _by_method(check, getattr(check, name).mean(axis=1)),
            ("random", float(mean_of_defined(getattr(check, f"random_{name}").ravel()))),
        )
        for name, what in (("covered", "covered"), ("shown", "alone"))
    ]
    often = check.how_often_enough()
    random = check.random_shown[~np.isnan(check.random_shown)]
    reference = ("random", float((random >= ENOUGH).mean()) if random.size else np.nan)
    label = f"images where it keeps {ENOUGH:.0%} alone"
    nothing = Row(
        "patch", "activation, nothing shown", _by_method(check, [check.blank.mean()] * len(often))
    )
    return [*rows, Row("patch", label, _by_method(check, often), reference), nothing]


def _curve_rows(check):
    rows = []
    for name in ("deletion", "insertion"):
        *means, random = getattr(check, f"{name}_area").mean(axis=1)
        values = {m: float(x) for m, x in zip(check.methods, means, strict=False)}
        rows.append(Row("pixels", f"{name}, area", values, ("random", float(random))))
    return rows


def _by_method(check, numbers):
    return {m: float(x) for m, x in zip(check.methods, numbers, strict=True)}


def _restored(arrays, name, kind):
    """The result of one check, or None if it was left out."""
    parts = {field.name: arrays.get(f"{name}.{field.name}") for field in dataclasses.fields(kind)}
    if any(part is None for part in parts.values()):
        return None
    return kind(**{k: _as_names(v) for k, v in parts.items()})


def _as_names(array):
    """A tuple of names, where the array holds text; else the array."""
    return tuple(map(str, array.ravel())) if array.dtype.kind == "U" else array


def _as_checks(checks):
    checks = (checks,) if isinstance(checks, str) else tuple(checks)
    if unknown := [name for name in checks if name not in CHECKS]:
        raise ValueError(f"There is no check {unknown[0]!r}: give some of {', '.join(CHECKS)}.")
    if not checks:
        raise ValueError(f"No check was given: give some of {', '.join(CHECKS)}.")
    return tuple(name for name in CHECKS if name in checks)


def _check_images(images):
    if images.ndim != 4 or not len(images):
        raise ValueError(
            f"Images of shape {images.shape} came, but (images, rows, columns, channels) were "
            "expected, one or more."
        )


def _check_sight(units):
    height, width = (units.boxes[:, 2:] - units.boxes[:, :2]).min(axis=0)
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"A unit of layer {units.layer!r} sees {height}×{width} pixels, too few for a map: "
            f"give a layer whose units see {SMALLEST_SIDE} pixels or more along each side."
        )


def _check_counts(counts, num_units, num_steps, verbose):
    for name, number in counts.items():
        if number < 1:
            raise ValueError(f"{name} is {number}: give 1 or more.")
    for name, number in {"num_units": num_units, "num_steps": num_steps}.items():
        if number < 2:
            raise ValueError(f"{name} is {number}: give 2 or more.")
    if verbose not in ("auto", 0, 1):
        raise ValueError(f"verbose is {verbose!r}: give 'auto', 0 or 1.")
