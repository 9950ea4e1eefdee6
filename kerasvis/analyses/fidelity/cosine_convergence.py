"""Whether the backward projection forgets where it started.

Two random signals start at the layer and pass down. Where the method multiplies by matrices that
do not cancel one another, as with rectified signals, all signals turn into one direction: what
arrives at the image then no longer depends on what was sent.

Reference:
    Sixt, Granz & Landgraf 2020, "When explanations lie: why many modified BP attributions fail",
    Section 4, "cosine similarity convergence".
"""

import dataclasses
from typing import Annotated

import keras
import numpy as np
from keras import ops

from kerasvis.analyses.fidelity.chosen_units import in_batches, plan_of
from kerasvis.deconvnet import passes
from kerasvis.deconvnet.rectification import RECTIFICATIONS
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
    model,
    layer,
    images,
    activations,
    rectifications=RECTIFICATIONS,
    *,
    num_pairs=4,
    rules=(),
    seed=0,
    advance=lambda: None,
):
    """Sends pairs of random signals down, and measures their cosine at every layer below.

    The signals are drawn from the normal distribution, for every unit of the layer.

    Args:
        model: a functional or Sequential `keras.Model`.
        layer: name of the layer at which the signals start.
        images: float32 `(images, rows, columns, channels)`, which set switches and ReLUs.
        activations: float32 `(images, rows, columns, features)`, of the layer: for their shape.
        rectifications: names, out of `"deconvnet"`, `"guided"` and `"gradient"`.
        num_pairs: pairs of signals for each image.
        rules: the user's rules for layers that the deconvnet does not know.
        seed: of the signals.
        advance: called after every pair of every method.

    Returns:
        A `CosineConvergence`.
    """
    seeds = np.random.default_rng(seed).integers(2**31, size=num_pairs)
    found = []
    for rectification in rectifications:
        pairs, of_pairs = SignalPairs(plan_of(model, layer, rectification, rules)), []
        for pair_seed in seeds:
            signals = draw_signals(activations.shape, pair_seed)
            of_pairs.append(pairs.cosines(images, *signals))
            advance()
        found.append({name: [cosines[name] for cosines in of_pairs] for name in of_pairs[0]})
    calls = tuple(found[0]) if found else ()
    shape = (len(found), len(calls), num_pairs, len(images))
    cosines = np.array([list(of_calls.values()) for of_calls in found], "float64").reshape(shape)
    return CosineConvergence(tuple(rectifications), calls, cosines.swapaxes(2, 3))


def draw_signals(shape, seed):
    """Two random signals, float32 `(2, *shape)`."""
    return np.random.default_rng(seed).normal(size=(2, *shape)).astype("float32")


class SignalPairs(keras.Model):
    """Maps images and two signals to the cosines of the signals at each tensor.

    Args:
        plan: the `Plan` of the backward projection.
    """

    def __init__(self, plan):
        super().__init__(autocast=False)
        self._plan = plan
        self.convnet_layers = plan.layers
        self._names = {step.node.outputs[0]: step.node.name for step in plan.steps}
        self._names[plan.image] = IMAGE
        self.built = True

    def call(self, inputs):
        tensors, switches = passes.forward(self._plan, inputs["images"])
        shape = ops.shape(tensors[self._plan.target])
        signals = [ops.reshape(inputs[name], shape) for name in ("first", "second")]
        first, second = (
            passes.projected_signals(self._plan, signal, tensors, switches) for signal in signals
        )
        return {
            self._names[number]: cosine(signal, other)
            for (number, signal), (_, other) in zip(first, second, strict=True)
        }

    def cosines(self, images, first, second):
        """`{name of a call: float32 (images,)}` from the top; NaN where a signal is 0."""
        inputs = {"images": images, "first": first, "second": second}
        found = in_batches(self, inputs)
        return {name: found[name] for name in self._names.values() if name in found}


def cosine(first, second):
    """The cosine of the angle between two signals, image by image; 0 / 0 is NaN."""
    first, second = (ops.reshape(x, (ops.shape(x)[0], -1)) for x in (first, second))
    norms = [ops.sqrt(ops.sum(ops.square(x), axis=1)) for x in (first, second)]
    return ops.sum(first * second, axis=1) / (norms[0] * norms[1])
