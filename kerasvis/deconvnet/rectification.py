"""Rectification: what a ReLU lets pass on the way down.

The three rules differ in nothing else, and give three methods:

| rule        | lets pass                              | method                                  |
|-------------|----------------------------------------|-----------------------------------------|
| `deconvnet` | what is positive in the signal         | Zeiler & Fergus 2013, Section 2.1       |
| `guided`    | that, and only where the unit was on   | Springenberg et al. 2014                |
| `gradient`  | the signal, where the unit was on      | Simonyan et al. 2013: gradient saliency |

A unit is on where a small change of its input changes its output: above zero, and below the
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
    """The reconstructed signal goes through ReLU, because feature maps are always positive."""

    verb = "rectify"
    stands_for_activation = True

    def pass_down(self, signal: Any, record: "Record") -> Any:
        return ops.relu(signal)

    def compute_output_spec(self, signal: Any, record: "Record") -> list:
        return [keras.KerasTensor(signal.shape, self.compute_dtype)]

    def was_on(self, record: "Record") -> Any:
        """1 where the unit was on, 0 elsewhere; of the output's shape."""
        output = record.outputs[0]
        on = output > 0
        max_value = max_value_of(self.mirrored)
        if max_value is not None:
            on = ops.logical_and(on, output < max_value)
        return ops.cast(on, self.compute_dtype)


class GuidedRectification(Rectification):
    """What is positive in the signal, where the unit was on."""

    verb = "guide"

    def pass_down(self, signal, record):
        return ops.relu(signal) * self.was_on(record)


class GradientRectification(Rectification):
    """The signal, where the unit was on."""

    verb = "gate"

    def pass_down(self, signal, record):
        return signal * self.was_on(record)


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
