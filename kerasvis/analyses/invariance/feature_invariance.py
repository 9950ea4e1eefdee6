"""Figure 5 of arXiv v3: how features change when the image is translated, scaled or rotated.

Features that stay nearly the same are invariant to the transformation. The paper finds that layer 1
changes at once, and the top layer little by little; and that rotation is survived by symmetric
objects alone.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence, ValuesView
from typing import Annotated, Any

import keras
import numpy as np
import tqdm

from kerasvis.analyses.invariance.feature_comparison import FeatureComparison
from kerasvis.analyses.invariance.image_transformations import TRANSFORMATIONS, transformed
from kerasvis.arguments import (
    positive_integer,
    standardize_classes,
    standardize_images,
    standardize_layers,
    standardize_preprocessing,
    standardize_verbose,
)
from kerasvis.graph import Scores, image_shape, read_graph
from kerasvis.graph.convolution_nodes import (
    CONVOLUTIONS,
    convolution_nodes,
    rectified_node,
)
from kerasvis.graph.identities import IDENTITIES
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.outputs import output_tensor
from kerasvis.storage.fields import Array
from kerasvis.storage.fingerprints import digest
from kerasvis.storage.parts import Parts
from kerasvis.storage.results import Result

PAPER_HEIGHT = 224  # pixels, of the images that the paper's translations refer to
NUM_EXAMPLE_IMAGES, NUM_EXAMPLE_VALUES = 5, 3


@dataclasses.dataclass(frozen=True, eq=False)
class InvarianceCurves(Result):
    """What one transformation does.

    Attributes:
        transformation: `"translation"`, `"scale"` or `"rotation"`.
        values: float64 `(values,)`, ascending: pixels down, factors or degrees counter-clockwise.
        distances: float32 `(layers, images, values)`, Euclidean, to the features of the
            untransformed image; exactly 0 where no pixel differs.
        probabilities: float32 `(images, values)`, of the true class.
        example_values: float64 `(examples,)`, some of `values`.
        examples: uint8 `(first images, examples, height, width, channels)`: what the model saw.
    """

    transformation: str
    values: Annotated[np.ndarray, Array("float64", "values")]
    distances: Annotated[np.ndarray, Array("float32", "layers", "images", "values")]
    probabilities: Annotated[np.ndarray, Array("float32", "images", "values")]
    example_values: Annotated[np.ndarray, Array("float64", "examples")]
    examples: Annotated[
        np.ndarray, Array("uint8", "first images", "examples", "height", "width", "channels")
    ]


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureInvariance(Result):
    """Distances of features and probabilities over transformations of images.

    Attributes:
        layers: tuple of names.
        class_indices: int64 `(images,)`: the true class of each image.
        curves: tuple of `InvarianceCurves`, one for each transformation.
        activation: what the model's output was taken for, as a phrase; "" in old files.
        measure: what `probabilities` are: `"probability"`, or `"summed probability"` over a region
            of maps of classes.
    """

    layers: tuple[str, ...]
    class_indices: Annotated[np.ndarray, Array("int64", "images")]
    curves: tuple[InvarianceCurves, ...]
    activation: str = ""
    measure: str = "probability"


def paper_transformations(height: int) -> dict[str, np.ndarray]:
    """The ranges of the paper's Figure 5, for images of another height.

    Args:
        height: of the images in pixels; the paper's translations, in images of 224 pixels, become
            the whole numbers of pixels that are nearest to the same share of it.

    Returns:
        `{transformation: values}`.
    """
    pixels = np.arange(-60, 61, 5) * height / PAPER_HEIGHT
    return {
        "translation": np.unique(np.rint(pixels)),
        "scale": np.linspace(1, 1.8, 17),
        "rotation": np.arange(0.0, 360, 10),
    }


def feature_invariance(
    model: keras.Model,
    layers: str | Sequence[str] | None,
    images: Any,
    class_indices: int | Sequence[int] | None = None,
    *,
    transformations: Mapping[str, Sequence[float]] | None = None,
    image_size: tuple[int, int] | None = None,
    preprocessing: Any = None,
    output: str | int | None = None,
    activation: str = "auto",
    region: tuple[int, int, int, int] | None = None,
    batch_size: int = 16,
    directory: str | os.PathLike | None = None,
    verbose: str | int = "auto",
) -> FeatureInvariance:
    """Transforms photographs, and measures how far their features move.

    Args:
        model: a functional or Sequential `keras.Model` that returns scores or maps of classes; it
            is left as it is. See `kerasvis.image_model` for one of several inputs.
        layers: names of layers, or one name; None for the first and the last layer of features,
            as `first_and_last_features` finds them.
        images: uint8 pixels, `(images, rows, columns, channels)` or a sequence of `(rows,
            columns, channels)`, RGB. The model sees the centre. Photographs that are larger than
            the image have something to move in from their sides; beyond their border the nearest
            pixel is repeated. Or whatever `kerasvis.find_top_activations` takes for images, of
            which pixels are made.
        class_indices: the true class: one number, or one for each image; by default the most
            probable class of each untransformed image.
        transformations: `{"translation": pixels down, "scale": factors, "rotation": degrees
            counter-clockwise}`, each a list of numbers, or some of these; `paper_transformations`
            by default.
        image_size: `(height, width)` in pixels, for models that take any size.
        preprocessing: what `kerasvis.data.Preprocessing.of` takes: how the images that the model
            takes are made from RGB pixels. By default as of `kerasvis.find_top_activations`; pixels
            are made into what the model takes if it is one of `keras.applications` or KerasHub by
            what it is, and left as they are for others.
        output: which of the model's outputs, by name, key or number, where it has several.
        activation: what makes probabilities of the output: `"softmax"`, `"sigmoid"`,
            `"exponential"`, or `"linear"` for a model of probabilities; found from the values that
            the model gives by default.
        region: of maps of classes `(top, left, bottom, right)` in pixels of the maps, over which
            the probability of a class is summed; see `kerasvis.graph.Scores`.
        batch_size: images in a step.
        directory: folder in which what is measured of each image is kept; an analysis that was
            stopped goes on from there. By default nothing is kept.
        verbose: `"auto"` shows a progress bar on a terminal, 0 none, 1 and 2 do.

    Returns:
        A `FeatureInvariance`.

    Raises:
        ValueError: if an argument is wrong, or the model gives NaN or infinity.
        OSError: if the directory cannot be written to.

    Reference:
        Zeiler & Fergus 2013, Section 4, "Feature Invariance", and Figure 5 of arXiv v3.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> model = kv.convnets.ZFNet((64, 64, 3), classes=10, width=0.1, dense_units=32)
        >>> pixels = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3), "uint8")
        >>> found = kv.analyses.feature_invariance(
        ...     model, None, pixels, transformations={"scale": [1, 1.5]}, verbose=0
        ... )
        >>> found.layers, found.curves[0].distances[:, :, 0].tolist()
        (('conv1', 'fc7'), [[0.0, 0.0], [0.0, 0.0]])
    """
    batch_size, is_shown = positive_integer(batch_size, "batch_size"), standardize_verbose(verbose)
    photographs, preprocessing = _photographs(model, images, preprocessing)
    size = _image_size(model, image_size)
    _check_photographs(photographs, size)
    values = paper_transformations(size[0]) if transformations is None else transformations
    values = _standardized_values(values)
    scores = Scores(model, output=output, activation=activation, region=region, image_size=size)
    layers = first_and_last_features(model, output) if layers is None else layers
    layers = standardize_layers(layers)
    comparison = FeatureComparison(scores, layers)
    asked = standardize_classes(class_indices, len(photographs), scores.num_classes)
    scores.decide(preprocessing.images(transformed(photographs[0], "translation", 0, size)[None]))

    def computed_from():
        return {
            "model": model_fingerprint(read_graph(model).nodes),
            "layers": layers,
            "image size": size,
            "preprocessing": preprocessing.mode,
            "output": scores.tensor,
            "activation": scores.interpretation,
            "transformations": values,
        }

    def measure(photograph):
        original = transformed(photograph, "translation", 0, size)
        versions = [transformed(photograph, name, v, size) for name in values for v in values[name]]
        found = comparison.run(original, np.stack(versions), preprocessing.images, batch_size)
        return dict(zip(("distances", "probabilities"), found, strict=True))

    classes, distances, probabilities = [], [], []
    with Parts(directory, computed_from) as parts:
        bar = tqdm.tqdm(photographs, "Images", disable=not is_shown)
        for photograph, class_index in zip(bar, asked, strict=True):
            part = f"image-{digest([photograph])}.npz"
            found = parts.arrays(part, functools.partial(measure, photograph))
            of_classes = found["probabilities"]
            classes.append(of_classes[0].argmax() if class_index is None else class_index)
            distances.append(found["distances"].T)
            probabilities.append(of_classes[1:, classes[-1]])

    ends = np.cumsum([len(v) for v in values.values()])[:-1]
    parts = np.split(np.stack(distances, 1), ends, -1), np.split(np.stack(probabilities), ends, -1)
    curves = [
        InvarianceCurves(name, values[name], *arrays, *_examples(photographs, name, values, size))
        for name, *arrays in zip(values, *parts, strict=True)
    ]
    return FeatureInvariance(
        layers, np.array(classes, "int64"), tuple(curves), scores.interpretation, scores.measure
    )


def first_and_last_features(model: keras.Model, output: str | int | None = None) -> tuple[str, ...]:
    """Names of the layers that hold a model's first and last features.

    The first is the first convolution after its rectification; the last is what the layer of the
    scores, the last convolution or dense layer, looks at. Of a ZFNet they are conv1 and fc7.

    Args:
        model: a functional or Sequential `keras.Model`.
        output: which of its outputs holds the scores, where it has several.

    Returns:
        Tuple of one or two names.

    Raises:
        ValueError: if there is no convolution, or nothing but the image below the scores.
    """
    graph = read_graph(model)
    below = graph.ancestors([output_tensor(model, graph, output)])
    graph = dataclasses.replace(graph, nodes=below)
    convolutions = convolution_nodes(graph)
    weighted = [
        node for node in below if isinstance(node.layer, (*CONVOLUTIONS, keras.layers.Dense))
    ]
    if not convolutions or len(weighted) < 2:
        raise ValueError(
            f"The model {model.name!r} has no convolution below its scores: give layers, the names "
            "of those whose features are to be compared."
        )
    first = rectified_node(graph, convolutions[0]) or convolutions[0]
    last = weighted[-1]
    while last is weighted[-1] or isinstance(last.layer, _PASSING_ON):
        last = next(node for node in graph.nodes if last.inputs[0] in node.outputs)
    return tuple(dict.fromkeys([first.name, last.name]))


_PASSING_ON = (*IDENTITIES, keras.layers.Flatten, keras.layers.Reshape)


def _examples(photographs, name, values, size):
    """`(values, pixels)`: a few transformed images, evenly spread over the values."""
    places = np.linspace(0, len(values[name]) - 1, NUM_EXAMPLE_VALUES).round().astype(int)
    chosen = values[name][np.unique(places)]
    shown = photographs[:NUM_EXAMPLE_IMAGES]
    return chosen, np.stack([[transformed(x, name, v, size) for v in chosen] for x in shown])


def _image_size(model, image_size):
    own_size = image_shape(model)[:2]
    if image_size is None and None in own_size:
        raise ValueError(
            f"The model {model.name!r} takes images of any size: give image_size, (height, width) "
            "in pixels."
        )
    size = own_size if image_size is None else tuple(image_size)
    if any(own not in (None, given) for own, given in zip(own_size, size, strict=True)):
        raise ValueError(
            f"image_size is {image_size!r}, but the model {model.name!r} takes images of "
            f"{own_size[0]}×{own_size[1]} pixels only: leave it out."
        )
    return size


def _standardized_values(transformations):
    """`{transformation: float64 values}`, each once and ascending."""
    if not transformations:
        raise ValueError(f"No transformation was given: give {', '.join(TRANSFORMATIONS)}.")
    standard = {}
    for name, values in transformations.items():
        if name not in TRANSFORMATIONS:
            raise ValueError(
                f"There is no transformation {name!r}: give {', '.join(TRANSFORMATIONS)}."
            )
        values = np.asarray(values, "float64")
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError(f"The values of {name!r} are {values}: give a list of finite numbers.")
        if name == "scale" and values.min() <= 0:
            raise ValueError(f"A scale is {values.min():g}: give factors above 0.")
        standard[name] = np.unique(values)
    return standard


def _photographs(model, images, preprocessing):
    """`(pixels, preprocessing)`: a list of uint8 `(rows, columns, channels)`, of any size."""
    if isinstance(images, list | tuple | ValuesView) or hasattr(images, "dtype"):
        photographs = [np.asarray(image) for image in images]
        if all(pixels.dtype == "uint8" and pixels.ndim == 3 for pixels in photographs):
            return photographs, standardize_preprocessing(model, preprocessing)
        images = photographs if isinstance(images, ValuesView) else images
    images = standardize_images(model, images, preprocessing)
    return [*images.to_pixels(images.all())], images.known_preprocessing()


def _check_photographs(photographs, size):
    if not photographs:
        raise ValueError("No photograph was given: give at least one.")
    for pixels in photographs:
        if any(own < seen for own, seen in zip(pixels.shape, size, strict=False)):
            raise ValueError(
                f"A photograph of {pixels.shape[0]}×{pixels.shape[1]} pixels came, but the model "
                f"sees {size[0]}×{size[1]}: enlarge it."
            )
