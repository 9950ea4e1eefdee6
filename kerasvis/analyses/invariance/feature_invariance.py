"""Figure 5 of arXiv v3: how features change when the image is translated, scaled or rotated.

Features that hardly change are invariant to the transformation. The paper finds that layer 1
changes at once and the top layer gradually, and that only the features of symmetric objects are
invariant to rotation.
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
    """The effect of one transformation.

    Attributes:
        transformation: `"translation"`, `"scale"` or `"rotation"`.
        values: float64 `(values,)`, ascending: pixels down, factors or degrees counter-clockwise.
        distances: float32 `(layers, images, values)`, Euclidean, to the features of the
            untransformed image; exactly 0 where no pixel differs.
        probabilities: float32 `(images, values)`, of the true class.
        example_values: float64 `(examples,)`, some of `values`.
        examples: uint8 `(first images, examples, height, width, channels)`: transformed images.
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
        activation: how the model's output was interpreted, as a phrase; "" in old files.
        measure: what `probabilities` are: `"probability"`, or `"summed probability"` over a region
            of class maps.
    """

    layers: tuple[str, ...]
    class_indices: Annotated[np.ndarray, Array("int64", "images")]
    curves: tuple[InvarianceCurves, ...]
    activation: str = ""
    measure: str = "probability"


def paper_transformations(height: int) -> dict[str, np.ndarray]:
    """The ranges of the paper's Figure 5, for images of another height.

    Args:
        height: height of the images in pixels. The paper's translations in images of 224 pixels are
            scaled to it and rounded to whole pixels.

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
    transformations: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    image_size: tuple[int, int] | None = None,
    preprocessing: Any = None,
    output: str | int | None = None,
    activation: str = "auto",
    region: tuple[int, int, int, int] | None = None,
    batch_size: int = 16,
    directory: str | os.PathLike | None = None,
    verbose: str | int = "auto",
) -> FeatureInvariance:
    """Translates, scales and rotates photographs, and measures how much their features change.

    Args:
        model: a functional or Sequential `keras.Model` that returns scores or class maps; it is not
            changed. For a model of several inputs see `kerasvis.image_model`.
        layers: names of layers, or one name; None for the first and the last layer of features,
            as `first_and_last_features` finds them.
        images: uint8 pixels, `(images, rows, columns, channels)` or a sequence of `(rows,
            columns, channels)`, RGB. The model takes the centre; a transformation of a larger
            photograph moves its margins into view. Beyond the photograph's border the nearest pixel
            is repeated. Anything else that `kerasvis.find_top_activations` takes is converted to
            pixels.
        class_indices: the true class: one number, or one for each image; by default the most
            probable class of each untransformed image.
        transformations: one or more of `{"translation": pixels down, "scale": factors, "rotation":
            degrees counter-clockwise}`, each a list of numbers; `paper_transformations` by default.
        image_size: `(height, width)` in pixels, for models that take any size.
        preprocessing: what `kerasvis.data.Preprocessing.of` takes: how the images that the model
            takes are made from RGB pixels. By default as for `kerasvis.find_top_activations`:
            pixels are preprocessed for a model of `keras.applications` or KerasHub, and left as
            they are for others.
        output: which output to use if the model has several: its name, key or number.
        activation: what turns the output into probabilities: `"softmax"`, `"sigmoid"`,
            `"exponential"`, or `"linear"` if the model returns probabilities; by default inferred
            from the model's values.
        region: `(top, left, bottom, right)` in elements of the class maps, over which the
            probability of a class is summed; see `kerasvis.graph.Scores`.
        batch_size: images per step.
        directory: folder that caches the results of each image, from which an interrupted analysis
            resumes. By default nothing is cached.
        verbose: `"auto"` shows a progress bar on a terminal; 0 shows none, 1 and 2 show one.

    Returns:
        A `FeatureInvariance`.

    Raises:
        ValueError: if an argument is wrong, or the model returns NaN or infinity.
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
    given_classes = standardize_classes(class_indices, len(photographs), scores.num_classes)
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
        for photograph, class_index in zip(bar, given_classes, strict=True):
            part = f"image-{digest([photograph])}.npz"
            found = parts.arrays(part, functools.partial(measure, photograph))
            of_classes = found["probabilities"]
            classes.append(of_classes[0].argmax() if class_index is None else class_index)
            distances.append(found["distances"].T)
            probabilities.append(of_classes[1:, classes[-1]])

    ends = np.cumsum([len(v) for v in values.values()])[:-1]
    by_name = zip(
        values,
        np.split(np.stack(distances, 1), ends, -1),
        np.split(np.stack(probabilities), ends, -1),
        strict=True,
    )
    curves = [
        InvarianceCurves(name, values[name], *arrays, *_examples(photographs, name, values, size))
        for name, *arrays in by_name
    ]
    return FeatureInvariance(
        layers, np.array(classes, "int64"), tuple(curves), scores.interpretation, scores.measure
    )


def first_and_last_features(model: keras.Model, output: str | int | None = None) -> tuple[str, ...]:
    """Names of the layers that compute a model's first and last features.

    The first is the first convolution after its rectification. The last is the input of the layer
    of scores, which is the last convolution or dense layer. For a ZFNet they are conv1 and fc7.

    Args:
        model: a functional or Sequential `keras.Model`.
        output: which output returns the scores if the model has several.

    Returns:
        Tuple of one or two names.

    Raises:
        ValueError: if there is no convolution, or only the image is below the scores.
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
            f"The model {model.name!r} has no convolution below its scores: name the layers whose "
            "features are to be compared. Received: layers=None"
        )
    first = rectified_node(graph, convolutions[0]) or convolutions[0]
    last = weighted[-1]
    while last is weighted[-1] or isinstance(last.layer, _PASSING_ON):
        last = next(node for node in graph.nodes if last.inputs[0] in node.outputs)
    return tuple(dict.fromkeys([first.name, last.name]))


_PASSING_ON = (*IDENTITIES, keras.layers.Flatten, keras.layers.Reshape)


def _examples(photographs, name, values, size):
    """`(values, pixels)`: a few transformed images, evenly spread over the values."""
    numbers = np.linspace(0, len(values[name]) - 1, NUM_EXAMPLE_VALUES).round().astype(int)
    chosen = values[name][np.unique(numbers)]
    shown = photographs[:NUM_EXAMPLE_IMAGES]
    return chosen, np.stack([[transformed(x, name, v, size) for v in chosen] for x in shown])


def _image_size(model, image_size):
    own_size = image_shape(model)[:2]
    if image_size is None and None in own_size:
        raise ValueError(
            f"The model {model.name!r} takes images of any size: give image_size, (height, width) "
            "in pixels. Received: image_size=None"
        )
    size = own_size if image_size is None else tuple(image_size)
    if any(own not in (None, given) for own, given in zip(own_size, size, strict=True)):
        raise ValueError(
            f"The model {model.name!r} takes images of {own_size[0]}×{own_size[1]} pixels only: "
            f"leave out image_size. Received: image_size={image_size!r}"
        )
    return size


def _standardized_values(transformations):
    """`{transformation: float64 values}`, each once and ascending."""
    if not transformations:
        raise ValueError(
            f"No transformation was given: give {', '.join(TRANSFORMATIONS)}. "
            f"Received: transformations={transformations!r}"
        )
    standard = {}
    for name, values in transformations.items():
        if name not in TRANSFORMATIONS:
            raise ValueError(
                f"There is no transformation {name!r}: give {', '.join(TRANSFORMATIONS)}. "
                f"Received: transformations={transformations!r}"
            )
        values = np.asarray(values, "float64")
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError(
                "Give the values of a transformation as a list of finite numbers. "
                f"Received: {name}={values}"
            )
        if name == "scale" and values.min() <= 0:
            raise ValueError(f"Give scale factors above 0. Received: {name}={values}")
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
        raise ValueError("Give at least one photograph. Received: images=[]")
    for pixels in photographs:
        if any(own < needed for own, needed in zip(pixels.shape, size, strict=False)):
            raise ValueError(
                f"The model takes images of {size[0]}×{size[1]} pixels: enlarge the photograph. "
                f"Received: a photograph of {pixels.shape[0]}×{pixels.shape[1]} pixels"
            )
