"""Writes the deconvnet of a layer as a SavedModel, which plain TensorFlow serves.

    python scripts/export_deconvnet.py --model VGG16 --layer block3_conv3 --out serving

It is served where neither Keras nor kerasvis is installed:

    import tensorflow as tf

    deconvnet = tf.saved_model.load("serving")
    served = deconvnet.serve(images, feature)

Row by row, an image is paired with a feature map, so that one call serves n pairs: `images` is
float32 (n, rows, columns, channels) as the model takes them, `feature` int32 (n,). Then
`served["projection"]` has the shape of `images`, `served["activation"]` (n,) is where each signal
starts, and `served["position"]` (n, 2) the unit's (row, column), the strongest of its map.
`deconvnet.serve_unit(images, feature, position)` projects the units at positions int32 (n, 2).
"""

from pathlib import Path

from command import Parser, as_user_errors, new_folder, run
from shared_arguments import CONVNET_HELP, add_rectification_argument
from trained_convnets import load_convnet


def main(arguments):
    import kerasvis as kv

    model, preprocessing = load_convnet(arguments.model, arguments.weights)
    with as_user_errors(ValueError):
        deconv = kv.DeconvModel(model, arguments.layer, arguments.rectification)
    folder = new_folder(arguments.out)
    with as_user_errors(ValueError, OSError):
        deconv.export(folder, verbose=False)
    print(how_to_serve(deconv, folder, preprocessing))


def how_to_serve(deconv, folder, preprocessing):
    """The call for plain TensorFlow, what goes in and what comes out."""
    *image_shape, channels = deconv.convnet.inputs[0].shape[1:]
    images = f"float32 {shape_of('n', *image_shape, channels)}"
    prepared = "" if preprocessing == "raw" else f", prepared as {preprocessing!r}"
    *map_size, num_features = deconv.target_shape
    units = shape_of(*(map_size or (1, 1)))
    return f"""\
Layer {deconv.layer!r} of {deconv.convnet.name}, served where kerasvis is missing by

    import tensorflow as tf

    deconvnet = tf.saved_model.load({str(folder)!r})
    served = deconvnet.serve(images, feature)

with n pairs of an image and a feature map, one in each row:

    images                {images}, as the model takes them{prepared}
    feature               int32 (n,), from 0 to {num_features - 1}
    served["projection"]  {images}
    served["activation"]  float32 (n,), at which the signal starts
    served["position"]    int32 (n, 2), the (row, column) of the strongest unit among {units}

or, for chosen units, `deconvnet.serve_unit(images, feature, position)`, position int32 (n, 2).
Size of {folder}: {num_bytes(folder) / 1e6:.2f} MB"""


def shape_of(*lengths):
    """A shape as text, sizes that may vary as "any"."""
    return f"({', '.join('any' if length is None else str(length) for length in lengths)})"


def num_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--model", required=True, help=CONVNET_HELP)
    add("--layer", required=True, help="whose feature maps, or units, are projected")
    add("--out", type=Path, default=Path("serving"), help="folder to write, a SavedModel")
    add("--weights", help="of keras.applications: imagenet (default), random, or a weights file")
    add_rectification_argument(parser)
    return parser


if __name__ == "__main__":
    run(main, make_parser())
