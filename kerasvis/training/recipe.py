"""The hyperparameters of a training run, with their sections of the paper."""

import dataclasses
import difflib
import json
import os
import typing
from typing import Any, Self

from kerasvis.storage.files import write_text
from kerasvis.storage.text_files import parse_json, read_text

PAPER_IMAGE_SIZE, PAPER_CROP_SIZE = 256, 224  # Section 3

LARGEST_SIZE = 16_384  # pixels
LARGEST = 1_000_000  # for numbers without another bound


def _in(least, most):
    return lambda value: least <= value <= most


def _above_0(value):
    return 0 < value <= LARGEST


_RANGES = {
    "image_size": (_in(1, LARGEST_SIZE), f"a size in pixels, 1 to {LARGEST_SIZE}"),
    "crop_size": (_in(1, LARGEST_SIZE), f"a size in pixels, 1 to {LARGEST_SIZE}"),
    "crops": (lambda value: value in ("ten", "random_scale"), "'ten' or 'random_scale'"),
    "smallest_crop": (lambda value: 0 < value <= 1, "a share of the image's side, in (0, 1]"),
    "batch_size": (_in(1, LARGEST), f"a number of images, 1 to {LARGEST}"),
    "learning_rate": (_above_0, f"a positive number, {LARGEST} at most"),
    "annealing": (lambda value: value in ("plateau", "cosine"), "'plateau' or 'cosine'"),
    "annealing_factor": (lambda value: 0 < value < 1, "a factor above 0 and below 1"),
    "annealing_patience": (_in(1, LARGEST), f"a number of epochs, 1 to {LARGEST}"),
    "momentum": (lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    "weight_decay": (_in(0, LARGEST), f"0 to {LARGEST}"),
    "dropout": (lambda value: 0 <= value < 1, "a probability from 0 to below 1"),
    "initial_deviation": (
        lambda value: value is None or _above_0(value),
        f"a positive standard deviation, {LARGEST} at most, or None for He initialisation",
    ),
    "filter_rms_limit": (
        lambda value: value is None or _above_0(value),
        f"a positive RMS, {LARGEST} at most, or None for no constraint",
    ),
    "epochs": (_in(1, LARGEST), f"a number of epochs, 1 to {LARGEST}"),
    "seed": (lambda value: 0 <= value < 2**32, "a whole number from 0 to below 2**32"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a convnet is trained; the defaults are the paper's (Section 3).

    `Recipe.scaled` is the paper's recipe for smaller images. `Recipe.for_small_images` is a variant
    by which models with batch normalisation train on a few thousand images in minutes.

    Attributes:
        image_size: side of the square images in pixels: the shorter side of a photograph is resized
            to it, and the centre square cropped.
        crop_size: rows and columns of the sub-crops that the model takes, in pixels.
        crops: `"ten"`, one of the ten sub-crops (corners and centre, each also mirrored), sampled
            for every image in every epoch; or `"random_scale"`, see `for_small_images`.
        smallest_crop: smallest side of a `"random_scale"` crop as a share of the image's.
        batch_size: images per step.
        learning_rate: at the start.
        annealing: `"plateau"`, lowered when the validation error stops improving; or `"cosine"`,
            decaying to 0 along half a cosine. Deviation: the paper lowers it by hand; a rule makes
            runs repeatable.
        annealing_factor: multiplier of the learning rate at a plateau. Deviation: the paper does
            not state it; 0.1 is customary.
        annealing_patience: epochs without improvement that make a plateau. Deviation: the paper
            does not state it.
        momentum: of SGD.
        nesterov: whether to use Nesterov momentum.
        weight_decay: decoupled, of all weights, as a share of the learning rate; the paper states
            none.
        dropout: probability in the dense layers 6 and 7.
        initial_deviation: standard deviation of the initial weights; biases start at 0. None uses
            He initialisation.
        filter_rms_limit: convolution filters with a larger RMS are rescaled to it; None sets no
            filter RMS constraint.
        epochs: passes over the training set.
        seed: of the weights, the order of the images, crops and dropout.

    Raises:
        ValueError: if a number is out of range.

    Reference:
        Zeiler & Fergus 2013, Section 3.

    Example:
        >>> import kerasvis as kv
        >>> kv.training.Recipe().epochs, kv.training.Recipe.scaled(64).image_size
        (70, 73)
    """

    image_size: int = PAPER_IMAGE_SIZE
    crop_size: int = PAPER_CROP_SIZE
    crops: str = "ten"
    smallest_crop: float = 1.0
    batch_size: int = 128
    learning_rate: float = 1e-2
    annealing: str = "plateau"
    annealing_factor: float = 0.1
    annealing_patience: int = 5
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    dropout: float = 0.5
    initial_deviation: float | None = 1e-2
    filter_rms_limit: float | None = 0.1
    epochs: int = 70
    seed: int = 0

    def __post_init__(self):
        for name, hint in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            is_in_range, expected = _RANGES.get(name, (lambda value: True, "true or false"))
            if not _has_type(value, hint) or not is_in_range(value):
                raise ValueError(
                    f"Give {expected} for the recipe's {name}. Received: {name}={value!r}"
                )
        sizes = f"crop_size={self.crop_size}, image_size={self.image_size}"
        if self.crop_size > self.image_size:
            raise ValueError(
                "The recipe's crops must fit in the image: give a crop_size up to image_size. "
                f"Received: {sizes}"
            )
        if self.crops == "random_scale" and self.crop_size != self.image_size:
            raise ValueError(
                "Crops of random scale are resized to the size of the image: give the recipe the "
                f"same crop_size and image_size. Received: {sizes}"
            )

    @classmethod
    def scaled(cls, crop_size: int, **changes: Any) -> Self:
        """The paper's recipe for a model that takes images of `crop_size`.

        The image is 8/7 of the crop, like 256 and 224: 73 for 64, to the nearest pixel. Nothing
        else differs from the paper.

        Args:
            crop_size: rows and columns of the model's input, in pixels.
            **changes: other fields.
        """
        image_size = round(crop_size * PAPER_IMAGE_SIZE / PAPER_CROP_SIZE)
        return cls(**{"image_size": image_size, "crop_size": crop_size} | changes)

    @classmethod
    def for_small_images(cls, crop_size: int = 64, **changes: Any) -> Self:
        """A variant for a few thousand small images and models with batch normalisation.

        Deviations from the paper, and why:

        - Crops of random scale and position, resized back to the image's size: on small images a
          stronger regulariser than ten fixed positions.
        - A learning rate of 0.05, possible with batch normalisation, which decays along half a
          cosine, Nesterov momentum, 45 epochs: minutes rather than days.
        - Decoupled weight decay: 15,000 images are few.
        - He initialisation, and no filter RMS constraint: batch normalisation undoes the scale of
          filters.

        Args:
            crop_size: rows and columns of the images and of the model's input, in pixels.
            **changes: other fields.
        """
        variant: dict[str, Any] = {
            "image_size": crop_size,
            "crop_size": crop_size,
            "crops": "random_scale",
            "smallest_crop": 0.6,
            "learning_rate": 0.05,
            "annealing": "cosine",
            "nesterov": True,
            "weight_decay": 5e-3,
            "initial_deviation": None,
            "filter_rms_limit": None,
            "epochs": 45,
        }
        return cls(**variant | changes)

    @property
    def kernel_initializer(self) -> Any:
        """The initialiser of all kernels, for Keras layers."""
        if self.initial_deviation is None:
            return "he_normal"
        return {"class_name": "RandomNormal", "config": {"stddev": self.initial_deviation}}

    def to_dict(self) -> dict:
        """The fields as a JSON-serialisable dictionary."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict, name: str = "The recipe") -> Self:
        """The recipe from a dictionary as `to_dict` returns it, with every field.

        Args:
            fields: `{name of the field: value}`.
            name: the recipe's name in errors.

        Raises:
            ValueError: if a field is unknown or missing, or a number is out of range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(fields, dict):
            raise ValueError(
                f"{name} is not a JSON object: give one with {', '.join(known)}. "
                f"Received: a {type(fields).__name__}"
            )
        if unknown := [field for field in fields if field not in known]:
            near = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"give {', '.join(known)}."
            raise ValueError(
                f"{name} has an unknown field {unknown[0]!r}: {hint} "
                f"Received: {unknown[0]}={fields[unknown[0]]!r}"
            )
        if missing := [field for field in known if field not in fields]:
            raise ValueError(
                f"{name} has no {', '.join(missing)}: give every field, so that a run can be "
                f"repeated. Received: {', '.join(fields) or 'no field'}"
            )
        return cls(**fields)

    def save(self, filepath: str | os.PathLike) -> None:
        """Writes the recipe as JSON, atomically."""
        write_text(filepath, json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, filepath: str | os.PathLike) -> Self:
        """Reads a recipe written by `save`.

        Raises:
            ValueError: if there is no such file, or it is not a recipe.
        """
        received = f"Received: filepath={os.fspath(filepath)!r}"
        try:
            fields = parse_json(read_text(filepath))
        except FileNotFoundError as error:
            raise ValueError(f"There is no such recipe: give a JSON file. {received}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"The file is not a recipe in JSON: {reason}. {received}") from error
        return cls.from_dict(fields, f"The recipe {filepath}")


def _has_type(value, hint):
    """Whether a value has the type of a field: an int fits a float, a bool does not."""
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, hint) or (isinstance(value, int) and isinstance(1.0, hint))
