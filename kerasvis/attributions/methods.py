"""The registry of attribution methods, all with the same call; users can add their own.

| method                 | starts at      | returns                                           |
|------------------------|----------------|---------------------------------------------------|
| `deconvnet`            | the activation | projection (Zeiler & Fergus 2013)                 |
| `guided`               | 1              | guided backpropagation (Springenberg et al. 2014) |
| `gradient`             | 1              | derivative (Simonyan et al. 2013)                 |
| `gradient_times_input` | 1              | derivative × image (Shrikumar et al. 2016)        |
| `smoothgrad`           | 1              | mean derivative under noise (Smilkov et al. 2017) |
| `grad_cam`             | 1              | heat map (Selvaraju et al. 2017)                  |
| `edges`                |                | control that looks at the image alone             |

`DeconvModel(..., starts_at=...)` sets the start of the first three methods. Maps that start at 1
are in units of the activation per unit of the image. Projections, products with the image and sums
over feature maps (`grad_cam`) are in units of the activation.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasvis.arguments import standardize_images, standardize_model
from kerasvis.attributions.edges import edges
from kerasvis.attributions.grad_cam import grad_cam
from kerasvis.attributions.gradient_times_input import gradient_times_input
from kerasvis.attributions.projections import deconvnet, gradient, guided
from kerasvis.attributions.smoothgrad import smoothgrad

if TYPE_CHECKING:
    from kerasvis.deconvnet.targets import Target

# Methods that also work for a model without a graph of layers.
OF_OUTPUTS = ("gradient", "gradient_times_input", "smoothgrad", "edges")

# name → function (model, layer, images, target, *, rules, batch_size, verbose, ...) that returns a
# map for each image. Your own function may omit any of the keywords; METHODS["mine"] = function
# registers it.
METHODS: dict[str, Callable[..., np.ndarray]] = {
    "deconvnet": deconvnet,
    "guided": guided,
    "gradient": gradient,
    "gradient_times_input": gradient_times_input,
    "smoothgrad": smoothgrad,
    "grad_cam": grad_cam,
    "edges": edges,
}
COMPARED = tuple(name for name in METHODS if name != "edges")  # by default


def attribute(
    model: keras.Model,
    layer: str,
    images: Any,
    target: "Target",
    method: str | Callable[..., np.ndarray],
    *,
    rules: str | Sequence[tuple] = (),
    batch_size: int | None = None,
    verbose: str | int = 0,
    **options: Any,
) -> np.ndarray:
    """Attributes activations to the image by one of several methods.

    Args:
        model: a functional or Sequential `keras.Model` with one input of images, channels last; it
            is not changed. For a subclassed model, only the layer `"output"` and the methods
            `"gradient"`, `"gradient_times_input"` and `"smoothgrad"` are available.
        layer: name of the activation's layer. A softmax or sigmoid at this layer is left out, so
            that scores before it are explained.
        images: what `kerasvis.arguments.standardize_images` takes.
        target: `kerasvis.targets.Unit`, `Strongest` or `WholeMap`; for a class score,
            `Unit(class_index)`. For a whole feature map, the sum of its units is explained.
        method: name of a method in `METHODS`, or your own function with the same signature.
        rules: rules that precede the built-in ones, see `kerasvis.rules`, for the deconvnet and
            guided backpropagation. The other methods differentiate with the backend and need no
            rules.
        batch_size: images per step; by default chosen from their size.
        verbose: whether a progress bar is shown.
        **options: options of the method: `num_samples`, `noise_level` and `seed` of
            `smoothgrad`, `maps_layer` of `grad_cam`.

    Returns:
        float32 array of the shape of `images`, signed; from `grad_cam`, `(images, rows, columns)`
        and at least 0.

    Raises:
        ValueError: if the method or the layer is unknown, a layer below it cannot be projected
            through, or images or target do not fit the model.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 40, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax", name="scores")]
        ... )
        >>> images = kv.data.PlantedObjects(2, (32, 40))[:]
        >>> kv.attribute(model, "scores", images, kv.targets.Unit(3), "gradient").shape
        (2, 32, 40, 3)
        >>> kv.attribute(model, "scores", images, kv.targets.Unit(3), "grad_cam").shape
        (2, 32, 40)
    """
    (function,) = standardize_methods(method).values()
    needs_graph = method in METHODS and method not in OF_OUTPUTS
    model = standardize_model(model, images, needs_graph=needs_graph)
    if not isinstance(images, np.ndarray):
        images = standardize_images(model, images).all()
    shared = {"rules": rules, "batch_size": batch_size, "verbose": verbose}
    return function(model, layer, images, target, **_accepted(function, shared), **options)


def standardize_methods(
    methods: str | Callable | Sequence[str | Callable] | Mapping[str, str | Callable],
) -> dict[str, Callable[..., np.ndarray]]:
    """Standardises methods to functions by name.

    Args:
        methods: the name of a method in `METHODS`, or a function; a list of these, in which a
            function is named after itself; or a mapping from names of your choice to them.

    Returns:
        `{name: function}`.

    Raises:
        ValueError: if a name is unknown or given twice, or there are no methods.

    Example:
        >>> import numpy as np
        >>> from kerasvis.attributions.methods import standardize_methods
        >>> def brightness(model, layer, images, target):
        ...     return np.abs(images)
        >>> list(standardize_methods(["guided", brightness]))
        ['guided', 'brightness']
    """
    if isinstance(methods, str) or callable(methods):
        methods = (methods,)
    if not isinstance(methods, Mapping):
        named = [(getattr(method, "__name__", method), method) for method in methods]
        methods = {str(name): method for name, method in named}
        if len(methods) < len(named):
            raise ValueError(
                "Two methods have the same name: give each once, or a mapping with names of your "
                f"own. Received: methods={[name for name, _ in named]}"
            )
    if not methods:
        raise ValueError(
            f"No method was given: give at least one, as 'deconvnet'. Received: methods={methods!r}"
        )
    return {name: _function_of(method) for name, method in methods.items()}


def checked_maps(name: str, maps: Any, images_shape: tuple) -> np.ndarray:
    """The maps that a method returned, as float32 `(images, rows, columns, channels or 1)`.

    Raises:
        ValueError: if they do not have the shape of the images, or are not finite.
    """
    maps = np.asarray(maps, "float32")
    if maps.shape[:3] != images_shape[:3] or maps.ndim not in (3, 4):
        raise ValueError(
            f"The method {name!r} must return one value, or one per channel, for every pixel of "
            f"the images, {images_shape}. Received: maps of shape {maps.shape}"
        )
    if not np.isfinite(maps).all():
        raise ValueError(
            f"The method {name!r} returned NaN or infinity: check the images and the weights. "
            f"Received: {np.count_nonzero(~np.isfinite(maps)):,} of {maps.size:,} values not finite"
        )
    return maps if maps.ndim == 4 else maps[..., None]


def _function_of(method):
    if callable(method):
        _check_signature(method)
        return method
    if method not in METHODS:
        near = difflib.get_close_matches(str(method), METHODS, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"give one of {', '.join(METHODS)}"
        raise ValueError(
            f"There is no method {method!r}: {hint}, or give a function (model, layer, images, "
            f"target). Received: method={method!r}"
        )
    return METHODS[method]


def _check_signature(function):
    """Refuses a function that cannot be called as a method is."""
    try:
        inspect.signature(function).bind_partial("model", "layer", "images", "target")
    except (TypeError, ValueError) as error:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise ValueError(
            "The function cannot be called as a method is: give a function (model, layer, images, "
            f"target). Received: method={name}"
        ) from error


def _accepted(function, keywords):
    """The subset of the keywords that the function accepts."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return keywords
    return {name: value for name, value in keywords.items() if name in parameters}
