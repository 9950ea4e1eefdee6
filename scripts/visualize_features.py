"""Shows what the feature maps of a trained convnet respond to (Figure 2 of the paper).

    python scripts/visualize_features.py --model VGG16 --images photographs \\
        --layers block2_conv2 block3_conv3 --out features_of_vgg16

Writes for every layer <layer>.png and <layer>.npz, the arrays of a `FeatureVisualization`; all
layers together in features.png; the strongest activations of all feature maps in
top_activations.npz; and in images.csv which image has which index. A run that was stopped goes on
when it is started again.
"""

import csv
import dataclasses
import io
import os
import time
from pathlib import Path

from command import Parser, UserError, as_user_errors, new_folder, run, save_figure
from trained_convnets import load_convnet

NUM_MAPS_OF_EACH_LAYER = 8  # in the figure of all layers


def main(arguments):
    import kerasvis as kv

    convnet = load_convnet(arguments.model, arguments.weights, arguments.image_size)
    model, preprocessing = convnet.model, arguments.preprocessing or convnet.preprocessing
    with as_user_errors(ValueError):
        size = image_size_of(model, arguments.image_size)
        images = open_images(arguments.images, size, preprocessing, arguments.strict)
        layers = list(dict.fromkeys(arguments.layers or convolution_layers(model)))
        deconvs = [kv.DeconvModel(model, layer, arguments.rectification) for layer in layers]
    check_features(deconvs, arguments.features)
    folder = new_folder(arguments.out)

    with as_user_errors(ValueError, OSError):
        print(f"{len(images)} images, {len(layers)} layers of {model.name}", flush=True)
        write_image_list(images, folder / "images.csv")
        top = kv.find_top_activations(
            model,
            images,
            layers,
            arguments.k,
            batch_size=arguments.batch_size,
            filepath=folder / "top_activations.npz",
        )
        report_skipped(images)
        shown = []
        for deconv in deconvs:
            features = visualize(deconv, images, top, preprocessing, arguments, folder)
            shown.append(first_maps(features, NUM_MAPS_OF_EACH_LAYER))
        save_figure(kv.figures.feature_grid(shown), folder / "features.png")
    print(f"All layers: {folder / 'features.png'}")


def image_size_of(model, image_size):
    """`(height, width)` of the images that the model takes."""
    from kerasvis.graph import image_shape

    *own_size, channels = image_shape(model)
    if channels != 3:
        raise UserError(
            f"The model {model.name!r} takes images of {channels} channels, but photographs have "
            "3: call kerasvis.visualize_features in Python, with arrays of yours."
        )
    if image_size is None and None in own_size:
        raise UserError(
            f"The model {model.name!r} takes images of any size: give --image-size HEIGHT WIDTH."
        )
    size = tuple(image_size or own_size)
    if any(own not in (None, given) for own, given in zip(own_size, size, strict=True)):
        raise UserError(
            f"The model {model.name!r} takes images of {own_size[0]}×{own_size[1]} pixels only: "
            "leave out --image-size."
        )
    return size


def open_images(directory, size, preprocessing, strict):
    from kerasvis.data import ImageFolder
    from kerasvis.data.demo_photographs import DemoPhotographs

    if directory == "demo":
        return DemoPhotographs(size, preprocessing)
    return ImageFolder(directory, size, preprocessing, strict)


def convolution_layers(model):
    """Names of all convolution layers, from the image up."""
    from keras import layers

    from kerasvis.graph import read_graph

    types = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
    names = [node.name for node in read_graph(model).nodes if isinstance(node.layer, types)]
    if not names:
        raise UserError(f"The model {model.name!r} has no convolution layers: give --layers.")
    return names


def check_features(deconvs, features):
    for deconv in deconvs:
        num_maps = deconv.target_shape[-1]
        for feature in features or ():
            if not 0 <= feature < num_maps:
                raise UserError(
                    f"Layer {deconv.layer!r} has no feature map {feature}, but {num_maps} of them: "
                    f"give --features from 0 to {num_maps - 1}."
                )


def write_image_list(images, filepath):
    """Which file, or which crop of the demo's photographs, has which image index."""
    names = images.crops if hasattr(images, "crops") else images.filepaths
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_index", "image"])
    writer.writerows(enumerate(map(str, names)))
    beside = filepath.with_name(filepath.name + ".writing")
    beside.write_text(text.getvalue(), encoding="utf-8")
    os.replace(beside, filepath)


def report_skipped(images):
    for path, reason in getattr(images, "skipped", ()):
        print(f"Skipped {path}: {reason}", flush=True)


def visualize(deconv, images, top, preprocessing, arguments, folder):
    """Visualizes and saves one layer."""
    import kerasvis as kv

    begin = time.monotonic()
    features = kv.visualize_features(
        deconv,
        images,
        top,
        arguments.features,
        num_features=arguments.num_features,
        seed=arguments.seed,
        preprocessing=preprocessing,
    )
    name = file_name(deconv.layer)
    features.save(folder / f"{name}.npz")
    save_figure(kv.figures.feature_grid(features), folder / f"{name}.png")
    num_maps, k = features.activations.shape
    print(
        f"{deconv.layer}: {num_maps} feature maps, {k} activations of each, "
        f"{time.monotonic() - begin:.1f} s: {folder / name}.png",
        flush=True,
    )
    return features


def file_name(layer):
    """The layer's name as that of a file; none of those that hold all layers."""
    name = layer.replace("/", "-").replace(":", "-")
    return f"{name}_" if name in ("features", "top_activations") else name


def first_maps(features, num_maps):
    """The first feature maps alone, copied, so that the others' memory is given back."""
    arrays = {
        field.name: getattr(features, field.name)[:num_maps].copy()
        for field in dataclasses.fields(features)
        if field.name != "layer"
    }
    return dataclasses.replace(features, **arrays)


def positive_integer(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive_integer.__name__ = "positive integer"  # as argparse calls it


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--model", required=True, help="a .keras file, or a net of keras.applications, as VGG16")
    add("--images", required=True, help="folder of photographs, or demo for some that come along")
    add("--layers", nargs="+", metavar="LAYER", help="all convolution layers by default")
    add("--features", nargs="+", type=int, metavar="N", help="feature maps; random ones by default")
    add("--num-features", type=positive_integer, default=16, help="how many are drawn")
    add("--seed", type=int, default=0, help="of the drawing")
    add("--k", type=positive_integer, default=9, help="strongest activations of each feature map")
    add("--out", type=Path, default=Path("features"), help="folder to write into")
    add("--weights", help="of keras.applications: imagenet (default), random, or a weights file")
    add(
        "--image-size",
        nargs=2,
        type=positive_integer,
        metavar=("HEIGHT", "WIDTH"),
        help="in pixels, for models that take any size",
    )
    add(
        "--preprocessing",
        choices=["raw", "caffe", "tf", "torch"],
        help="what the model takes: raw pixels by default, its own for keras.applications",
    )
    add(
        "--rectification",
        choices=["deconvnet", "guided", "gradient"],
        default="deconvnet",
        help="what a ReLU lets pass on the way down",
    )
    add("--batch-size", type=positive_integer, default=16, help="images in a step of the scan")
    add("--strict", action="store_true", help="stop at a file that cannot be decoded")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
