"""Shows what the deconvnet and other methods say about the same activation, side by side.

    python scripts/compare_methods.py --model VGG16 --images dog.jpg cat.jpg --class "tabby" \\
        --out methods

Writes methods.png, a row for each photograph and a column for each method, and methods.npz, the
arrays of a `MethodComparison`. Without --class and --feature, each photograph is looked at for the
class that the model gives it. Scores are those before a softmax or sigmoid.
"""

import dataclasses
from pathlib import Path

import numpy as np
from class_names import class_index_of, load_class_names
from command import Parser, UserError, as_user_errors, new_folder, run, save_figure
from photographs import read_photographs
from shared_arguments import add_convnet_arguments, positive_integer
from trained_convnets import open_convnet


def main(arguments):
    import kerasvis as kv
    from kerasvis.attributions.method_comparison import compare_methods
    from kerasvis.figures.method_comparison import method_comparison

    check_choice(arguments)
    model, size, preprocessing = open_convnet(arguments)
    names = load_class_names(arguments.model, arguments.class_names)
    with as_user_errors(ValueError):
        photographs = read_photographs(arguments.images, size)
        images = kv.data.Preprocessing(preprocessing).images(np.stack([*photographs.values()]))
        layer, target = what_is_looked_at(arguments, model, images, names)
        options = options_of(arguments, model, layer, size)
    folder = new_folder(arguments.out, inputs=arguments.images)
    with as_user_errors(ValueError):
        comparison = compare_methods(
            model,
            layer,
            images,
            target,
            arguments.methods,
            options=options,
            preprocessing=preprocessing,
            verbose=1,
        )
        if arguments.maximize:
            comparison = with_preferred_images(comparison, arguments, model, size, preprocessing)
    rows = row_names(comparison, photographs, names, arguments.feature is not None)
    for row in rows:
        print(row)
    with as_user_errors(ValueError, OSError):
        comparison.save(folder / "methods.npz")
        save_figure(method_comparison(comparison, row_names=rows), folder / "methods.png")
    print(f"Methods: {folder / 'methods.png'}")


def check_choice(arguments):
    if arguments.feature is not None and arguments.class_name is not None:
        raise UserError("--feature and --class are two targets: give one of them.")
    if (arguments.feature is None) != (arguments.layer is None):
        raise UserError("--layer and --feature belong together: give both, or --class.")


def what_is_looked_at(arguments, model, images, names):
    """`(layer, target)`: a feature map's strongest unit, or the score of a class."""
    from kerasvis.deconvnet.targets import Strongest, Unit
    from kerasvis.graph import read_graph

    if arguments.feature is not None:
        return arguments.layer, Strongest(arguments.feature)
    if len(model.outputs) != 1 or len(model.output_shape) != 2:
        raise UserError(
            f"The model {model.name!r} returns no scores of classes: give --layer and --feature."
        )
    graph = read_graph(model)
    layer = next(node.name for node in graph.nodes if graph.outputs[0] in node.outputs)
    if arguments.class_name is not None:
        return layer, Unit(class_index_of(arguments.class_name, names, model.output_shape[-1]))
    return layer, Unit(model.predict(images, verbose=0).argmax(axis=1).tolist())


def options_of(arguments, model, layer, size):
    """The options of those methods that were chosen and have some."""
    options = {}
    if "smoothgrad" in arguments.methods:
        options["smoothgrad"] = {
            "num_samples": arguments.num_samples,
            "noise_level": arguments.noise_level,
            "seed": arguments.seed,
        }
    if "grad_cam" in arguments.methods:
        options["grad_cam"] = {"maps_layer": maps_layer_of(arguments, model, layer, size)}
    return options


def maps_layer_of(arguments, model, layer, size):
    """The layer of Grad-CAM's feature maps; one that cannot be used is refused here."""
    from kerasvis.attributions.activation_gradient import plan_down_to
    from kerasvis.attributions.grad_cam import last_feature_maps
    from kerasvis.deconvnet import DeconvModel

    maps_layer = arguments.maps_layer or last_feature_maps(model, layer, image_size=size)
    plan_down_to(DeconvModel(model, layer).plan, model, maps_layer)
    print(f"Grad-CAM of the feature maps of {maps_layer}", flush=True)
    return maps_layer


def with_preferred_images(comparison, arguments, model, size, preprocessing):
    """The comparison with the images that the same units prefer, as one more column."""
    from kerasvis.attributions.activation_maximization import maximize_activation
    from kerasvis.deconvnet.targets import Unit

    preferred = maximize_activation(
        model,
        comparison.layer,
        Unit(comparison.feature_indices, *comparison.positions.T),
        image_size=size,
        preprocessing=preprocessing,
        num_steps=arguments.num_steps,
        seed=arguments.seed,
        verbose=1,
    )
    maps = comparison.maps | {"activation_maximization": preferred.pixels}
    return dataclasses.replace(comparison, maps=maps)


def row_names(comparison, photographs, class_names, is_feature):
    """What each row shows, in one line."""
    names = []
    for path, feature, activation in zip(
        photographs, comparison.feature_indices.tolist(), comparison.activations, strict=True
    ):
        if is_feature:
            traced = f"activation of {comparison.layer}, feature {feature}"
        else:
            traced = f"score of {class_names.get(feature, f'class {feature}')}"
        names.append(f"{path.stem}: {traced}, {activation:.4g}")
    return names


def not_negative(text):
    number = float(text)
    if not number >= 0:
        raise ValueError
    return number


not_negative.__name__ = "number, 0 or more"  # as argparse calls it

METHODS = ["deconvnet", "guided", "gradient", "gradient_times_input", "smoothgrad", "grad_cam"]


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_convnet_arguments(parser)
    add(
        "--images", required=True, nargs="+", metavar="FILE", help="photographs, or folders of them"
    )
    add(
        "--class",
        dest="class_name",
        metavar="NAME|INDEX",
        help="whose score is traced back; by default what the model says of each photograph",
    )
    add("--class-names", type=Path, help="JSON; by default classes.json beside the model")
    add("--layer", help="instead of a class: the layer of a feature map")
    add("--feature", type=int, metavar="N", help="the map, whose strongest unit is traced back")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    add("--maps-layer", help="of Grad-CAM; by default the last feature maps below the target")
    add("--num-samples", type=positive_integer, default=50, help="of SmoothGrad")
    add(
        "--noise-level", type=not_negative, default=0.15, help="of SmoothGrad, a share of the range"
    )
    add("--maximize", action="store_true", help="beside these, images that the units prefer")
    add("--num-steps", type=positive_integer, default=256, help="of the search for such images")
    add("--seed", type=int, default=0, help="of SmoothGrad's noise and of the search")
    add("--out", type=Path, default=Path("methods"), help="folder to write into")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
