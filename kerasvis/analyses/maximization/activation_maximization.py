"""Images that a unit prefers, found by gradient ascent from noise.

The other methods show what a unit responds to in a photograph. This one needs no photograph, and
may show patterns that occur in none.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import keras
import numpy as np
import tqdm

from kerasvis.analyses.maximization.pixel_parametrization import MAX_PIXEL, PixelParametrization
from kerasvis.analyses.maximization.total_variation import total_variation_gradient
from kerasvis.arguments import standardize_model, standardize_preprocessing
from kerasvis.attributions.activation_gradient import ActivationGradient
from kerasvis.graph import image_shape
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

if TYPE_CHECKING:
    from kerasvis.deconvnet.targets import Target


@dataclasses.dataclass(frozen=True, eq=False)
class PreferredImages(Result):
    """Images found by gradient ascent.

    Attributes:
        layer: name of the layer.
        feature_indices: int64 `(images,)`.
        pixels: uint8 `(images, rows, columns, channels)`, RGB.
        activations: float32 `(images,)`, for the rounded pixels; the sum of a whole feature map.
        history: float32 `(images, steps)`: the activation of the jittered image before each step.
    """

    layer: str
    feature_indices: Annotated[np.ndarray, Array("int64", "images")]
    pixels: Annotated[np.ndarray, Array("uint8", "images", "rows", "columns", "channels")]
    activations: Annotated[np.ndarray, Array("float32", "images")]
    history: Annotated[np.ndarray, Array("float32", "images", "steps")]


def maximize_activation(
    model: keras.Model,
    layer: str,
    target: "Target",
    *,
    image_size: Sequence[int] | None = None,
    preprocessing: Any = None,
    parametrization: Any = "frequencies",
    num_steps: int = 256,
    learning_rate: float = 0.05,
    initial_deviation: float = 0.3,
    jitter: int = 8,
    total_variation: float = 0.1,
    seed: int = 0,
    verbose: str | int = 0,
) -> PreferredImages:
    """Maximises an activation by gradient ascent, starting from noise.

    Each step shifts the image at random, computes the gradient of the activation, divides it by its
    root mean square, subtracts the gradient of the total variation, and applies it with Adam.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layer: name of the layer; its softmax or sigmoid is left out.
        target: `kerasvis.targets.Unit`, `Strongest` (the unit of the feature map that is strongest
            at each step) or `WholeMap` (the sum of the feature map); with a list of features, one
            image for each.
        image_size: `(height, width)` in pixels, for models that take any size.
        preprocessing: how the model's inputs are computed from pixels, see
            `kerasvis.data.Preprocessing.of`; by default that of the model, see
            `kerasvis.arguments.standardize_preprocessing`.
        parametrization: `"frequencies"` or `"pixels"`; see `pixel_parametrization`.
        num_steps: steps of the ascent.
        learning_rate: Adam's; about how much each coefficient changes in a step.
        initial_deviation: standard deviation of the coefficients at the start.
        jitter: maximum shift of the image in pixels along each axis before each step, with
            wrap-around.
        total_variation: weight of the gradient of the total variation, for pixels in [0, 1],
            relative to that of the activation, whose root mean square is 1.
        seed: seed of the noise and of the jitter.
        verbose: whether to show a progress bar.

    Returns:
        `PreferredImages`. If a unit is inactive at the start, with a gradient of 0, its image only
        becomes smooth: try another seed.

    Raises:
        ValueError: if an argument is wrong, the layer is unknown, or a layer below it cannot be
            projected through.

    Reference:
        Erhan et al. 2009, "Visualizing Higher-Layer Features of a Deep Network", Section 3.
        Deviation: they fix the norm of the image. Here pixels stay within their range, and the
        regularizers are those of later work (Mahendran & Vedaldi 2015: total variation, jitter;
        Olah et al. 2017: frequencies).

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3, name="a")])
        >>> target = kv.targets.WholeMap([0, 3])
        >>> kv.maximize_activation(model, "a", target, num_steps=2).pixels.shape
        (2, 16, 16, 3)
    """
    _check(num_steps, learning_rate, initial_deviation, jitter, total_variation)
    model = standardize_model(model)
    preprocessing = standardize_preprocessing(model, preprocessing)
    derivatives = ActivationGradient(model, layer)
    num_images = np.size(target.feature)
    shape = (num_images, *_image_shape(model, image_size))
    parametrized = PixelParametrization(parametrization, shape)
    pixel_gradient = PixelGradient(derivatives, target, preprocessing, shape[-1])
    pixel_gradient.check(shape)

    rng = np.random.default_rng(seed)
    start = initial_deviation * rng.standard_normal(shape)
    coefficients = keras.Variable(start, dtype="float32")
    adam = keras.optimizers.Adam(learning_rate)
    history = np.empty((num_images, num_steps), "float32")
    for step in tqdm.trange(num_steps, desc="Activation maximization", disable=not verbose):
        pixels = parametrized.pixels(keras.ops.convert_to_numpy(coefficients))
        shift = rng.integers(-jitter, jitter + 1, 2)
        history[:, step], gradient = pixel_gradient(np.roll(pixels, shift, axis=(1, 2)))
        gradient = np.roll(_normalized(gradient), -shift, axis=(1, 2))
        gradient -= total_variation * total_variation_gradient(pixels / MAX_PIXEL)
        descent = -parametrized.coefficient_gradient(gradient, pixels)
        adam.apply([keras.ops.convert_to_tensor(descent, "float32")], [coefficients])
    pixels = parametrized.pixels(keras.ops.convert_to_numpy(coefficients))
    pixels = np.rint(pixels).astype("uint8")
    features = np.atleast_1d(np.asarray(target.feature, "int64"))
    return PreferredImages(layer, features, pixels, pixel_gradient(pixels)[0], history)


class PixelGradient:
    """Activations and their gradients with respect to RGB pixels of any float value."""

    def __init__(self, derivatives, target, preprocessing, num_channels):
        self._derivatives = derivatives
        self._target = target
        self._preprocessing = preprocessing
        # Every channel of the model's images is a scaled and shifted channel of the pixels.
        black, white = (
            preprocessing.images(np.full((1, 1, 1, num_channels), value))
            for value in (0, MAX_PIXEL)
        )
        self._scale = preprocessing.rgb(white - black) / MAX_PIXEL

    def check(self, shape):
        """Raises an error if the target or the size does not fit the model."""
        images = self._derivatives.check_images(np.zeros(shape, "float32"))
        self._derivatives.inputs_for(images, self._target)

    def __call__(self, pixels):
        images = self._preprocessing.images(pixels)
        inputs = self._derivatives.inputs_for(images, self._target)
        found = self._derivatives.predict_on_batch(inputs)
        return found["activation"], self._preprocessing.rgb(found["gradient"]) * self._scale


def _normalized(gradients):
    """Gradients divided by their root mean square over each image, where that is not 0."""
    rms = np.sqrt(np.mean(np.square(gradients, dtype="float64"), axis=(1, 2, 3), keepdims=True))
    return np.divide(gradients, rms, out=np.zeros(gradients.shape), where=rms > 0)


def _image_shape(model, image_size):
    *own_size, channels = image_shape(model)
    size = tuple(own_size if image_size is None else image_size)
    if None in size:
        raise ValueError(
            f"The model {model.name!r} takes images of any size: give image_size=(height, width). "
            f"Received: image_size={image_size!r}"
        )
    return (*size, channels)


def _check(num_steps, learning_rate, initial_deviation, jitter, total_variation):
    if num_steps < 1 or jitter < 0 or jitter != int(jitter):
        raise ValueError(
            "Give whole numbers, num_steps of 1 or more and jitter of 0 or more. "
            f"Received: num_steps={num_steps}, jitter={jitter}"
        )
    if not (learning_rate > 0 and initial_deviation >= 0 and total_variation >= 0):
        raise ValueError(
            "Give a learning_rate above 0, and initial_deviation and total_variation of 0 or more. "
            f"Received: learning_rate={learning_rate}, initial_deviation={initial_deviation}, "
            f"total_variation={total_variation}"
        )
