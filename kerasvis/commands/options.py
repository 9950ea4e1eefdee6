"""Groups of options that several commands take; each group is one argument of a command."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import CoercionError, Group, Parameter, Token

from kerasvis.commands.argument_types import (
    BatchSize,
    FilePath,
    Name,
    NumberFrom0,
    NumUnits,
    Pixels,
    PixelsFrom0,
    Seed,
    Size,
)
from kerasvis.commands.class_names import (
    check_class_names,
    class_index_of,
    load_class_names,
)
from kerasvis.commands.image_arguments import OpenModel, open_images
from kerasvis.commands.named_objects import convert_choice, load_object
from kerasvis.commands.told_as import told_as
from kerasvis.commands.trained_models import (
    check_layers,
    check_model_name,
    image_size_of,
    load_model,
)

if TYPE_CHECKING:
    import keras

    from kerasvis.data.images import Images
    from kerasvis.engines import Ray

Activation = Literal["auto", "softmax", "sigmoid", "exponential", "linear"]
MODEL, IMAGES, CLUSTER = (
    Group(title, sort_key=place) for place, title in enumerate(("Model", "Images", "Cluster"))
)


PREPROCESSINGS = ("raw", "unit", "tf", "caffe", "torch")
RULES = ("relaxed",)
PreprocessingName = Annotated[str, Parameter(converter=convert_choice(PREPROCESSINGS))]
RulesName = Annotated[str, Parameter(converter=convert_choice(RULES))]


def load_preprocessing(name: str | None) -> Any:
    """What `Preprocessing.of` takes, or None."""
    if name is None or name in PREPROCESSINGS:
        return name
    return load_object(name, "--preprocessing")


def load_rules(name: str | None) -> tuple:
    """The pairs that `DeconvModel` takes as its rules."""
    from kerasvis.deconvnet.rule_table import standardize_rules

    if name is None or name in RULES:
        return standardize_rules(name)
    return standardize_rules(load_object(name, "--rules"))


def convert_fixed(_: object, tokens: Sequence[Token]) -> str:
    """`name=value`; a `CoercionError` if the first token is something else."""
    name, equals, value = tokens[0].value.partition("=")
    if not (name and equals and value):
        raise CoercionError(msg="name=value", token=tokens[0], target_type=str)
    return tokens[0].value


FixedValue = Annotated[str, Parameter(converter=convert_fixed, metavar="NAME=VALUE")]


def load_fixed(given: tuple[str, ...]) -> dict[str, Any]:
    """`{name: value}` of inputs that are held fixed: a number, several numbers, or an array from a
    file.

    Raises:
        ValueError: if a value is none of these.
    """
    import numpy as np

    fixed = {}
    for name, _, value in (text.partition("=") for text in given):
        try:
            is_file = value.endswith(".npy")
            numbers = np.load(value) if is_file else [float(x) for x in value.split(",")]
        except (OSError, ValueError) as error:
            raise ValueError(
                "Give a number, several numbers separated by commas, or an .npy file as the value "
                f"of an input. Received: --fixed={name}={value}"
            ) from error
        fixed[name] = numbers[0] if len(numbers) == 1 and not is_file else numbers
    return fixed


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """The inputs and outputs of a model, and its rules.

    Attributes:
        weights: weights for a model of keras.applications: imagenet (default), random, or a weights
            file.
        image_size: height and width in pixels, for models that take any size.
        preprocessing: what the model takes: raw pixels, unit ([0, 1]), tf ([-1, 1]), caffe, torch,
            or module:NAME, your own pair of functions (forward, inverse); by default that of a
            known model, or raw.
        input: the image input, if the model has several inputs.
        fixed: name=value of the other inputs, held fixed: numbers, or an .npy file.
        output: the output with the scores, if the model has several outputs.
        rules: for layers that cannot be projected through: relaxed treats smooth activations as
            ReLUs; or module:NAME, your own rules.
    """

    weights: Name | None = None
    image_size: tuple[Pixels, Pixels] | None = None
    preprocessing: PreprocessingName | None = None
    input: str | None = None
    fixed: tuple[FixedValue, ...] = ()
    output: str | None = None
    rules: RulesName | None = None

    def check_name(self, name: str, **layers: str | Sequence[str] | None) -> None:
        """Checks the names of a model and its layers, as far as possible before Keras starts.

        Args:
            name: the model's name or file.
            **layers: the options that name its layers.
        """
        check_model_name(name, self.weights)
        if not self.is_part_chosen:
            check_layers(name, layers)

    @property
    def is_part_chosen(self) -> bool:
        """Whether only one of the model's inputs or outputs is used."""
        return self.input is not None or self.output is not None or bool(self.fixed)

    def open_model(self, name: str) -> OpenModel:
        """Loads a model.

        Raises:
            ValueError: if it cannot be loaded, or takes no images of that size.
        """
        return self.opened(self.load_model(name))

    def load_model(self, name: str) -> "keras.Model":
        """The `keras.Model` with one image input and one output, of any image size.

        Raises:
            ValueError: if it cannot be loaded, or has several inputs or outputs and none is chosen.
        """
        model = load_model(name, self.weights, self.image_size)
        from kerasvis.graph import image_model
        from kerasvis.graph.built_model import readable_model

        model = readable_model(model, self.image_size and (*self.image_size, 3))
        if not self.is_part_chosen and len(model.inputs) == 1:
            return model
        return image_model(model, self.input, load_fixed(self.fixed), self.output)

    def opened(self, model: "keras.Model", *, takes_images: bool = True) -> OpenModel:
        """A model with its image size, preprocessing and rules.

        Args:
            model: the `keras.Model`.
            takes_images: whether it is given images, so that their size matters.

        Raises:
            ValueError: if it takes no images of that size, or the preprocessing or the rules cannot
                be loaded.
        """
        from kerasvis.arguments import standardize_preprocessing

        size = image_size_of(model, self.image_size) if takes_images else None
        with told_as("--preprocessing", self.preprocessing):
            loaded = load_preprocessing(self.preprocessing)
            preprocessing = standardize_preprocessing(model, loaded)
        with told_as("--rules", self.rules):
            rules = load_rules(self.rules)
        return OpenModel(model, size, preprocessing, rules)


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True, kw_only=True)
class ModelOptions(InputOptions):
    """The model.

    Attributes:
        model: a .keras file, or a model of keras.applications, such as VGG16.
    """

    model: Name

    def check(self, **layers: str | Sequence[str] | None) -> None:
        """Checks the names of the model and its layers, as far as possible before Keras starts.

        Args:
            **layers: the options that name its layers.
        """
        self.check_name(self.model, **layers)

    def open(self) -> OpenModel:
        """Loads the model.

        Raises:
            ValueError: if it cannot be loaded, or takes no images of that size.
        """
        return self.open_model(self.model)


@Parameter(name="*", group=IMAGES)
@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """A folder of photographs.

    Attributes:
        images: folder of photographs, or demo for bundled images.
        strict: stop at a file that cannot be decoded.
        batch_size: images per step of the scan.
    """

    images: Name
    strict: bool = False
    batch_size: BatchSize = 16

    def open(self, opened: OpenModel) -> "Images":
        """The images, as the model takes them.

        Raises:
            ValueError: if there are none.
        """
        return open_images(self.images, opened, self.strict, self.batch_size)


def convert_engine(_: object, tokens: Sequence[Token]) -> str:
    """`ray` or `ray:ADDRESS`; a `CoercionError` if the first token is something else."""
    name, colon, address = tokens[0].value.partition(":")
    if name != "ray" or (colon and not address):
        raise CoercionError(msg="ray or ray:ADDRESS", token=tokens[0], target_type=str)
    return tokens[0].value


EngineName = Annotated[str, Parameter(converter=convert_engine, metavar="ray[:ADDRESS]")]


@Parameter(name="*", group=CLUSTER)
@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """The machines to compute on.

    Attributes:
        engine: ray, the cluster of RAY_ADDRESS or else this machine; or ray:ADDRESS, an address for
            ray.init, such as ray:auto or ray:10.0.0.1:6379.
        cpus_per_worker: CPUs of each worker on the cluster.
        gpus_per_worker: GPUs of each worker on the cluster.
    """

    engine: EngineName | None = None
    cpus_per_worker: NumUnits = 1
    gpus_per_worker: NumberFrom0 = 0

    def open(self) -> "Ray | None":
        """The `kerasvis.engines.Ray`, or None for this process."""
        if self.engine is None:
            return None
        from kerasvis.engines import Ray

        return Ray(
            self.engine.partition(":")[2] or None,
            cpus_per_worker=self.cpus_per_worker,
            gpus_per_worker=self.gpus_per_worker,
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ClassOptions:
    """The class to analyse.

    Attributes:
        class_name: the correct class, by name or number; by default the most probable class.
        class_names: JSON file of class names; by default classes.json in the model's folder.
    """

    class_name: Annotated[str | None, Parameter(name="--class")] = None
    class_names: FilePath | None = None

    def names(self, model: ModelOptions) -> dict[int, str]:
        """`{class index: name}`."""
        return load_class_names(model.model, self.class_names)

    def class_index(self, names: dict[int, str], num_classes: int) -> int | None:
        """The number of the requested class, or None."""
        check_class_names(names, num_classes)
        return (
            None if self.class_name is None else class_index_of(self.class_name, names, num_classes)
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ClassOptions):
    """The class to analyse, and its score.

    Attributes:
        activation: activation that turns the model's outputs into probabilities; by default
            inferred from its values.
    """

    activation: Activation = "auto"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BaselineOptions:
    """The values of occluded pixels.

    Attributes:
        baseline: grey, mean, blur, noise, a number or a colour in the model's units.
        seed: seed of the noise.
    """

    baseline: Annotated[tuple[str, ...], Parameter(allow_repeating=False)] = ("grey",)
    seed: Seed = 0

    def value(self) -> str | float | list[float]:
        """A name, a number or a colour."""
        try:
            numbers = [float(value) for value in self.baseline]
        except ValueError:
            return " ".join(self.baseline)
        return numbers[0] if len(numbers) == 1 else numbers


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OccluderOptions(BaselineOptions):
    """The occluder.

    Attributes:
        patch_size: its height and width, or its side, in pixels; by default a seventh of the
            photograph's shorter side.
        strides: steps between its positions in pixels, one or two numbers; by default half of the
            patch size.
        box: top, left, bottom, right of the part to occlude; by default the whole photograph.
    """

    patch_size: Size = ()
    strides: Size = ()
    box: tuple[PixelsFrom0, PixelsFrom0, PixelsFrom0, PixelsFrom0] | None = None

    def settings(self) -> dict[str, Any]:
        """Arguments of `OcclusionAnalysis`."""
        return {
            "patch_size": as_size(self.patch_size) if self.patch_size else None,
            "strides": as_size(self.strides) if self.strides else None,
            "box": self.box,
            "baseline": self.value(),
            "seed": self.seed,
        }


def as_size(values: tuple[int, ...]) -> int | tuple[int, int]:
    """One number for both axes, or two."""
    if len(values) == 1:
        return values[0]
    height, width = values
    return height, width
