"""Converts pixels to the images that a model takes, and back."""

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from kerasvis.storage.fingerprints import digest

MODES = ("raw", "unit", "tf", "caffe", "torch")

# Means (and deviations) of ImageNet's training images, RGB, as keras.applications states them.
_CAFFE_MEAN = np.array([123.68, 116.779, 103.939], "float32")
_TORCH_MEAN = np.array([0.485, 0.456, 0.406], "float32")
_TORCH_DEVIATION = np.array([0.229, 0.224, 0.225], "float32")

# Prefix of a family's name → mode; the longest match wins.
_MODE_OF_FAMILY = {
    "convnext": "raw",
    "densenet": "torch",
    "efficientnet": "raw",
    "inceptionresnetv2": "tf",
    "inceptionv3": "tf",
    "mobilenet": "tf",
    "mobilenetv3": "raw",
    "nasnet": "tf",
    "resnet": "caffe",
    "resnet50v2": "tf",
    "resnet101v2": "tf",
    "resnet152v2": "tf",
    "resnetv2": "tf",
    "vgg": "caffe",
    "xception": "tf",
}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How pixels become the images that a model takes, and the inverse.

    Attributes:
        mode: `"raw"`, the pixels as they are; `"unit"`, scaled to [0, 1]; `"tf"`, scaled to
            [-1, 1]; `"caffe"`, the channels in BGR order minus their means; `"torch"`, scaled to
            [0, 1], minus the channels' means, divided by their deviations. A name for your own
            functions (see `of_functions`).
        forward: your own function from float32 pixels in [0, 255] to images, or None.
        inverse: its inverse, or None.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> kv.data.Preprocessing("tf").images(np.array([[[[0, 255, 0]]]], "uint8")).tolist()
        [[[[-1.0, 1.0, -1.0]]]]
    """

    mode: str = "raw"
    forward: Callable | None = None
    inverse: Callable | None = None

    def __post_init__(self):
        if self.forward is None and self.mode not in MODES:
            raise ValueError(
                f"There is no such preprocessing: give {', '.join(map(repr, MODES))}, a pair of "
                "functions (forward, inverse), or the `preprocess_input` of a module of "
                f"keras.applications. Received: preprocessing={self.mode!r}"
            )

    @classmethod
    def of(cls, preprocessing: Any, num_channels: int | None = None) -> Self:
        """The `Preprocessing` for an argument.

        Args:
            preprocessing: a `Preprocessing`; the name of a mode; a pair of functions `(forward,
                inverse)`; or the `preprocess_input` of a module of `keras.applications`.
            num_channels: number of channels of the images, if known; functions may accept no other.

        Raises:
            ValueError: if it is none of these.
        """
        if isinstance(preprocessing, cls):
            return preprocessing
        if isinstance(preprocessing, str):
            return cls(preprocessing)
        if isinstance(preprocessing, tuple | list) and len(preprocessing) == 2:
            forward, inverse = preprocessing
            try:
                return cls.of_functions(forward, inverse)
            except ValueError:
                if num_channels in (None, 3):
                    raise
            return cls.of_functions(forward, inverse, num_channels)
        module = str(getattr(preprocessing, "__module__", ""))
        if callable(preprocessing) and "keras" in module and ".applications." in module:
            return cls.of_application(module.rpartition(".")[2])
        raise ValueError(
            f"There is no such preprocessing: give {', '.join(map(repr, MODES))}, a pair of "
            "functions (forward, inverse), or the `preprocess_input` of a module of "
            f"keras.applications. Received: preprocessing={preprocessing!r}"
        )

    @classmethod
    def of_functions(cls, forward: Callable, inverse: Callable, num_channels: int = 3) -> Self:
        """Your own preprocessing.

        Args:
            forward: from pixels, float32 `(..., rows, columns, channels)` in [0, 255], to images.
            inverse: from images to pixels.
            num_channels: number of channels of the pixels on which the functions are tried.

        Raises:
            ValueError: if `inverse` does not return the pixels, within half a grey level.

        Example:
            >>> import numpy as np
            >>> import kerasvis as kv
            >>> halves = kv.data.Preprocessing.of_functions(lambda x: x / 510, lambda x: x * 510)
            >>> halves.pixels(halves.images(np.full((1, 2, 2, 3), 200, "uint8")))[0, 0, 0].tolist()
            [200, 200, 200]
        """
        probe = _probe_pixels(num_channels)
        try:
            images = np.asarray(forward(probe.copy()), "float32")
            back = np.asarray(inverse(images.copy()), "float32")
        except Exception as error:
            raise ValueError(
                "The functions of the preprocessing fail on pixels (images, rows, columns, "
                f"{num_channels}), float32 in [0, 255] ({error}): give functions of arrays. "
                f"Received: preprocessing=({forward!r}, {inverse!r})"
            ) from error
        if back.shape != probe.shape or not np.abs(back - probe).max() < 0.5:
            raise ValueError(
                "The preprocessing's inverse does not return the original pixels: give a pair "
                f"(forward, inverse). Received: preprocessing=({forward!r}, {inverse!r})"
            )
        name = getattr(forward, "__name__", "function").strip("<>")
        return cls(f"{name}-{digest([images])[:8]}", forward, inverse)

    @classmethod
    def of_application(cls, name: str) -> Self:
        """The preprocessing of a model of `keras.applications`.

        Args:
            name: of the model or its module, such as `"VGG16"`, `"ResNet50V2"` or `"resnet_v2"`.

        Returns:
            A `Preprocessing`: the module's `preprocess_input` and its inverse.

        Raises:
            ValueError: if the family is unknown.
        """
        letters = str(name).lower().replace("_", "")
        families = [family for family in _MODE_OF_FAMILY if letters.startswith(family)]
        if not families:
            near = difflib.get_close_matches(letters, _MODE_OF_FAMILY, n=3, cutoff=0.7)
            known = " or ".join(near) if near else ", ".join(sorted(_MODE_OF_FAMILY))
            raise ValueError(
                f"The preprocessing of this model is unknown, that of {known} is known: give a "
                f"Preprocessing with {', '.join(map(repr, MODES))}. Received: name={name!r}"
            )
        return cls(_MODE_OF_FAMILY[max(families, key=len)])

    @classmethod
    def recognized(cls, images: np.ndarray) -> Self | None:
        """Infers the preprocessing from the range of images: uint8 or [0, 255], [0, 1], [-1, 1].

        Args:
            images: `(images, rows, columns, channels)`, any numbers.

        Returns:
            A `Preprocessing`; None for other ranges.
        """
        images = np.asarray(images)
        if images.dtype == "uint8":
            return cls("raw")
        low, high = _finite_range(images)
        if low >= 0 and high <= 1:
            return cls("unit")
        if low >= 0 and high <= 255:
            return cls("raw")
        if low >= -1 and high <= 1:
            return cls("tf")
        return None

    def __str__(self):
        return {
            "raw": "pixels in [0, 255]",
            "unit": "pixels scaled to [0, 1]",
            "tf": "pixels scaled to [-1, 1]",
            "caffe": "BGR pixels minus the means of ImageNet",
            "torch": "pixels minus the means of ImageNet, divided by the deviations",
        }.get(self.mode, f"pixels preprocessed by {self.mode.rpartition('-')[0]}")

    def check_channels(self, num_channels: int) -> None:
        """Raises an error if the preprocessing has no means for the channels."""
        if self.mode in ("caffe", "torch") and num_channels != 3:
            raise ValueError(
                f"Preprocessing {self.mode!r} has means of 3 channels: give 'raw', 'unit', 'tf' or "
                f"a pair of functions. Received: images of {num_channels} channels"
            )

    def images(self, pixels: np.ndarray) -> np.ndarray:
        """The images that the model takes.

        Args:
            pixels: uint8 `(..., rows, columns, channels)`, RGB if there are three channels.

        Returns:
            float32 array of the same shape.
        """
        images = np.asarray(pixels, "float32")
        if self.forward is not None:
            return np.asarray(self.forward(np.array(images)), "float32")
        if self.mode == "unit":
            return images / np.float32(255)
        if self.mode == "caffe":
            return np.ascontiguousarray((images - _CAFFE_MEAN)[..., ::-1])
        if self.mode == "tf":
            return images / np.float32(127.5) - np.float32(1)
        if self.mode == "torch":
            return (images / np.float32(255) - _TORCH_MEAN) / _TORCH_DEVIATION
        return images

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """The pixels of images: the inverse of `images`.

        Args:
            images: `(..., rows, columns, channels)`, as the model takes them.

        Returns:
            uint8 array of the same shape, RGB if there are three channels, rounded and clipped to
            [0, 255].
        """
        pixels = np.asarray(images, "float32")
        if self.inverse is not None:
            pixels = np.asarray(self.inverse(np.array(pixels)), "float32")
        elif self.mode == "unit":
            pixels = pixels * np.float32(255)
        elif self.mode == "caffe":
            pixels = pixels[..., ::-1] + _CAFFE_MEAN
        elif self.mode == "tf":
            pixels = (pixels + np.float32(1)) * np.float32(127.5)
        elif self.mode == "torch":
            pixels = (pixels * _TORCH_DEVIATION + _TORCH_MEAN) * np.float32(255)
        return np.rint(pixels).clip(0, 255).astype("uint8")

    def check_range(self, images: np.ndarray) -> None:
        """Raises an error for images that this preprocessing cannot make from pixels.

        Args:
            images: `(..., rows, columns, channels)`.

        Raises:
            ValueError: if values are outside its range; or, for `"raw"`, if all are in [0, 1], like
                scaled pixels.
        """
        low, high = _finite_range(images)
        channels = np.shape(images)[-1]
        blank = self.images(np.repeat(np.array([[0.0], [255.0]], "float32"), channels, axis=1))
        ends = float(blank.min()), float(blank.max())
        slack = 1e-3 * (ends[1] - ends[0])
        is_float = np.asarray(images).dtype.kind == "f"
        is_scaled = self.mode == "raw" and is_float and 0 < high <= 1
        if low < ends[0] - slack or high > ends[1] + slack or is_scaled:
            raise ValueError(
                f"The values of the images range from {low:.4g} to {high:.4g}, but this "
                f"preprocessing of pixels makes values from {ends[0]:.4g} to {ends[1]:.4g}: give "
                "the preprocessing by which they were made, or leave it out if it is unknown. "
                f"Received: preprocessing={self.mode!r}"
            )

    def rgb(self, projections: np.ndarray) -> np.ndarray:
        """Projections with their channels in RGB order, with unchanged values.

        Args:
            projections: `(..., rows, columns, channels)`, channels in the order of `images`.

        Returns:
            Array of the same shape and dtype.
        """
        projections = np.asarray(projections)
        if projections.shape[-1] != 3:
            return projections
        if self.mode == "caffe":
            return projections[..., ::-1]
        return projections if self.inverse is None else projections[..., self._channel_order()]

    def _channel_order(self):
        """The channels of the images that depend most on red, green and blue."""
        grey = np.full((4, 1, 1, 3), 100, "float32")
        grey[[1, 2, 3], 0, 0, [0, 1, 2]] += 50
        images = self.images(grey)[:, 0, 0]
        return np.abs(images[1:] - images[:1]).argmax(axis=1)


def _finite_range(images):
    """The lowest and the highest value, ignoring NaN and infinity, which are reported elsewhere."""
    finite = np.asarray(images)[np.isfinite(images)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)


def _probe_pixels(num_channels):
    """Pixels for testing functions: float32 `(4, 3, 5, channels)`, from 0 to 255."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 5, num_channels)).astype("float32")
    pixels[0], pixels[1] = 0, 255
    return pixels
