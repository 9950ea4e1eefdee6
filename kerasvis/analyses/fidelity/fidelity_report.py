"""How far maps of single units can be trusted: the objections of the literature, measured.

Each check has its own file. This one runs them on the same images and units, method by method.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tqdm

from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.cosine_convergence import measure_cosine_convergence
from kerasvis.analyses.fidelity.fidelity_on_engine import CheckOfMethod, checked_on
from kerasvis.analyses.fidelity.fidelity_parts import computed_from, part_name
from kerasvis.analyses.fidelity.fidelity_result import CHECKS, FidelityReport, joined
from kerasvis.analyses.fidelity.insertion_deletion import (
    RANDOM,
    by_chance,
    measure_insertion_deletion,
)
from kerasvis.analyses.fidelity.map_similarity import SMALLEST_SIDE
from kerasvis.analyses.fidelity.patch_sufficiency import (
    measure_patch_sufficiency,
    standardize_patch_size,
)
from kerasvis.analyses.fidelity.selectivity import measure_selectivity
from kerasvis.analyses.fidelity.unit_maps import RectifiedProjection, unit_methods
from kerasvis.analyses.fidelity.weight_randomization import (
    check_stages,
    measure_weight_randomization,
    weighted_layers,
)
from kerasvis.arguments import standardize_engine, standardize_images, standardize_verbose
from kerasvis.engines import Ray
from kerasvis.occlusion.baselines import baseline_image
from kerasvis.occlusion.data_set_mean import mean_of_data_set
from kerasvis.storage.parts import Parts


def fidelity_report(
    model: keras.Model,
    layer: str,
    images: Any,
    methods: Sequence[str] | Mapping[str, Any] = ("deconvnet", "guided", "gradient"),
    *,
    feature: int | Sequence[int] | None = None,
    checks: Sequence[str] = tuple(CHECKS),
    stages: Sequence[str] | None = None,
    patch_size: int | Sequence[int] | None = None,
    baseline: Any = "grey",
    preprocessing: Any = None,
    num_units: int = 4,
    num_pairs: int = 4,
    num_draws: int = 5,
    num_steps: int = 11,
    rules: str | Sequence[tuple] = (),
    seed: int = 0,
    directory: str | os.PathLike | None = None,
    engine: Ray | None = None,
    verbose: str | int = "auto",
) -> FidelityReport:
    """Tests how far the maps of single units show what the units respond to.

    The report tests one unit in every image, the strongest. It compares the unit's map with maps of
    copies of the model with random weights, with maps of other units, and with maps of other
    images. It projects two random signals from the same layer. And it occludes the patch and the
    pixels to which the map points, and shows them alone.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layer: name of the layer whose units are tested.
        images: what `kerasvis.arguments.standardize_images` takes. Five to ten are enough.
        methods: names out of `"deconvnet"`, `"guided"`, `"gradient"` and `"edges"`, a control that
            looks at the image alone; or a mapping from names to these or to functions
            `method(model, layer, images, target)`, which return maps of the shape of the images for
            a `kerasvis.targets.Unit` with one entry per image.
        feature: number of a feature map, or a list of one per image; by default the feature
            map that contains the layer's strongest unit.
        checks: names of the checks to run, as in the report's attributes; all by default.
        stages: names of the layers at which maps of random copies are compared; by default all
            layers with weights at or below `layer`.
        patch_size: `(height, width)` of the patch in pixels, or one number for squares; by default
            a third of each side of the largest receptive field.
        baseline: what replaces occluded pixels: `"grey"`, `"mean"`, `"blur"`, `"noise"`, a number,
            a colour or an image; see `kerasvis.occlusion.baseline_image`.
        preprocessing: how `images` were computed from pixels, see `kerasvis.data.Preprocessing.of`;
            by default as `kerasvis.arguments.standardize_images` infers it.
        num_units: units compared in one image.
        num_pairs: pairs of random signals for each image.
        num_draws: random boxes for each image.
        num_steps: points of the curves of insertion and deletion.
        rules: pairs for layers that the deconvnet does not know, as for `DeconvModel`.
        seed: seed of the random weights, signals, boxes and orders of pixels.
        directory: folder that caches the results, one part per check and method, so that an
            interrupted run resumes; see `kerasvis.analyses.fidelity.fidelity_parts`.
        engine: a `kerasvis.engines.Ray` to run the checks of each method on the machines of a
            cluster; None for this process.
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.

    Returns:
        A `FidelityReport`.

    Raises:
        ValueError: if an argument is wrong, or a chosen unit is not active.
        OSError: if `directory` cannot be written to; existing files stay intact.

    Reference:
        Adebayo et al. 2018; Mahendran & Vedaldi 2016; Sixt et al. 2020; Petsiuk et al. 2018; each
        in the file of its check. Zeiler & Fergus 2013, Section 4.2, for the occluded patch.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ... )
        >>> images = kv.data.PlantedObjects(2, (32, 32))[:]
        >>> report = kv.fidelity_report(model, "a", images, checks=["selectivity"], verbose=0)
        >>> report.selectivity.between_units.shape
        (3, 2, 4)
    """
    source = standardize_images(model, images, preprocessing)
    images, preprocessing = source.all().astype("float32"), source.preprocessing
    counts = {"num_pairs": num_pairs, "num_draws": num_draws}
    _check_counts(counts, num_units, num_steps)
    is_shown, engine = standardize_verbose(verbose), standardize_engine(engine)
    tested, checks = unit_methods(methods, rules), _standardized_checks(checks)
    _check_names(tested)
    units = choose_units(model, layer, images, feature, rules)
    _check_receptive_fields(units)
    stages = check_stages(weighted_layers(model, layer), stages)
    patch_size = standardize_patch_size(patch_size, units)
    mean = mean_of_data_set(model, preprocessing)
    options = {"mean": mean, "patch_size": patch_size, "seed": seed}
    baselines = np.stack(
        [baseline_image(image, baseline, preprocessing, **options) for image in images]
    )
    occluded = {"baselines": baselines, "seed": seed}
    plans = {
        "weight_randomization": Check(
            measure=measure_weight_randomization,
            methods=tested,
            settings={"stages": stages, "seed": seed},
            num_advances=2 * len(stages),
        ),
        "selectivity": Check(
            measure=measure_selectivity,
            methods=tested,
            settings={"num_units": num_units},
            num_advances=len(images),
        ),
        "cosine_convergence": Check(
            measure=_measure_cosines,
            methods={k: v for k, v in tested.items() if isinstance(v, RectifiedProjection)},
            settings={"num_pairs": num_pairs, "seed": seed},
            num_advances=num_pairs,
        ),
        "patch_sufficiency": Check(
            measure=measure_patch_sufficiency,
            methods=tested,
            settings={"patch_size": patch_size, "num_draws": num_draws, **occluded},
            num_advances=len(images),
        ),
        "insertion_deletion": Check(
            measure=measure_insertion_deletion,
            methods={**tested, RANDOM: by_chance},
            settings={"num_steps": num_steps, **occluded},
            num_advances=len(images),
        ),
    }
    plans = {name: plans[name] for name in checks}
    with Parts(directory, lambda: computed_from(units)) as parts:
        found = _measure_all(plans, units, parts, engine, is_shown)
    return FidelityReport(
        layer,
        tuple(tested),
        units.features,
        units.positions,
        units.activations,
        units.boxes,
        **found,
    )


class Check(NamedTuple):
    """How to run a check, one method at a time.

    Attributes:
        measure: function `(units, methods, *, advance, **settings)`.
        methods: `{name: method}` of the methods under test.
        settings: `{argument: value}` of everything that the result depends on besides model, layer,
            images, units and method.
        num_advances: how often `advance` is called for each method.
    """

    measure: Callable
    methods: dict
    settings: dict
    num_advances: int

    def of(self, units, methods, advance):
        """The result for some of the methods."""
        return self.measure(units, methods, advance=advance, **self.settings)


def _measure_all(plans, units, parts, engine, is_shown):
    """`{name: result}` of the checks; completed parts are not computed again."""
    names = {
        CheckOfMethod(check, name): part_name(check, name, method)
        for check, plan in plans.items()
        for name, method in plan.methods.items()
    }
    for one, part in names.items():
        parts.check_part(part, plans[one.check].settings)  # all of them, before any is measured
    total = sum(len(check.methods) * check.num_advances for check in plans.values())
    found, num_done = {}, 0
    with tqdm.tqdm(total=total, desc="Fidelity", disable=not is_shown) as bar:
        computed = {} if engine is None else _measure_on(engine, plans, units, names, parts, bar)
        for name, check in plans.items():
            results = []
            for method_name, method in check.methods.items():
                bar.set_postfix_str(f"{name}, {method_name}")
                one = CheckOfMethod(name, method_name)
                measure = functools.partial(
                    check.of, units, {method_name: method}, advance=bar.update
                )
                if one in computed:
                    measure = functools.partial(computed.get, one)
                results.append(parts.result(names[one], CHECKS[name], measure, of=check.settings))
                num_done += check.num_advances
                bar.update(max(num_done - bar.n, 0))  # a cached part does not advance it
            found[name] = joined(results or [check.of(units, {}, bar.update)])
    return found


def _measure_on(engine, plans, units, names, parts, bar):
    """`{CheckOfMethod: result}` of the missing parts; each is saved as soon as it is computed."""
    missing = [one for one, part in names.items() if not parts.is_complete(part)]
    computed = {}
    for one, result in checked_on(engine, units, plans, missing):
        parts.save(names[one], result.to_arrays())
        computed[one] = result
        bar.update(plans[one.check].num_advances)
    return computed


def _measure_cosines(units, methods, **options):
    """The cosine convergence of each method's rectification, under the method's name."""
    rectifications = tuple(method.rectification for method in methods.values())
    found = measure_cosine_convergence(units, rectifications, **options)
    return dataclasses.replace(found, methods=tuple(methods))


def _standardized_checks(checks):
    names = (checks,) if isinstance(checks, str) else tuple(checks)
    if unknown := [name for name in names if name not in CHECKS]:
        raise ValueError(
            f"There is no check {unknown[0]!r}: give some of {', '.join(CHECKS)}. "
            f"Received: checks={checks!r}"
        )
    if not names:
        raise ValueError(
            f"No check was given: give some of {', '.join(CHECKS)}. Received: checks={checks!r}"
        )
    return tuple(name for name in CHECKS if name in names)


def _check_names(methods):
    if RANDOM in methods:
        raise ValueError(
            f"The name {RANDOM!r} is reserved for the control: give the method another name. "
            f"Received: methods={list(methods)!r}"
        )


def _check_receptive_fields(units):
    height, width = (units.boxes[:, 2:] - units.boxes[:, :2]).min(axis=0)
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"A unit of layer {units.layer!r} has a receptive field of {height}×{width} pixels, "
            f"too small for a map: give a layer with {SMALLEST_SIDE} pixels or more per side. "
            f"Received: layer={units.layer!r}"
        )


def _check_counts(counts, num_units, num_steps):
    for name, number in counts.items():
        if number < 1:
            raise ValueError(f"Give a number of at least 1. Received: {name}={number}")
    for name, number in {"num_units": num_units, "num_steps": num_steps}.items():
        if number < 2:
            raise ValueError(f"Give a number of at least 2. Received: {name}={number}")
