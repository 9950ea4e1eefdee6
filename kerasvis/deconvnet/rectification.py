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
from keras import ops

from kerasvis.deconvnet.mirror import Mirror

if TYPE_CHECKING:
    from kerasvis.deconvnet.mirror import Record


RECTIFICATIONS = ("deconvnet", "guided", "gradient")


@keras.saving.register_keras_serializable(package="kerasvis")
class Rectification(Mirror):
    """The projected signal goes through a ReLU, because feature maps are always positive."""

    verb = "rectify"
    includes_activation = True

    def project(self, signal: Any, record: "Record") -> Any:
        return ops.relu(signal)

    def compute_output_spec(self, signal: Any, record: "Record") -> list:
        return [keras.KerasTensor(signal.shape, self.compute_dtype)]

    def was_active(self, record: "Record") -> Any:
        """1 where the unit was active, 0 elsewhere; of the output's shape."""
        output = record.outputs[0]
        active = output > 0
        max_value = max_value_of(self.mirrored)
        if max_value is not None:
            active = ops.logical_and(active, output < max_value)
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


def max_value_of(layer):
    """The value at which the layer's rectification saturates, or None."""
    if isinstance(layer, keras.layers.ReLU):
        return layer.max_value
    is_relu6 = getattr(layer, "activation", None) is keras.activations.relu6
    return 6.0 if is_relu6 else None
