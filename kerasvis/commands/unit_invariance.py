"""`kerasvis unit-invariance`: what a unit is selective for and what it is invariant to."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import (
    Count,
    FilePath,
    Index,
    Name,
    PixelsFrom0,
    Seed,
    finite_numbers,
    whole_numbers,
)
from kerasvis.commands.image_arguments import OpenModel, check_images, open_images, print_skipped
from kerasvis.commands.options import ModelOptions
from kerasvis.commands.output import OutputFolder, save_figure
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import numpy as np

    from kerasvis.analyses import UnitInvariance
    from kerasvis.data.images import Images
    from kerasvis.deconvnet.targets import Unit

FILES = ("unit_invariance.png", "unit_invariance.npz", "top_activations.npz")

Degrees = Annotated[float, finite_numbers(-180, 180)]


@Parameter(name="*", group="Unit")
@dataclass(frozen=True, kw_only=True)
class UnitOptions:
    """The unit.

    Attributes:
        layer: layer of the unit.
        feature: number of its feature map.
    """

    layer: str
    feature: Index


@Parameter(name="*", group="Image")
@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """The image from which the directions start.

    Attributes:
        images: folder of photographs, or demo for bundled images.
        strict: stop at a file that cannot be decoded.
        start: the photograph in which the feature map is strongest, or an image found by gradient
            ascent.
        num_steps: steps of gradient ascent.
        jitter: pixels by which gradient ascent shifts the image at each step; fewer for small
            images.
    """

    images: Name | None = None
    strict: bool = False
    start: Literal["photograph", "maximization"] = "photograph"
    num_steps: Count = 256
    jitter: PixelsFrom0 = 8

    def check(self) -> None:
        """Raises a ValueError if a photograph is to be chosen but none are given."""
        if self.start == "photograph" and self.images is None:
            raise ValueError("No photographs are given: give --images, or --start maximization.")
        check_images([] if self.images is None else [self.images])


@Parameter(name="*", group="Directions")
@dataclass(frozen=True, kw_only=True)
class DirectionOptions:
    """The directions in which the image is changed.

    Attributes:
        num_directions: number of directions of either kind.
        angles: degrees by which the image is rotated towards a direction.
        step: step in radians for measuring curvatures; 0.01 for models without ReLUs.
        seed: seed of gradient ascent and of the search for directions.
    """

    num_directions: Annotated[int, whole_numbers(1, 100)] = 3
    angles: tuple[Degrees, ...] = (-60, -40, -20, 0, 20, 40, 60)
    step: Annotated[float, finite_numbers(0, 3, above=True)] = 0.1
    seed: Seed = 0


class StartingImage(NamedTuple):
    """The image from which directions start, the `Unit` that it excites, and its name."""

    image: "np.ndarray"
    unit: "Unit"
    name: str


def unit_invariance(
    *,
    model: ModelOptions,
    unit: UnitOptions,
    start: StartOptions = StartOptions(),
    directions: DirectionOptions = DirectionOptions(),
    out: FilePath = Path("unit_invariance"),
) -> None:
    """Show what a unit is invariant to: images around one that excites it (Section 1.1).

    The image is the photograph in which the feature map is strongest or, with --start maximization,
    one that gradient ascent finds. It is rotated towards the directions in which the activation
    falls off fastest and slowest. Writes `unit_invariance.png` and `unit_invariance.npz`, the
    arrays of a `UnitInvariance`. The scan of the photographs is cached in `top_activations.npz`; an
    interrupted scan resumes.

    Args:
        out: folder to write into.
    """
    start.check()
    inputs = [] if start.images is None else [start.images]
    output = OutputFolder(out, inputs=inputs, files=FILES)
    model.check(layer=unit.layer)
    opened = model.open()
    shape = target_shape(opened, unit.layer)
    check_feature(unit, shape[-1])
    images = None
    if start.start == "photograph" and start.images is not None:
        images = open_images(start.images, opened, start.strict)
    with output.made() as folder:
        if images is None:
            begin = preferred_image(opened, shape, unit, start, directions.seed)
        else:
            begin = strongest_photograph(opened, shape, unit, images, folder)
        title = f"{unit.layer}, feature {unit.feature}: {begin.name}"
        print(title, flush=True)
        found = invariance_of(opened, unit, begin, directions)
        found.save(folder / "unit_invariance.npz")
        pixels = opened.preprocessing.pixels(found.images)
        # Of four channels the last one is transparency.
        figure = kv.figures.unit_invariance_grid(found, pixels[..., :3], title=title)
        save_figure(figure, folder / "unit_invariance.png")
    print(summary(found))
    print(f"Images: {folder / 'unit_invariance.png'}")


def invariance_of(
    opened: OpenModel, unit: UnitOptions, begin: StartingImage, directions: DirectionOptions
) -> "UnitInvariance":
    """The `UnitInvariance` around an image."""
    return kv.analyses.unit_invariance(
        opened.model,
        unit.layer,
        begin.image,
        begin.unit,
        centre=kv.occlusion.baseline_image(begin.image, "grey", opened.preprocessing),
        num_directions=directions.num_directions,
        angles=directions.angles,
        step=directions.step,
        seed=directions.seed,
        verbose=1,
    )


def target_shape(opened: OpenModel, layer: str) -> tuple[int, ...]:
    """`(rows, columns, features)` of a layer's output, or `(units,)` of a dense layer.

    Raises:
        ValueError: if there is no such layer, or it has no gradient.
    """
    import numpy as np

    from kerasvis.attributions.activation_gradient import ActivationGradient

    ActivationGradient(opened.model, layer)
    image = np.zeros((1, *opened.image_size, opened.channels), "float32")
    return tuple(kv.feature_extractor(opened.model, [layer])(image)[0].shape[1:])


def check_feature(unit: UnitOptions, num_features: int) -> None:
    """Raises a ValueError if the layer does not have the feature map."""
    if unit.feature >= num_features:
        raise ValueError(
            f"Layer {unit.layer!r} has {num_features} feature maps: give --feature from 0 to "
            f"{num_features - 1}. Received: --feature={unit.feature}"
        )


def strongest_photograph(
    opened: OpenModel, shape: tuple[int, ...], unit: UnitOptions, images: "Images", folder: Path
) -> StartingImage:
    """The image and unit with the strongest activation; the scan is cached in the folder."""
    filepath = folder / "top_activations.npz"
    top = kv.find_top_activations(opened.model, [unit.layer], images, 1, filepath=filepath)
    top = top[unit.layer]
    print_skipped(images)
    if not top.values[unit.feature, 0] > 0:
        raise ValueError(
            f"Feature {unit.feature} of layer {unit.layer!r} is not active in any of "
            f"{counted(images.count(), 'image')}: give another --feature, other --images, or "
            f"--start maximization. Received: --feature={unit.feature}"
        )
    number = int(top.image_indices[unit.feature, 0])
    name = Path(images.names[number]).name
    position = top.positions[unit.feature, 0]
    return StartingImage(images[[number]][0], unit_at(position, unit.feature, shape), name)


def preferred_image(
    opened: OpenModel, shape: tuple[int, ...], unit: UnitOptions, start: StartOptions, seed: int
) -> StartingImage:
    """The image that gradient ascent finds for the unit in the middle of the feature map."""
    import numpy as np

    centre = unit_at(np.array(shape[:-1]) // 2, unit.feature, shape)
    preferred = kv.maximize_activation(
        opened.model,
        unit.layer,
        centre,
        image_size=opened.image_size,
        preprocessing=opened.preprocessing,
        num_steps=start.num_steps,
        jitter=start.jitter,
        seed=seed,
        verbose=1,
    )
    if not preferred.activations[0] > 0:
        raise ValueError(
            f"Gradient ascent found no image that excites feature {unit.feature} of layer "
            f"{unit.layer!r}: give another --seed, less --jitter, or --start photograph. "
            f"Received: --feature={unit.feature}"
        )
    image = opened.preprocessing.images(preferred.pixels[0])
    return StartingImage(image, centre, "an image found by gradient ascent")


def unit_at(position: "np.ndarray", feature: int, shape: tuple[int, ...]) -> "Unit":
    """The `Unit` at a (row, column); units of a dense layer have no position."""
    return kv.targets.Unit(feature, *(position.tolist() if len(shape) == 3 else ()))


def summary(found: "UnitInvariance") -> str:
    """A line for each direction, from the most selective to the most invariant."""
    lines = []
    shares = found.activations / found.activation
    curvatures = found.curvatures / found.activation
    for number, (curvature, along) in enumerate(zip(curvatures, shares, strict=True), 1):
        at_angles = ", ".join(
            f"{share:.2f} at {angle:+g}°"
            for share, angle in zip(along, found.angles, strict=True)
            if angle
        )
        lines.append(f"Direction {number}, curvature {curvature:.3g}: activation {at_angles}")
    return "\n".join(lines)
