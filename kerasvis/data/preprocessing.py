"""From pixels to what a model takes, and back."""

import dataclasses
import difflib

import numpy as np

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
    """How RGB pixels become the images that a model was trained on.

    Attributes:
        mode: `"raw"`, the pixels as they are; `"caffe"`, the channels in BGR order minus their
            means; `"tf"`, scaled to [-1, 1]; `"torch"`, scaled to [0, 1], minus the channels'
            means, over their deviations.

    Example:
        >>> Preprocessing("tf").images(np.array([[[[0, 255, 0]]]], "uint8")).tolist()
        [[[[-1.0, 1.0, -1.0]]]]
    """

    mode: str = "raw"

    def __post_init__(self):
        if self.mode not in ("raw", "caffe", "tf", "torch"):
            raise ValueError(
                f"There is no preprocessing {self.mode!r}: give 'raw', 'caffe', 'tf' or 'torch'."
            )

    @classmethod
    def of_application(cls, name):
        """The preprocessing of a net of `keras.applications`.

        Args:
            name: the net's name or its module's, as `"VGG16"`, `"ResNet50V2"` or `"resnet_v2"`.

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
                f"The preprocessing of {name!r} is not known, that of {known} is: give a "
                "Preprocessing with 'raw', 'caffe', 'tf' or 'torch'."
            )
        return cls(_MODE_OF_FAMILY[max(families, key=len)])

    def images(self, pixels):
        """What the model takes.

        Args:
            pixels: uint8 `(..., rows, columns, 3)`, RGB.

        Returns:
            float32 array of the same shape.
        """
        images = np.asarray(pixels, "float32")
        if self.mode == "caffe":
            return np.ascontiguousarray((images - _CAFFE_MEAN)[..., ::-1])
        if self.mode == "tf":
            return images / np.float32(127.5) - np.float32(1)
        if self.mode == "torch":
            return (images / np.float32(255) - _TORCH_MEAN) / _TORCH_DEVIATION
        return images

    def pixels(self, images):
        """The pixels that `images` came from: the inverse of `images`.

        Args:
            images: `(..., rows, columns, 3)`, as the model takes them.

        Returns:
            uint8 array of the same shape, RGB, rounded and cut to [0, 255].
        """
        pixels = np.asarray(images, "float32")
        if self.mode == "caffe":
            pixels = pixels[..., ::-1] + _CAFFE_MEAN
        elif self.mode == "tf":
            pixels = (pixels + np.float32(1)) * np.float32(127.5)
        elif self.mode == "torch":
            pixels = (pixels * _TORCH_DEVIATION + _TORCH_MEAN) * np.float32(255)
        return np.rint(pixels).clip(0, 255).astype("uint8")

    def check_range(self, images):
        """Refuses images that cannot have been made of pixels by this preprocessing.

        Args:
            images: `(..., rows, columns, channels)`.

        Raises:
            ValueError: if values lie outside the range that it makes; or, for `"raw"`, all of them
                in [0, 1], as of pixels that were scaled.
        """
        low, high = float(np.min(images)), float(np.max(images))
        ends = [float(f(self.images(np.array([[0.0] * 3, [255.0] * 3])))) for f in (np.min, np.max)]
        slack = 1e-3 * (ends[1] - ends[0])
        is_scaled = self.mode == "raw" and 0 < high <= 1
        if low < ends[0] - slack or high > ends[1] + slack or is_scaled:
            raise ValueError(
                f"The image's values lie from {low:.4g} to {high:.4g}, but those of pixels with "
                f"preprocessing {self.mode!r} from {ends[0]:.4g} to {ends[1]:.4g}: give the "
                "preprocessing by which it was made, or None and everything in units of the image."
            )

    def rgb(self, projections):
        """Projections with their channels in RGB order, values as they are.

        Args:
            projections: `(..., rows, columns, 3)`, channels in the order of `images`.

        Returns:
            Array of the same shape and dtype.
        """
        projections = np.asarray(projections)
        return projections[..., ::-1] if self.mode == "caffe" else projections
