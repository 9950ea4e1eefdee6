"""Compares several methods on the same activations of the same images."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import keras
import numpy as np

from kerasvis.arguments import standardize_images
from kerasvis.attributions.activation_gradient import ActivationGradient
from kerasvis.attributions.methods import COMPARED, attribute, standardize_methods
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

if TYPE_CHECKING:
    from kerasvis.deconvnet.targets import Target


@dataclasses.dataclass(frozen=True, eq=False)
class MethodComparison(Result):
    """The maps of several methods for one activation of each image.

    Attributes:
        layer: name of the layer.
        feature_indices: int64 `(images,)`.
        positions: int64 `(images, 2)`, the unit's (row, column); (0, 0) in a dense layer, and (-2,
            -2) for a whole feature map.
        activations: float32 `(images,)`; for a whole feature map, their sum.
        pixels: uint8 `(images, rows, columns, channels)`, RGB.
        maps: `{method: array}`: float32 `(images, rows, columns, channels)`, signed, RGB; or heat
            maps, float32 `(images, rows, columns)`, at least 0; or uint8 pixels, if a method makes
            images.
    """

    layer: str
    feature_indices: Annotated[np.ndarray, Array("int64", "images")]
    positions: Annotated[np.ndarray, Array("int64", "images", 2)]
    activations: Annotated[np.ndarray, Array("float32", "images")]
    pixels: Annotated[np.ndarray, Array("uint8", "images", "rows", "columns", "channels")]
    maps: dict[str, Annotated[np.ndarray, Array("float32|uint8", "images", "rows", "columns", ...)]]


def compare_methods(
    model: keras.Model,
    layer: str,
    images: Any,
    target: "Target",
    methods: str | Sequence[str | Callable] | Mapping[str, str | Callable] = COMPARED,
    *,
    options: Mapping[str, dict] | None = None,
    preprocessing: Any = None,
    rules: str | Sequence[tuple] = (),
    batch_size: int | None = None,
    verbose: str | int = 0,
) -> MethodComparison:
    """Traces the same activations back to the images by several methods.

    Args:
        model, layer, images, target, rules, batch_size, verbose: see `attribute`. For the target
            `Strongest`, all methods use the same unit.
        methods: what `kerasvis.attributions.methods.standardize_methods` takes: names of `METHODS`,
            your own functions, or a mapping from names to either.
        options: `{method: {option: value}}` for those methods that need options.
        preprocessing: how `images` were computed from pixels, see `kerasvis.data.Preprocessing.of`;
            by default as `kerasvis.arguments.standardize_images` infers it.

    Returns:
        A `MethodComparison`.

    Raises:
        ValueError: as `attribute`; also if there are no methods, or options for a method that was
            not given.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 40, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax", name="scores")]
        ... )
        >>> images = kv.data.PlantedObjects(2, (32, 40))[:]
        >>> target = kv.targets.Unit(3)
        >>> found = kv.compare_methods(model, "scores", images, target, ["deconvnet", "grad_cam"])
        >>> {method: found.maps[method].shape for method in found.maps}
        {'deconvnet': (2, 32, 40, 3), 'grad_cam': (2, 32, 40)}
    """
    methods, options = standardize_methods(methods), options or {}
    _check_options(methods, options)
    source = standardize_images(model, images, preprocessing)
    preprocessing = source.known_preprocessing()
    images = source.all()
    derivatives = ActivationGradient(model, layer)
    unit = derivatives.fixed(images, target, batch_size)
    chosen = derivatives.inputs_for(images, unit)
    activations = derivatives.derive(images, unit, batch_size)["activation"]
    method_of = functools.partial(attribute, rules=rules, batch_size=batch_size, verbose=verbose)
    maps = {}
    for name, method in methods.items():
        own = options.get(name, {})
        found = method_of(model, layer, images, unit, method, **own)
        maps[name] = preprocessing.rgb(found) if found.ndim == 4 else found
    return MethodComparison(
        layer=layer,
        feature_indices=chosen["feature"].astype("int64"),
        positions=chosen["position"].astype("int64"),
        activations=activations,
        pixels=source.to_pixels(images),
        maps=maps,
    )


def _check_options(methods, options):
    if unknown := [name for name in options if name not in methods]:
        raise ValueError(
            f"There are options for {unknown[0]!r}, which is not among the methods: add it. "
            f"Received: methods={list(methods)}"
        )
