"""Maps of single units: what a unit responds to, according to a method.

A method is a function `method(model, layer, images, target)` that returns a signed float32 array of
the shape of `images`; `target` is a `kerasvis.targets.Unit` with one entry per image.
"""

import dataclasses
import functools
import inspect

from keras import ops

from kerasvis.analyses.fidelity.chosen_units import in_batches, plan_of
from kerasvis.attributions.methods import METHODS, checked_maps, standardize_methods
from kerasvis.deconvnet import passes
from kerasvis.deconvnet.rectification import RECTIFICATIONS, Rectification
from kerasvis.deconvnet.targets import as_arrays
from kerasvis.graph.batch_function import BatchFunction


class RectifiedProjection:
    """The backward projection from one unit, by one rule of rectification.

    Deviation: the signal starts as 1 below the unit's own rectification, whatever the activation.
    For an active unit that is the projection divided by its activation. In a copy with random
    weights the same unit may be inactive or negative, but still has a map to compare.

    Args:
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        rules: the user's rules for layers that the deconvnet does not know.
    """

    def __init__(self, rectification, rules=()):
        self.rectification, self._rules = rectification, rules
        # One per model; its weights may change between calls.
        self._plan = functools.cache(
            lambda model, layer: plan_of(model, layer, rectification, rules)
        )
        self._projector = functools.cache(
            lambda model, layer: unit_projector(self._plan(model, layer))
        )

    def __reduce__(self):
        return type(self), (self.rectification, self._rules)  # without the cached plans

    def __call__(self, model, layer, images, target):
        plan = self._plan(model, layer)
        features, positions = as_arrays(target, len(images), plan.shapes[plan.target][1:])
        inputs = {"images": images, "feature": features, "position": positions}
        return in_batches(self._projector(model, layer), inputs)


def unit_projector(plan):
    """Maps images, features and positions to projections that start from 1."""
    plan = below_own_rectification(plan)

    def project(inputs):
        tensors, switches = passes.forward(plan, inputs["images"])
        ones = ops.ones_like(tensors[plan.target], dtype=plan.steps[0].mirrors[0].compute_dtype)
        chosen = passes.choose(passes.with_positions(ones), inputs["feature"], inputs["position"])
        signal = ops.reshape(chosen[0], ops.shape(ones))
        return passes.project(plan, signal, tensors, switches)

    return BatchFunction(project, plan.layers)


def below_own_rectification(plan):
    """The plan without the rectification that is fused into the target layer, if one is."""
    first, *rest = plan.steps
    others = tuple(m for m in first.mirrors if not isinstance(m, Rectification))
    first = dataclasses.replace(first, mirrors=others or first.mirrors)
    return dataclasses.replace(plan, steps=(first, *rest))


def unit_methods(methods, rules=()):
    """`{name: method}`: functions of (model, layer, images, target) that return maps of units.

    Args:
        methods: what `kerasvis.attributions.methods.standardize_methods` takes. The deconvnet,
            guided and gradient methods start from 1, see `RectifiedProjection`.
        rules: the user's rules for layers that the deconvnet does not know.

    Raises:
        ValueError: see `standardize_methods`.
    """
    rectifications = {METHODS[name]: name for name in RECTIFICATIONS}
    return {
        name: RectifiedProjection(rectifications[function], rules)
        if function in rectifications
        else with_rules(function, rules)
        for name, function in standardize_methods(methods).items()
    }


def with_rules(function, rules):
    """The method with the user's rules, if it takes any."""
    if "rules" not in inspect.signature(function).parameters:
        return function
    bound = functools.partial(function, rules=rules)
    return functools.update_wrapper(bound, function)


def maps_of(name, method, units, model=None):
    """The checked maps of the chosen units by one method, of their model or a copy of it."""
    model = units.model if model is None else model
    maps = method(model, units.layer, units.images, units.target)
    return checked_maps(name, maps, units.images.shape)
