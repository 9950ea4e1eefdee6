"""Whether the backward projection forgets its starting signal.

Two random signals are projected from the layer to the image. A method that rectifies signals in
effect multiplies by non-negative matrices. Then all signals converge to one direction, and what
arrives at the image no longer depends on the signal at the layer.

Reference:
    Sixt, Granz & Landgraf 2020, "When explanations lie: why many modified BP attributions fail",
    Section 4, "cosine similarity convergence".
"""

import dataclasses
from typing import Annotated

import numpy as np
from keras import ops

from kerasvis.analyses.fidelity.chosen_units import in_batches, plan_of
from kerasvis.deconvnet import passes
from kerasvis.deconvnet.rectification import RECTIFICATIONS
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

IMAGE = "image"  # where all signals arrive


@dataclasses.dataclass(frozen=True, eq=False)
class CosineConvergence(Result):
    """How similar two random signals become as they are projected.

    Attributes:
        methods: tuple of names of rectifications.
        calls: tuple of names: the layers at whose output the signals are compared, from the one
            at which they start, and `"image"`.
        cosines: float64 `(methods, calls, images, pairs)` in [-1, 1]; NaN where a signal is 0.
    """

    methods: tuple[str, ...]
    calls: tuple[str, ...]
    cosines: Annotated[np.ndarray, Array("float64", "methods", "calls", "images", "pairs")]


def measure_cosine_convergence(
    units, rectifications=RECTIFICATIONS, *, num_pairs=4, seed=0, advance=lambda: None
):
    """Projects pairs of random signals, and measures their cosine at every layer below.

    The signals are sampled from the normal distribution, for every unit of the layer.

    Args:
        units: the `ChosenUnits`. Signals start at their layer; their images set switches and ReLUs.
        rectifications: names, out of `"deconvnet"`, `"guided"` and `"gradient"`.
        num_pairs: pairs of signals for each image.
        seed: seed of the signals.
        advance: called after every pair of every method.

    Returns:
        A `CosineConvergence`.
    """
    images = units.images
    seeds = np.random.default_rng(seed).integers(2**31, size=num_pairs)
    calls, found = (), []
    for rectification in rectifications:
        plan = plan_of(units.model, units.layer, rectification, units.rules)
        cosines, of_pairs = signal_cosines(plan), []
        for pair_seed in seeds:
            first, second = random_signals(units.layer_activations.shape, pair_seed)
            inputs = {"images": images, "first": first, "second": second}
            of_pairs.append(in_batches(cosines, inputs))
            advance()
        names = dict.fromkeys(_names_of_calls(plan).values())
        calls = tuple(name for name in names if name in of_pairs[0])
        found.append([[of_pair[name] for of_pair in of_pairs] for name in calls])
    shape = (len(found), len(calls), num_pairs, len(images))
    values = np.array(found, "float64").reshape(shape)
    return CosineConvergence(tuple(rectifications), calls, values.swapaxes(2, 3))


def random_signals(shape, seed):
    """Two random signals, float32 `(2, *shape)`."""
    return np.random.default_rng(seed).normal(size=(2, *shape)).astype("float32")


def signal_cosines(plan):
    """Maps images and two signals to `{name of a call: cosine of the signals there}`."""
    names = _names_of_calls(plan)

    def cosines(inputs):
        tensors, switches = passes.forward(plan, inputs["images"])
        shape = ops.shape(tensors[plan.target])
        signals = [ops.reshape(inputs[name], shape) for name in ("first", "second")]
        first, second = (
            passes.projected_signals(plan, signal, tensors, switches) for signal in signals
        )
        return {
            names[number]: cosine(signal, other)
            for (number, signal), (_, other) in zip(first, second, strict=True)
        }

    return BatchFunction(cosines, plan.layers)


def _names_of_calls(plan):
    """`{tensor number: name}` of the tensors that the signals pass, from the top."""
    names = {n: step.node.name for step in plan.steps for n in step.node.outputs}
    return names | {plan.image: IMAGE}


def cosine(first, second):
    """The cosine of the angle between two signals, image by image; 0 / 0 is NaN."""
    first, second = (ops.reshape(x, (ops.shape(x)[0], -1)) for x in (first, second))
    norms = [ops.sqrt(ops.sum(ops.square(x), axis=1)) for x in (first, second)]
    return ops.sum(first * second, axis=1) / (norms[0] * norms[1])
