"""What to train, on what, and how: options of `kerasvis train` and `kerasvis ablate`."""

import dataclasses
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import (
    Epochs,
    FilePath,
    Name,
    NumImages,
    NumUnits,
    Pixels,
    Seed,
    Width,
)
from kerasvis.commands.output import OutputFolder
from kerasvis.commands.told_as import told_as
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import keras

    from kerasvis.data.labelled.labelled_data import LabelledData
    from kerasvis.training import Recipe

# Defaults for the recipe "small"; with the paper's recipe the convnets are the paper's.
SMALL_STRIDES = {"zfnet": (1, 2), "alexnet": (2, 1)}
PAPER_STRIDES = {"zfnet": (2, 2), "alexnet": (4, 1)}


@Parameter(name="*", group="Convnet")
@dataclass(frozen=True, kw_only=True)
class ConvnetOptions:
    """The convnet.

    Attributes:
        net: zfnet, the paper's convnet, or alexnet, to which the paper compares it.
        width: factor on the paper's filters.
        dense_units: units in fc6 and in fc7.
        strides: strides of conv1 and of conv2; by default chosen by the recipe.
        normalization: by default chosen by the recipe.
    """

    net: Literal["zfnet", "alexnet"] = "zfnet"
    width: Width = 0.5
    dense_units: NumUnits = 512
    strides: tuple[Pixels, Pixels] | None = None
    normalization: Literal["local_response", "batch", "none"] | None = None

    @property
    def builder(self) -> Callable[..., "keras.Model"]:
        """The function that builds the convnet."""
        return {"zfnet": kv.convnets.ZFNet, "alexnet": kv.convnets.AlexNet}[self.net]

    def suited_to(self, recipe: str) -> "ConvnetOptions":
        """The same options, with defaults chosen by a recipe."""
        is_small = recipe == "small"
        strides = (SMALL_STRIDES if is_small else PAPER_STRIDES)[self.net]
        return dataclasses.replace(
            self,
            strides=self.strides or strides,
            normalization=self.normalization or ("batch" if is_small else "local_response"),
        )

    @property
    def keywords(self) -> dict[str, Any]:
        """The arguments of the builder."""
        return {
            "width": self.width,
            "strides": self.strides,
            "normalization": None if self.normalization == "none" else self.normalization,
        }


@Parameter(name="*", group="Training")
@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """The training.

    Attributes:
        data: an image folder, an .npz archive of JPEG images, or the name of a data set of TFDS.
        recipe: paper; small, for a few thousand small images; or the path of a recipe.json.
        crop_size: side of the convnet's input in pixels; by default 224 (paper) or 64 (small).
        epochs: the recipe's by default.
        seed: the recipe's by default.
    """

    data: Name
    recipe: Name = "small"
    crop_size: Pixels | None = None
    epochs: Epochs | None = None
    seed: Seed | None = None

    @property
    def is_named(self) -> bool:
        """Whether it is a built-in recipe and not one from a file."""
        return self.recipe in ("paper", "small")

    def load(self) -> "Recipe":
        """The `Recipe`.

        Raises:
            ValueError: if there is none, or a number is outside its range.
        """
        from kerasvis.training.recipe import Recipe

        if self.recipe == "paper":
            recipe = Recipe.scaled(self.crop_size or 224)
        elif self.recipe == "small":
            recipe = Recipe.for_small_images(self.crop_size or 64)
        elif self.crop_size:
            raise ValueError(
                "A recipe file states its crop_size: leave out --crop-size. Received: "
                f"--recipe={self.recipe} --crop-size={self.crop_size}"
            )
        else:
            with told_as("--recipe", self.recipe, "filepath="):
                recipe = Recipe.load(self.recipe)
        given: dict[str, Any] = {"epochs": self.epochs, "seed": self.seed}
        return dataclasses.replace(
            recipe, **{name: value for name, value in given.items() if value is not None}
        )


@Parameter(name="*", group="Records")
@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """Further output besides the model.

    Attributes:
        export: also write a SavedModel for plain TensorFlow.
        evolution: record the evolution of features (Figure 4).
        evolution_images: number of training images to record from.
        without_patches: leave image patches out of the evolution, so that it can be shared.
        tensorboard: folder to which curves, and with --evolution features, are written for
            TensorBoard.
    """

    export: bool = False
    evolution: bool = False
    evolution_images: NumImages = 500
    without_patches: bool = False
    tensorboard: FilePath | None = None

    def check(self) -> None:
        """Raises a ValueError for recordings that are not possible."""
        if self.without_patches and not self.evolution:
            raise ValueError(
                "--without-patches applies to the evolution of features, which is not recorded: "
                "also give --evolution, or leave it out."
            )
        if self.tensorboard is None:
            return
        if importlib.util.find_spec("tensorboard") is None:
            raise ValueError(
                "--tensorboard needs the package tensorboard: pip install "
                "'keras-deconvnet[tensorboard]'."
            )
        OutputFolder(self.tensorboard, "--tensorboard")

    def __str__(self) -> str:
        patches = " --without-patches" if self.without_patches else ""
        return f" --evolution{patches}" if self.evolution else ""


class TrainingSetup(NamedTuple):
    """Everything that defines a training run except the data.

    Attributes:
        training: the options of the recipe and the data.
        convnet: the options of the convnet, with all defaults set.
        recipe: the `Recipe`.
        records: the options for further output.
    """

    training: RecipeOptions
    convnet: ConvnetOptions
    recipe: "Recipe"
    records: RecordOptions


def load_data(source: str, recipe: "Recipe") -> "LabelledData":
    """The training and validation images, of the recipe's size.

    Raises:
        ValueError: if they cannot be loaded.
    """
    data = kv.data.load_labelled(source, image_size=recipe.image_size, seed=recipe.seed)
    if data.skipped:
        path, reason = data.skipped[0]
        unreadable = counted(len(data.skipped), "unreadable file")
        print(f"Skipped {unreadable}, the first is {path} ({reason}).")
    return data
