"""Contrast normalisation across feature maps, as in AlexNet."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasvis")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each activation by the activity of its neighbouring feature maps.

    At every position, `b[c] = a[c] / (bias + alpha * sum(a[j] ** 2)) ** beta`, where the sum runs
    over the `2 * depth_radius + 1` feature maps nearest to `c` (fewer at either end). The deconvnet
    does not invert it: the signal passes unchanged.

    Args:
        depth_radius: number of neighbouring feature maps on each side, at least 0.
        bias: the constant added to the sum, positive.
        alpha: weight of the sum of squares; it is not divided by the number of feature maps.
        beta: exponent.

    Call arguments:
        inputs: float tensor `(batch, ..., channels)`.

    Returns:
        A tensor of the shape and dtype of `inputs`. It is computed in float32 at least, since
        squares overflow in float16.

    Raises:
        ValueError: if `depth_radius` is negative or `bias` is not positive.

    Reference:
        Krizhevsky et al. 2012, Section 3.3, whose constants are the defaults; Zeiler & Fergus
        2013, Figure 3.
    """

    def __init__(
        self,
        depth_radius: int = 2,
        bias: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if depth_radius < 0:
            raise ValueError(
                "Give the number of neighbouring feature maps on each side, 0 or more. "
                f"Received: depth_radius={depth_radius!r}"
            )
        if bias <= 0:
            raise ValueError(
                "Give a positive number, which keeps the divisor from becoming 0. "
                f"Received: bias={bias!r}"
            )
        self.depth_radius = int(depth_radius)
        self.bias = float(bias)
        self.alpha = float(alpha)
        self.beta = float(beta)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        wide = inputs if inputs.dtype == "float64" else ops.cast(inputs, "float32")
        num_channels = inputs.shape[-1]
        radius = self.depth_radius
        edges = [(0, 0)] * (len(inputs.shape) - 1) + [(radius, radius)]
        squares = ops.pad(ops.square(wide), edges)
        activity = sum(squares[..., i : i + num_channels] for i in range(2 * radius + 1))
        normalized = wide / ops.power(self.bias + self.alpha * activity, self.beta)
        return ops.cast(normalized, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
