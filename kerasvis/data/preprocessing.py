"""From pixels to what a model takes, and back."""

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

# The first letters of a family's name → mode; the longest match wins.
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
    """How pixels become the images that a model takes, and the way back.

    Attributes:
        mode: `"raw"`, the pixels as they are; `"unit"`, scaled to [0, 1]; `"tf"`, scaled to
            [-1, 1]; `"caffe"`, the channels in BGR order minus their means; `"torch"`, scaled to
            [0, 1], minus the channels' means, over their deviations. Of functions of your own
            (see `of_functions`) a name.
        forward: a function of your own, from float32 pixels in [0, 255] to images; or None.
        inverse: the way back; or None.

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
    def of(cls, preprocessing: Any) -> Self:
        """The `Preprocessing` for what a user states.

        Args:
            preprocessing: a `Preprocessing`; the name of a mode; a pair of functions `(forward,
                inverse)`; or the `preprocess_input` of a module of `keras.applications`.

        Raises:
            ValueError: if it is none of these.
        """
        if isinstance(preprocessing, cls):
            return preprocessing
        if isinstance(preprocessing, str):
            return cls(preprocessing)
        if isinstance(preprocessing, tuple | list) and len(preprocessing) == 2:
            return cls.of_functions(*preprocessing)
        module = str(getattr(preprocessing, "__module__", ""))
        if callable(preprocessing) and "keras" in module and ".applications." in module:
            return cls.of_application(module.rpartition(".")[2])
        raise ValueError(
            f"There is no such preprocessing: give {', '.join(map(repr, MODES))}, a pair of "
            "functions (forward, inverse), or the `preprocess_input` of a module of "
            f"keras.applications. Received: preprocessing={preprocessing!r}"
        )

    @classmethod
    def of_functions(cls, forward: Callable, inverse: Callable) -> Self:
        """A preprocessing of your own.

        Args:
            forward: from pixels, float32 `(..., rows, columns, channels)` in [0, 255], to images.
            inverse: from images to pixels.

        Raises:
            ValueError: if `inverse` does not lead back to the pixels, within half a grey level.

        Example:
            >>> import numpy as np
            >>> import kerasvis as kv
            >>> halves = kv.data.Preprocessing.of_functions(lambda x: x / 510, lambda x: x * 510)
            >>> halves.pixels(halves.images(np.full((1, 2, 2, 3), 200, "uint8")))[0, 0, 0].tolist()
            [200, 200, 200]
        """
        probe = _probe_pixels()
        try:
            images = np.asarray(forward(probe.copy()), "float32")
            back = np.asarray(inverse(images.copy()), "float32")
        except Exception as error:
            raise ValueError(
                "The functions of the preprocessing fail on pixels (images, rows, columns, 3), "
                f"float32 in [0, 255] ({error}): give functions of arrays. "
                f"Received: preprocessing=({forward!r}, {inverse!r})"
            ) from error
        if back.shape != probe.shape or not np.abs(back - probe).max() < 0.5:
            raise ValueError(
                "The preprocessing's inverse does not lead back to the pixels: give a pair "
                f"(forward, inverse). Received: preprocessing=({forward!r}, {inverse!r})"
            )
        name = getattr(forward, "__name__", "function").strip("<>")
        return cls(f"{name}-{digest([images])[:8]}", forward, inverse)

    @classmethod
    def of_application(cls, name: str) -> Self:
        """The preprocessing of a model of `keras.applications`.

        Args:
            name: the model's name or its module's, as `"VGG16"`, `"ResNet50V2"` or `"resnet_v2"`.

        Returns:
            A `Preprocessing`: the module's own `preprocess_input`, with its inverse.

        Raises:
            ValueError: if the family is unknown.
        """
        letters = str(name).lower().replace("_", "")
        families = [family for family in _MODE_OF_FAMILY if letters.startswith(family)]
        if not families:
            near = difflib.get_close_matches(letters, _MODE_OF_FAMILY, n=3, cutoff=0.7)
            known = " or ".join(near) if near else ", ".join(sorted(_MODE_OF_FAMILY))
            raise ValueError(
                f"The preprocessing of this model is not known, that of {known} is: give a "
                f"Preprocessing with {', '.join(map(repr, MODES))}. Received: name={name!r}"
            )
        return cls(_MODE_OF_FAMILY[max(families, key=len)])

    @classmethod
    def recognized(cls, images: np.ndarray) -> Self | None:
        """The preprocessing that the range of images tells: uint8 or [0, 255], [0, 1], [-1, 1].

        Args:
            images: `(images, rows, columns, channels)`, any numbers.

        Returns:
            A `Preprocessing`; None where the range is none of these.
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
            "torch": "pixels minus the means of ImageNet, over the deviations",
        }.get(self.mode, f"pixels preprocessed by {self.mode.rpartition('-')[0]}")

    def check_channels(self, num_channels: int) -> None:
        """Refuses channels for which the preprocessing has no means."""
        if self.mode in ("caffe", "torch") and num_channels != 3:
            raise ValueError(
                f"Preprocessing {self.mode!r} has means of 3 channels: give 'raw', 'unit', 'tf' or "
                f"a pair of functions. Received: images of {num_channels} channels"
            )

    def images(self, pixels: np.ndarray) -> np.ndarray:
        """What the model takes.

        Args:
            pixels: uint8 `(..., rows, columns, channels)`, RGB where there are three.

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
        """The pixels that `images` came from: the inverse of `images`.

        Args:
            images: `(..., rows, columns, channels)`, as the model takes them.

        Returns:
            uint8 array of the same shape, RGB where there are three channels, rounded and cut to
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
        """Refuses images that cannot have been made of pixels by this preprocessing.

        Args:
            images: `(..., rows, columns, channels)`.

        Raises:
            ValueError: if values lie outside the range that it makes; or, for `"raw"`, all of them
                in [0, 1], as of pixels that were scaled.
        """
        low, high = _finite_range(images)
        channels = np.shape(images)[-1]
        ends = self.images(np.repeat(np.array([[0.0], [255.0]], "float32"), channels, axis=1))
        ends = float(ends.min()), float(ends.max())
        slack = 1e-3 * (ends[1] - ends[0])
        is_float = np.asarray(images).dtype.kind == "f"
        is_scaled = self.mode == "raw" and is_float and 0 < high <= 1
        if low < ends[0] - slack or high > ends[1] + slack or is_scaled:
            raise ValueError(
                f"The images' values lie from {low:.4g} to {high:.4g}, but those of pixels with "
                f"this preprocessing from {ends[0]:.4g} to {ends[1]:.4g}: give the preprocessing "
                "by which they were made, or leave it out where it is not known. "
                f"Received: preprocessing={self.mode!r}"
            )

    def rgb(self, projections: np.ndarray) -> np.ndarray:
        """Projections with their channels in RGB order, values as they are.

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
        """Which channel of the images follows red, green and blue most."""
        grey = np.full((4, 1, 1, 3), 100, "float32")
        grey[[1, 2, 3], 0, 0, [0, 1, 2]] += 50
        images = self.images(grey)[:, 0, 0]
        return np.abs(images[1:] - images[:1]).argmax(axis=1)


def _finite_range(images):
    """The lowest and the highest value but for NaN and infinity, which are reported elsewhere."""
    finite = np.asarray(images)[np.isfinite(images)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)


def _probe_pixels():
    """Pixels by which functions are known: float32 `(4, 3, 5, 3)`, from 0 to 255."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 3)).astype("float32")
    pixels[0], pixels[1] = 0, 255
    return pixels
