"""`kerasvis invariance`: how features change when photographs are transformed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import (
    BatchSize,
    Count,
    FilePath,
    Name,
    PixelsFrom0,
    finite_numbers,
)
from kerasvis.commands.class_names import (
    check_class_names,
    class_index_of,
    load_class_names,
)
from kerasvis.commands.image_arguments import (
    OpenModel,
    Photograph,
    check_images,
    find_photographs,
    read_photographs,
)
from kerasvis.commands.options import Activation, ModelOptions
from kerasvis.commands.output import OutputFolder, save_figure, write_csv
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import numpy as np

    from kerasvis.analyses import FeatureInvariance
    from kerasvis.analyses.invariance.feature_invariance import InvarianceCurves

FILES = ("invariance.png", "invariance.npz", "invariance.csv", "parts")
MAX_IMAGES = 20  # more curves cannot be told apart

Shift = Annotated[float, finite_numbers(-16_384, 16_384)]
Factor = Annotated[float, finite_numbers(0.01, 100)]
Degrees = Annotated[float, finite_numbers(-3_600, 3_600)]


@Parameter(name="*", group="Classes")
@dataclass(frozen=True, kw_only=True)
class ClassesOptions:
    """The classes.

    Attributes:
        class_name: the true class, one for all photographs or one for each; by default the most
            probable class.
        class_names: JSON file of class names; by default classes.json in the model's folder.
        activation: activation that turns the model's outputs into probabilities; by default
            inferred from its values.
    """

    class_name: Annotated[tuple[str, ...], Parameter(name="--class")] = ()
    class_names: FilePath | None = None
    activation: Activation = "auto"

    def indices(self, num_images: int, names: dict[int, str], num_classes: int) -> list[int] | None:
        """The true class of each image, or None."""
        check_class_names(names, num_classes)
        if not self.class_name:
            return None
        if len(self.class_name) not in (1, num_images):
            raise ValueError(
                "Give one class for all photographs, or one for each. Received: "
                f"{counted(len(self.class_name), 'class', 'classes')} for "
                f"{counted(num_images, 'photograph')}"
            )
        indices = [class_index_of(name, names, num_classes) for name in self.class_name]
        return indices * num_images if len(indices) == 1 else indices


@Parameter(name="*", group="Transformations")
@dataclass(frozen=True, kw_only=True)
class TransformationOptions:
    """The transformations, each given by its first value, its last value and the number of values.

    Attributes:
        translation: pixels down; by default -60 to 60 for a height of 224.
        scale: factors; by default 1 to 1.8.
        rotation: degrees counter-clockwise; by default 0 to 350.
        margin: pixels of the photograph around the model's input that transformations can bring
            into view; beyond these the nearest pixel is repeated.
    """

    translation: tuple[Shift, Shift, Count] | None = None
    scale: tuple[Factor, Factor, Count] | None = None
    rotation: tuple[Degrees, Degrees, Count] | None = None
    margin: PixelsFrom0 = 0

    def values(self, image_height: int) -> dict[str, "np.ndarray"]:
        """`{transformation: values}`, the paper's where nothing was given."""
        import numpy as np

        from kerasvis.analyses.invariance.feature_invariance import paper_transformations

        transformations = paper_transformations(image_height)
        given = {name: getattr(self, name) for name in transformations}
        return transformations | {
            name: np.linspace(*limits) for name, limits in given.items() if limits is not None
        }


def invariance(
    *,
    model: ModelOptions,
    images: tuple[Name, ...],
    layers: tuple[str, ...] = (),
    classes: ClassesOptions = ClassesOptions(),
    transformations: TransformationOptions = TransformationOptions(),
    batch_size: BatchSize = 16,
    out: FilePath = Path("invariance"),
) -> None:
    """Show how features change when photographs are translated, scaled and rotated.

    Writes `invariance.png`, a row for each transformation as in Figure 5 of the arXiv version;
    `invariance.npz`, the arrays of a `FeatureInvariance`; and `invariance.csv`, a line for each
    image, transformation and value. An interrupted run resumes when it is started again: completed
    parts are cached in the folder `parts`.

    Args:
        images: photographs, or folders of them.
        layers: by default the first convolution and the last layer before the scores.
        batch_size: images per step.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=images, files=FILES)
    check_images(images)
    names = load_class_names(model.model, classes.class_names)
    model.check(layers=layers)
    opened = model.open()
    from kerasvis.graph.scores import Scores

    photographs = open_photographs(images, opened, transformations.margin)
    num_classes = Scores(opened.model, image_size=opened.image_size).num_classes
    indices = classes.indices(len(photographs), names, num_classes)
    values = transformations.values(opened.image_size[0])
    num_values = sum(map(len, values.values()))
    number = counted(num_values, "transformation")
    print(f"{counted(len(photographs), 'photograph')}, {number} of each", flush=True)
    with output.made() as folder:
        found = kv.analyses.feature_invariance(
            opened.model,
            layers or None,
            [photograph.pixels for photograph in photographs],
            indices,
            transformations=values,
            image_size=opened.image_size,
            preprocessing=opened.preprocessing,
            activation=classes.activation,
            batch_size=batch_size,
            directory=folder / "parts",
        )
        found.save(folder / "invariance.npz")
        write_csv(header_of(found), lines_of(found, photographs, names), folder / "invariance.csv")
        titles = [
            f"{photograph.name} ({names.get(index, index)})"
            for photograph, index in zip(photographs, found.class_indices.tolist(), strict=True)
        ]
        save_figure(kv.figures.invariance_curves(found, titles), folder / "invariance.png")
    print(summary(found), f"Scores: {found.activation}.", sep="\n")
    print(f"Curves: {folder / 'invariance.png'}")


def open_photographs(images: tuple[str, ...], opened: OpenModel, margin: int) -> list[Photograph]:
    """The photographs, with a margin on every side of the model's input."""
    found = find_photographs(images)
    if len(found) > MAX_IMAGES:
        raise ValueError(
            f"The figure can distinguish at most {MAX_IMAGES} photographs: give fewer. Received: "
            f"{counted(len(found), 'photograph')}"
        )
    height, width = opened.image_size
    size = (height + 2 * margin, width + 2 * margin)
    return read_photographs(images, size, opened.channels)


def header_of(found: "FeatureInvariance") -> list[str]:
    distances = [f"distance at {layer}" for layer in found.layers]
    return ["image", "class", "transformation", "value", *distances, "probability"]


def lines_of(
    found: "FeatureInvariance", photographs: list[Photograph], names: dict[int, str]
) -> Iterator[list[str | int]]:
    """One line for each image, transformation and value."""
    for curves in found.curves:
        for image, photograph in enumerate(photographs):
            index = int(found.class_indices[image])
            for place, value in enumerate(curves.values):
                numbers = [*curves.distances[:, image, place], curves.probabilities[image, place]]
                key = [photograph.title, names.get(index, index), curves.transformation]
                yield [*key, f"{value:g}", *(f"{number:.6g}" for number in numbers)]


def summary(found: "FeatureInvariance") -> str:
    """The effect of each transformation at its extremes and of its smallest step."""
    lines = []
    for curves in found.curves:
        step = is_smallest_step(curves)
        values = ", ".join(f"{value:g}" for value in curves.values[step])
        distances = []
        for layer, means in zip(found.layers, curves.distances.mean(axis=1), strict=True):
            distances.append(f"{means.max():.4g} at {layer}")
            if step.any() and means.max() > 0:
                distances[-1] += f" ({means[step].mean() / means.max():.0%} of it at {values})"
        probabilities = curves.probabilities.mean(axis=0)
        lines.append(
            f"{curves.transformation} {curves.values[0]:g} to {curves.values[-1]:g}: mean distance "
            f"up to {', '.join(distances)}; mean probability {probabilities.min():.3f} to "
            f"{probabilities.max():.3f}"
        )
    return "\n".join(lines)


def is_smallest_step(curves: "InvarianceCurves") -> "np.ndarray":
    """bool `(values,)`: the values next to the identity."""
    import numpy as np

    steps = np.abs(curves.values - float(curves.transformation == "scale"))  # 1 for a scale
    steps[steps == 0] = np.inf
    return np.isclose(steps, steps.min()) & np.isfinite(steps)
