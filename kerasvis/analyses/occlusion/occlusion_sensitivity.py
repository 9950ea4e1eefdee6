"""Figure 6: how the model's answer changes when a part of the image is occluded.

Where the probability of the correct class falls, the model looks. Where the activity of a feature
map falls at the same place, the map stands for what is there, as its projection shows.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np

from kerasvis.analyses.occlusion.occlusion_result import NO_CLASS, OcclusionSensitivity
from kerasvis.arguments import (
    standardize_class,
    standardize_classes,
    standardize_engine,
    standardize_images,
    standardize_model,
    standardize_preprocessing,
    standardize_verbose,
)
from kerasvis.data import Preprocessing
from kerasvis.deconvnet import DeconvModel
from kerasvis.deconvnet.rules import rule_names, standardize_rules
from kerasvis.deconvnet.targets import WholeMap
from kerasvis.engines import Ray
from kerasvis.graph import Scores, image_shape, read_graph
from kerasvis.occlusion.baselines import baseline_image
from kerasvis.occlusion.data_set_mean import mean_of_data_set
from kerasvis.occlusion.occluders import Occluders
from kerasvis.occlusion.sweep import OcclusionSweep

NUM_CLASSES_ASKED = 5


def occlusion_sensitivity(
    model: keras.Model,
    image: Any,
    class_index: int | Sequence[int] | None = None,
    *,
    engine: Ray | None = None,
    **settings: Any,
) -> OcclusionSensitivity | list[OcclusionSensitivity]:
    """Occludes each part of an image in turn, and records what the model makes of it.

    Args:
        model: a `keras.Model` that returns scores or maps of classes; it is left as it is. See
            `kerasvis.image_model` for one of several inputs. Of a subclassed one, which has no
            graph of layers, no feature map is watched.
        image: `(rows, columns, channels)`, as the model takes it; or several: whatever
            `kerasvis.find_top_activations` takes for images.
        class_index: number of the correct class; for several images, one number or one for each.
            The most probable class of the unoccluded image by default.
        engine: a `kerasvis.engines.Ray`, to analyse several images on the machines of a cluster;
            None for this process.
        **settings: those of `OcclusionAnalysis`.

    Returns:
        An `OcclusionSensitivity`; for several images, a list of them.

    Raises:
        ValueError: see `OcclusionAnalysis`.

    Reference:
        Zeiler & Fergus 2013, Section 4.2 and Figure 6.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax", name="scores")]
        ... )
        >>> image = kv.data.PlantedObjects(1, (32, 32))[0]
        >>> heat = kv.occlusion_sensitivity(
        ...     model, image, class_index=3, patch_size=8, strides=4, verbose=0
        ... )
        >>> heat.probability.shape, heat.boxes[0, 1].tolist()
        ((7, 7), [0, 4, 8, 12])
    """
    is_one, engine = getattr(image, "ndim", None) == 3, standardize_engine(engine)
    images = np.asarray(image)[None] if is_one else image
    model = standardize_model(model, images, needs_graph=False)
    images = standardize_images(model, images, settings.pop("preprocessing", None))
    settings["preprocessing"] = images.preprocessing
    analysis = OcclusionAnalysis(model, images.image_size, **settings)
    images = images.all()
    class_indices = analysis.classes_of(class_index, len(images))
    if engine is None:
        results = [analysis(*pair) for pair in zip(images, class_indices, strict=True)]
    else:
        from kerasvis.analyses.occlusion.occlusion_on_engine import occlusion_on_engine

        found = dict(occlusion_on_engine(engine, analysis, images, class_indices))
        results = [found[index] for index in range(len(images))]
    return results[0] if is_one else results


class OcclusionAnalysis:
    """Occlusion sensitivity of a model for images of one size, image by image.

    Made once, it is planned and compiled once. Within the scope of a `tf.distribute` strategy all
    its replicas work on the positions of an image.

    Args:
        model: a `keras.Model` that returns scores or maps of classes; a subclassed one has to be
            built.
        image_size: `(height, width)` of the images in pixels, or one number for squares.
        patch_size: size of the occluder in pixels, a number or a pair.
        strides: steps between its positions in pixels, a number or a pair.
        box: `(top, left, bottom, right)`, the part of the image to occlude; all of it by default.
        baseline: what occludes: `"grey"`, `"mean"`, `"blur"`, `"noise"`, a number, a colour or an
            image; see `kerasvis.occlusion.baseline_image`.
        preprocessing: what `kerasvis.data.Preprocessing.of` takes: how the images were made from
            pixels. By default as the range of the image tells, or what the model is. Where this is
            not known, `baseline` has to be given in numbers, or as `"blur"`.
        seed: of the noise.
        layer: name of the layer to watch; by default the last convolution, and none where there is
            no convolution.
        feature: its feature map; by default the one with the strongest activation in the
            unoccluded image.
        class_indices: classes whose probabilities are asked for besides that of the correct class;
            by default the five most probable ones of the unoccluded image.
        output: which of the model's outputs, by name, key or number, where it has several.
        activation: what makes probabilities of the output: `"softmax"`, `"sigmoid"`,
            `"exponential"`, or `"linear"` for a model of probabilities; found from the values that
            the model gives by default.
        region: of maps of classes `(top, left, bottom, right)` in pixels of the maps, over which
            the probability of a class is summed; see `kerasvis.graph.Scores`.
        score: a function of the output that returns one number for each image, in place of classes;
            see `kerasvis.graph.Scores`. `output` may be any layer then.
        rules: pairs in front of the built-in rules of the projection; see `kerasvis.rules`.
        method: `"incremental"` computes of every feature map only what the occluder can have
            affected, to the same result but for rounding; `"full"` runs the model on the occluded
            images; `"auto"` takes the one of fewer operations.
        batch_size: positions in a step; chosen from the model's size by default.
        verbose: `"auto"` shows a progress bar on a terminal, 0 none, 1 and 2 do.

    Attributes:
        occluders: the `Occluders`.
        preprocessing: the `Preprocessing` that was stated, or None.
        layer: name of the layer that is watched, or None.
        nodes: the nodes of the model that run.
        model: the model, in a form whose graph can be read.
        arguments: `{name: value}` of the others, by which the same analysis can be made elsewhere.

    Call arguments:
        image: `(rows, columns, channels)`, as the model takes it.
        class_index: the correct class; by default the most probable one.

    Returns:
        An `OcclusionSensitivity`.

    Raises:
        ValueError: if an argument is none of these; the image is of another size, or of values that
            the preprocessing does not make; a class does not exist; or the model gives NaN. (A NaN
            inside the model is not always seen: on a CPU, TensorFlow's convolution fused with ReLU
            turns it into 0.)
    """

    def __init__(
        self,
        model: keras.Model,
        image_size: int | tuple[int, int],
        *,
        patch_size: int | tuple[int, int] = 16,
        strides: int | tuple[int, int] = 8,
        box: tuple[int, int, int, int] | None = None,
        baseline: str | float | Sequence | np.ndarray = "grey",
        preprocessing: Any = None,
        seed: int = 0,
        layer: str | None = None,
        feature: int | None = None,
        class_indices: int | Sequence[int] | None = None,
        output: str | int | None = None,
        activation: str = "auto",
        region: tuple[int, int, int, int] | None = None,
        score: Callable[[Any], Any] | None = None,
        rules: str | Sequence[tuple] = (),
        method: str = "auto",
        batch_size: int | None = None,
        verbose: str | int = "auto",
    ):
        given = dict(locals())
        self.arguments = {name: given[name] for name in given if name not in ("self", "model")}
        if method not in ("auto", "incremental", "full"):
            raise ValueError(f"method is {method!r}: give 'auto', 'incremental' or 'full'.")
        model = standardize_model(model, needs_graph=False)
        self.image_shape = (*_checked_size(model, image_size), image_shape(model)[2])
        self.occluders = Occluders(self.image_shape[:2], patch_size, strides, box)
        self.preprocessing = None
        if preprocessing is not None:
            self.preprocessing = Preprocessing.of(preprocessing, self.image_shape[2])
        self.scores = Scores(
            model,
            output=output,
            activation=activation,
            region=region,
            score=score,
            image_size=self.occluders.image_size,
        )
        self.layer = last_convolution(model, self.scores.nodes) if layer is None else layer
        self.sweep = OcclusionSweep(
            model, self.occluders, self.layer, self.scores, method=method, batch_size=batch_size
        )
        self.nodes = self.sweep.nodes
        self.model, self._activation, self._method = model, activation, method
        self._feature, self._class_indices = feature, class_indices
        self._verbose, self._rules = standardize_verbose(verbose), standardize_rules(rules)
        self._deconv, self._projection_reason = _deconv_or_reason(model, self.layer, rules)
        self._set_baseline(baseline, seed)

    def with_baseline(self, baseline: Any, seed: int = 0) -> Self:
        """The same analysis with another baseline; what was compiled is shared."""
        other = copy.copy(self)
        other.arguments = {**self.arguments, "baseline": baseline, "seed": seed}
        other._set_baseline(baseline, seed)
        return other

    def _set_baseline(self, baseline, seed):
        self._baseline, self._seed = baseline, seed
        preprocessing = standardize_preprocessing(self.model, self.preprocessing)
        self._baseline_image(np.zeros(self.image_shape, "float32"), preprocessing)  # fail early

    @property
    def settings(self) -> dict[str, Any]:
        """All that a result depends on besides the model, the image and its class."""
        return {
            "image_size": self.occluders.image_size,
            "patch_size": self.occluders.patch_size,
            "strides": self.occluders.strides,
            "box": self.occluders.box,
            "baseline": self._baseline,
            "seed": self._seed,
            "preprocessing": self.preprocessing and self.preprocessing.mode,
            "layer": self.layer,
            "feature": self._feature,
            "class_indices": self._class_indices,
            "activation": self._activation,
            "method": self._method,
            "output": self.scores.tensor,
            "region": self.scores.region,
            "score": _identity(self.scores.score),
            "rules": rule_names(self._rules),
        }

    def classes_of(self, class_index: Any, num_images: int) -> list:
        """The class of each image, or None; a ValueError if there is none of that number."""
        asked = class_index, self._class_indices
        if self.scores.score is not None and asked != (None, None):
            raise ValueError(
                "A score takes the place of classes: leave out class_index and class_indices. "
                f"Received: class_index={asked[0]!r}, class_indices={asked[1]!r}"
            )
        return standardize_classes(class_index, num_images, self.scores.num_classes)

    def __call__(self, image: Any, class_index: int | None = None) -> OcclusionSensitivity:
        (class_index,) = self.classes_of(class_index, 1)
        image, preprocessing = self._checked_image(image)
        base, activities, strongest_feature = self.sweep.base(image)
        if not np.isfinite(base).all():
            raise ValueError(
                "The model gives NaN or infinity for the unoccluded image: check the range of the "
                "image and the model's weights."
            )
        class_indices = self._asked_classes(base, class_index)
        feature_index = self._watched_map(len(activities), strongest_feature)
        probabilities, label, activity = self.sweep.run(
            image,
            self._baseline_image(image, preprocessing),
            feature_index,
            class_indices,
            self._verbose,
        )
        base_label = base.argmax()
        if self.scores.score is not None:
            class_indices, base_label, label = (
                np.full_like(x, NO_CLASS) for x in (class_indices, base_label, label)
            )
        return OcclusionSensitivity(
            occluders=self.occluders,
            class_index=int(class_indices[0]),
            probability=probabilities[..., 0],
            label=label,
            class_indices=class_indices,
            probabilities=probabilities,
            layer=self.layer or "",
            feature_index=feature_index,
            activity=None if self.layer is None else activity,
            projection=self._project(image, feature_index, preprocessing),
            base_probabilities=base[np.maximum(class_indices, 0)],
            base_label=int(base_label),
            base_activity=np.nan if self.layer is None else float(activities[feature_index]),
            method=self.sweep.plan.method,
            reason=self.sweep.plan.reason,
            activation=self.scores.interpretation,
            measure=self.scores.measure,
            projection_reason=self._projection_reason,
        )

    def _baseline_image(self, image, preprocessing):
        mean = mean_of_data_set(self.model, preprocessing)
        return baseline_image(
            image,
            self._baseline,
            preprocessing,
            mean=mean,
            patch_size=self.occluders.patch_size,
            seed=self._seed,
        )

    def _checked_image(self, image):
        """`(image, its Preprocessing)`, None where this is not known."""
        image = np.asarray(image)
        if image.shape != self.image_shape:
            raise ValueError(
                f"An image of shape {image.shape} came, but {self.image_shape} was expected: "
                "resize it, and give it as (rows, columns, channels)."
            )
        if not np.isfinite(image).all():
            raise ValueError("The image holds NaN or infinity: correct it.")
        preprocessing = standardize_images(
            self.model, image[None], self.preprocessing
        ).preprocessing
        if preprocessing is not None:
            preprocessing.check_range(image)
        return image.astype("float32"), preprocessing

    def _asked_classes(self, base, class_index):
        """int64 `(classes,)`: the correct class, then the others that are asked for."""
        correct = base.argmax() if class_index is None else class_index
        asked = self._class_indices
        if asked is None:
            asked = np.argsort(-base, kind="stable")[:NUM_CLASSES_ASKED]
        asked = [correct, *np.ravel(asked).tolist()]
        asked = dict.fromkeys(standardize_class(index, len(base)) for index in asked)
        return np.array(list(asked), "int64")

    def _watched_map(self, num_maps, strongest_feature):
        if self._feature is None or self.layer is None:
            return strongest_feature
        if self._feature not in range(num_maps):
            raise ValueError(
                f"Layer {self.layer!r} has no feature map {self._feature}, but "
                f"{num_maps} of them: give 0 to {num_maps - 1}."
            )
        return int(self._feature)

    def _project(self, image, feature_index, preprocessing):
        if self._deconv is None:
            return None
        projection = self._deconv.project(image[None], WholeMap(feature_index))[0]
        return projection if preprocessing is None else preprocessing.rgb(projection)


def last_convolution(model, nodes=None):
    """Name of the last layer of convolution among nodes of a model, by default all; or None."""
    layers = keras.layers
    types = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
    nodes = read_graph(model).nodes if nodes is None else nodes
    names = [node.name for node in nodes if isinstance(node.layer, types)]
    return names[-1] if names else None


def _deconv_or_reason(model, layer, rules):
    """`(DeconvModel, "")`, or `(None, why there is none)`."""
    if layer is None:
        return None, f"No feature map is watched, as {model.name!r} has no layer of convolution."
    try:
        return DeconvModel(model, layer, rules=rules), ""
    except ValueError as error:  # a layer without a rule
        return None, str(error)


def _identity(function):
    """What tells a user's function from others, in another process too, if possible."""
    code = getattr(function, "__code__", None)
    if code is None:
        return getattr(function, "__qualname__", repr(function))
    locations = [location.cell_contents for location in function.__closure__ or ()]
    return repr((code.co_code, code.co_consts, code.co_names, locations))


def _checked_size(model, image_size):
    own_size = image_shape(model)[:2]
    image_size = (image_size,) * 2 if np.ndim(image_size) == 0 else tuple(image_size)
    if any(own not in (None, size) for own, size in zip(own_size, image_size, strict=True)):
        raise ValueError(
            f"An image of {image_size[0]}×{image_size[1]} pixels came, but the model "
            f"{model.name!r} takes {own_size[0]}×{own_size[1]}: resize it."
        )
    return image_size
