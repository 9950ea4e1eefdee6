"""Rectification: what a ReLU passes on in the backward projection.

Three rules, which give three methods:

| rule        | passes on                              | method                                  |
|-------------|----------------------------------------|-----------------------------------------|
| `deconvnet` | what is positive in the signal         | Zeiler & Fergus 2013, Section 2.1       |
| `guided`    | that, where the unit was active        | Springenberg et al. 2014                |
| `gradient`  | the signal, where the unit was active  | Simonyan et al. 2013: gradient saliency |

A unit is active where a small change of its input changes its output: above zero, and below the
`max_value` of a ReLU that has one.
"""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from kerasvis.deconvnet.mirror import Mirror
from kerasvis.graph.activation_functions import function_of, fused_activation, is_relu
from kerasvis.graph.function_families import family_of

if TYPE_CHECKING:
    from kerasvis.deconvnet.mirror import Record


RECTIFICATIONS = ("deconvnet", "guided", "gradient")


@keras.saving.register_keras_serializable(package="kerasvis")
class Rectification(Mirror):
    """The reconstructed signal passes through a ReLU, because feature maps are always positive.

    As a rule for a smooth or leaky activation, it treats that activation as the ReLU that it
    approximates. This applies to the deconvnet alone; `"guided"` and `"gradient"` use the
    derivative of the activation.
    """

    verb = "rectify"
    includes_activation = True

    def __init__(self, call):
        super().__init__(call)
        function = fused_activation(call.layer) or function_of(call.node)
        if not is_relu(function):
            self.departure = "smooth and leaky activations are rectified as a ReLU is"
        self._limit = np.inf if function is None else family_of(function).limit

    def project(self, signal: Any, record: "Record") -> Any:
        return ops.relu(signal)

    def compute_output_spec(self, signal: Any, record: "Record") -> list:
        return [keras.KerasTensor(signal.shape, self.compute_dtype)]

    def was_active(self, record: "Record") -> Any:
        """1 where the unit was active, 0 elsewhere; of the output's shape."""
        output = record.outputs[0]
        active = output > 0
        if np.isfinite(self._limit):
            limit = ops.cast(self._limit, output.dtype)
            active = ops.logical_and(active, output < limit)
        return ops.cast(active, self.compute_dtype)


class GuidedRectification(Rectification):
    """What is positive in the signal, where the unit was active."""

    verb = "guide"

    def project(self, signal, record):
        return ops.relu(signal) * self.was_active(record)


class GradientRectification(Rectification):
    """The signal, where the unit was active."""

    verb = "gate"

    def project(self, signal, record):
        return signal * self.was_active(record)


RECTIFICATION_MIRRORS = {
    "deconvnet": Rectification,
    "guided": GuidedRectification,
    "gradient": GradientRectification,
}
