"""`kerasvis export`: the deconvnet of a layer for plain TensorFlow."""

from pathlib import Path
from typing import TYPE_CHECKING

import kerasvis as kv
from kerasvis.commands.argument_types import FilePath, Rectification
from kerasvis.commands.options import ModelOptions
from kerasvis.commands.output import OutputFolder

if TYPE_CHECKING:
    from kerasvis.deconvnet import DeconvModel


def export(
    *,
    model: ModelOptions,
    layer: str,
    rectification: Rectification = "deconvnet",
    out: FilePath = Path("serving"),
) -> None:
    """Write the deconvnet of a layer as a SavedModel, which plain TensorFlow serves.

    Serving needs neither Keras nor kerasvis: `tf.saved_model.load("serving")` has
    `serve(images, feature)`. One call projects n pairs of an image and a feature map, one per row:
    `images` is float32 (n, rows, columns, channels) as the model takes them, `feature` int32 (n,).
    It returns a dictionary: `projection` has the shape of `images`, `activation` (n,) is what is
    projected, and `position` (n, 2) the (row, column) of the strongest unit of the feature map.
    `serve_unit(images, feature, position)` projects the units at positions int32 (n, 2).

    Args:
        layer: layer whose feature maps or units are projected.
        rectification: rule for ReLUs in the backward projection.
        out: SavedModel folder to write.
    """
    output = OutputFolder(out)
    model.check(layer=layer)
    opened = model.opened(model.load_model(model.model), takes_images=False)
    deconv = kv.DeconvModel(opened.model, layer, rectification, opened.rules)
    with output.made() as folder:
        deconv.export(folder, verbose=False)
    print(how_to_serve(deconv, folder, opened.preprocessing.mode))


def how_to_serve(deconv: "DeconvModel", folder: Path, preprocessing: str) -> str:
    """The call for plain TensorFlow, with its inputs and outputs."""
    *image_shape, channels = deconv.convnet.inputs[0].shape[1:]
    images = f"float32 {shape_of('n', *image_shape, channels)}"
    prepared = "" if preprocessing == "raw" else f", prepared as {preprocessing!r}"
    *map_size, num_features = deconv.target_shape
    units = shape_of(*(map_size or (1, 1)))
    return f"""\
Layer {deconv.layer!r} of {deconv.convnet.name}, served without kerasvis:

    import tensorflow as tf

    deconvnet = tf.saved_model.load({str(folder)!r})
    served = deconvnet.serve(images, feature)

with n pairs of an image and a feature map, one in each row:

    images                {images}, as the model takes them{prepared}
    feature               int32 (n,), from 0 to {num_features - 1}
    served["projection"]  {images}
    served["activation"]  float32 (n,), the activation that is projected
    served["position"]    int32 (n, 2), the (row, column) of the strongest unit among {units}

or, for chosen units, `deconvnet.serve_unit(images, feature, position)`, position int32 (n, 2).
Size of {folder}: {num_bytes(folder) / 1e6:.2f} MB"""


def shape_of(*lengths: int | str | None) -> str:
    """A shape as text, sizes that may vary as "any"."""
    return f"({', '.join('any' if length is None else str(length) for length in lengths)})"


def num_bytes(folder: Path) -> int:
    """Size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
