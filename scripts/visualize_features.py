"""Shows what the feature maps of a trained convnet respond to (Figure 2 of the paper).

    python scripts/visualize_features.py --model VGG16 --images photographs \\
        --layers block2_conv2 block3_conv3 --out features_of_vgg16

Writes for every layer <layer>.png and <layer>.npz, the arrays of a `FeatureVisualization`; all
layers together in features.png; the strongest activations of all feature maps in
top_activations.npz; and in images.csv which image has which index. A run that was stopped goes on
when it is started again.
"""

import dataclasses
import time
from pathlib import Path

from command import Parser, UserError, as_user_errors, new_folder, run, save_figure, write_csv
from photographs import open_images, report_skipped
from shared_arguments import add_convnet_arguments, add_rectification_argument, positive_integer
from trained_convnets import convolution_layers, open_convnet

NUM_MAPS_OF_EACH_LAYER = 8  # in the figure of all layers


def main(arguments):
    import kerasvis as kv

    model, size, preprocessing = open_convnet(arguments)
    with as_user_errors(ValueError):
        images = open_images(arguments.images, size, preprocessing, arguments.strict)
        layers = list(dict.fromkeys(arguments.layers or convolution_layers(model)))
        deconvs = [kv.DeconvModel(model, layer, arguments.rectification) for layer in layers]
    check_features(deconvs, arguments.features)
    folder = new_folder(arguments.out, inputs=[arguments.images])
    if arguments.tensorboard is not None:
        new_folder(arguments.tensorboard, "--tensorboard")

    with as_user_errors(ValueError, OSError):
        print(f"{len(images)} images, {len(layers)} layers of {model.name}", flush=True)
        write_image_list(images, folder / "images.csv")
        top = kv.find_top_activations(
            model,
            layers,
            images,
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
        if arguments.tensorboard is not None:
            write_to_tensorboard(arguments.tensorboard, folder, layers)
    print(f"All layers: {folder / 'features.png'}")


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
    write_csv(["image_index", "image"], enumerate(map(str, names)), filepath)


def visualize(deconv, images, top, preprocessing, arguments, folder):
    """Visualizes and saves one layer."""
    import kerasvis as kv

    begin = time.monotonic()
    features = kv.visualize_features(
        deconv.convnet,
        deconv.layer,
        images,
        arguments.features,
        top=top,
        num_features=arguments.num_features,
        seed=arguments.seed,
        preprocessing=preprocessing,
        rectification=deconv.rectification,
        verbose=0,
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


def write_to_tensorboard(log_dir, folder, layers):
    """Shows the figure of every layer in TensorBoard, too."""
    from kerasvis.reports.tensorboard import write_feature_grids

    grids = {layer: (folder / f"{file_name(layer)}.png").read_bytes() for layer in layers}
    write_feature_grids(log_dir, grids)
    print(f"TensorBoard: tensorboard --logdir {log_dir}")


def file_name(layer):
    """The layer's name as that of a file; none of those that hold all layers."""
    name = layer.replace("/", "-").replace(":", "-")
    return f"{name}_" if name in ("features", "top_activations") else name


def first_maps(features, num_maps):
    """The first feature maps alone, copied, so that the others' memory is given back."""
    arrays = {
        field.name: getattr(features, field.name)[:num_maps].copy()
        for field in dataclasses.fields(features)
        if field.name not in ("layer", "pixel_range")
    }
    return dataclasses.replace(features, **arrays)


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_convnet_arguments(parser)
    add("--images", required=True, help="folder of photographs, or demo for some that come along")
    add("--layers", nargs="+", metavar="LAYER", help="all convolution layers by default")
    add("--features", nargs="+", type=int, metavar="N", help="feature maps; random ones by default")
    add("--num-features", type=positive_integer, default=16, help="how many are drawn")
    add("--seed", type=int, default=0, help="of the drawing")
    add("--k", type=positive_integer, default=9, help="strongest activations of each feature map")
    add("--out", type=Path, default=Path("features"), help="folder to write into")
    add_rectification_argument(parser)
    add("--batch-size", type=positive_integer, default=16, help="images in a step of the scan")
    add("--tensorboard", type=Path, metavar="DIR", help="show the figures in TensorBoard, too")
    add("--strict", action="store_true", help="stop at a file that cannot be decoded")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
