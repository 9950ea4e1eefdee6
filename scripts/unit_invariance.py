"""Shows what a unit is invariant to: images around one that excites it (Section 1.1 of the paper).

    python scripts/unit_invariance.py --model VGG16 --images photographs --layer block4_conv3 \\
        --feature 42 --out invariance_of_a_unit

The image is the photograph in which the feature map is strongest or, with --start maximization, one
that gradient ascent finds. It is turned along the directions in which the activation falls off
fastest and slowest. Writes unit_invariance.png and unit_invariance.npz, the arrays of a
`UnitInvariance`; the scan of the photographs is kept in top_activations.npz, and one that was
stopped goes on when it is started again.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from command import Parser, UserError, as_user_errors, new_folder, run, save_figure
from photographs import open_images, report_skipped
from shared_arguments import add_convnet_arguments, positive_integer
from trained_convnets import open_convnet


class Start(NamedTuple):
    """The image from which directions start, the `Unit` that it excites, and what it is called."""

    image: np.ndarray
    unit: Any
    name: str


def main(arguments):
    from kerasvis.attributions import SMOOTH_RULES, unit_invariance
    from kerasvis.data import Preprocessing
    from kerasvis.figures import unit_invariance_grid
    from kerasvis.occlusion import baseline_image

    convnet = open_convnet(arguments)
    with as_user_errors(ValueError):
        shape = target_shape(convnet, arguments.layer)
        check_choice(arguments, shape[-1])
        images = None
        if arguments.start == "photograph":
            images = open_images(
                arguments.images, convnet.image_size, convnet.preprocessing, arguments.strict
            )
    folder = new_folder(arguments.out, inputs=filter(None, [arguments.images]))
    with as_user_errors(ValueError, OSError):
        if images is None:
            start = preferred_image(convnet, shape, arguments)
        else:
            filepath = folder / "top_activations.npz"
            start = strongest_photograph(convnet, shape, images, arguments, filepath)
        title = f"{arguments.layer}, feature {arguments.feature}: {start.name}"
        print(title, flush=True)
        preprocessing = Preprocessing(convnet.preprocessing)
        invariance = unit_invariance(
            convnet.model,
            arguments.layer,
            start.image,
            start.unit,
            centre=baseline_image(start.image, "grey", preprocessing),
            num_directions=arguments.num_directions,
            angles=arguments.angles,
            step=arguments.step,
            seed=arguments.seed,
            rules=SMOOTH_RULES,
            verbose=1,
        )
        invariance.save(folder / "unit_invariance.npz")
        pixels = preprocessing.pixels(invariance.images)
        figure = unit_invariance_grid(invariance, pixels, title=title)
        save_figure(figure, folder / "unit_invariance.png")
    print(summary(invariance))
    print(f"Images: {folder / 'unit_invariance.png'}")


def target_shape(convnet, layer):
    """`(rows, columns, features)` of a layer's output, or `(units,)` of a dense one.

    Raises:
        ValueError: if there is no such layer, or one below it has no gradient.
    """
    from kerasvis.attributions import SMOOTH_RULES
    from kerasvis.deconvnet import DeconvModel
    from kerasvis.graph import feature_extractor

    DeconvModel(convnet.model, layer, "gradient", SMOOTH_RULES)
    image = np.zeros((1, *convnet.image_size, 3), "float32")
    return tuple(feature_extractor(convnet.model, [layer])(image)[0].shape[1:])


def check_choice(arguments, num_features):
    if arguments.start == "photograph" and arguments.images is None:
        raise UserError("No photographs are given: give --images, or --start maximization.")
    if not 0 <= arguments.feature < num_features:
        raise UserError(
            f"Layer {arguments.layer!r} has no feature {arguments.feature}, but {num_features} of "
            f"them: give --feature from 0 to {num_features - 1}."
        )


def strongest_photograph(convnet, shape, images, arguments, filepath):
    """Where the feature map is strongest in all images; the scan is kept in `filepath`."""
    import kerasvis as kv

    layer, feature = arguments.layer, arguments.feature
    top = kv.find_top_activations(convnet.model, [layer], images, 1, filepath=filepath)[layer]
    report_skipped(images)
    if not top.values[feature, 0] > 0:
        raise UserError(
            f"Feature {feature} of layer {layer!r} is active in none of {len(images)} images: give "
            "another --feature, other --images, or --start maximization."
        )
    number = int(top.image_indices[feature, 0])
    name = images.crops[number] if hasattr(images, "crops") else images.filepaths[number].name
    return Start(images[number], unit_at(top.positions[feature, 0], feature, shape), str(name))


def preferred_image(convnet, shape, arguments):
    """What gradient ascent finds for the unit in the middle of the feature map."""
    from kerasvis.attributions import SMOOTH_RULES, maximize_activation
    from kerasvis.data import Preprocessing

    unit = unit_at(np.array(shape[:-1]) // 2, arguments.feature, shape)
    preferred = maximize_activation(
        convnet.model,
        arguments.layer,
        unit,
        image_size=convnet.image_size,
        preprocessing=convnet.preprocessing,
        num_steps=arguments.num_steps,
        jitter=arguments.jitter,
        seed=arguments.seed,
        rules=SMOOTH_RULES,
        verbose=1,
    )
    if not preferred.activations[0] > 0:
        raise UserError(
            f"Gradient ascent found no image that excites feature {arguments.feature} of layer "
            f"{arguments.layer!r}: give another --seed, less --jitter, or --start photograph."
        )
    image = Preprocessing(convnet.preprocessing).images(preferred.pixels[0])
    return Start(image, unit, "an image found by gradient ascent")


def unit_at(position, feature, shape):
    """The `Unit` at a (row, column); those of a dense layer have none."""
    from kerasvis.deconvnet.targets import Unit

    return Unit(feature, *position.tolist()) if len(shape) == 3 else Unit(feature)


def summary(invariance):
    """A line for each direction, from the most selective to the most invariant."""
    lines = []
    shares = invariance.activations / invariance.activation
    curvatures = invariance.curvatures / invariance.activation
    for number, (curvature, along) in enumerate(zip(curvatures, shares, strict=True), 1):
        at_angles = ", ".join(
            f"{share:.2f} at {angle:+g}°"
            for share, angle in zip(along, invariance.angles, strict=True)
            if angle
        )
        lines.append(f"Direction {number}, curvature {curvature:.3g}: activation {at_angles}")
    return "\n".join(lines)


def above_zero(text):
    number = float(text)
    if not number > 0:
        raise ValueError
    return number


above_zero.__name__ = "number above 0"  # as argparse calls it


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add_convnet_arguments(parser)
    add = parser.add_argument
    add("--images", help="folder of photographs, or demo for some that come along")
    add("--layer", required=True, help="of the unit")
    add("--feature", type=int, required=True, metavar="N", help="its feature map")
    add(
        "--start",
        choices=["photograph", "maximization"],
        default="photograph",
        help="the photograph in which the map is strongest, or an image found by gradient ascent",
    )
    add("--num-directions", type=positive_integer, default=3, help="of either kind")
    add(
        "--angles",
        nargs="+",
        type=float,
        default=[-60, -40, -20, 0, 20, 40, 60],
        metavar="DEGREES",
        help="by which the image is turned; -60 to 60 by default",
    )
    add(
        "--step",
        type=above_zero,
        default=0.1,
        help="in radians, over which curvatures are measured; 0.01 for nets without ReLUs",
    )
    add("--num-steps", type=positive_integer, default=256, help="of gradient ascent")
    add(
        "--jitter",
        type=int,
        default=8,
        metavar="PIXELS",
        help="by which gradient ascent moves the image at each step; fewer for small images",
    )
    add("--seed", type=int, default=0, help="of gradient ascent and of the search for directions")
    add("--strict", action="store_true", help="stop at a file that cannot be decoded")
    add("--out", type=Path, default=Path("unit_invariance"), help="folder to write into")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
