"""Figure 6: how the model's output changes when a part of the image is occluded.

The probability of the correct class drops where the model relies on the occluded part. If the
activity of a feature map drops at the same place, the feature map represents the structure there,
and its projection shows it.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np

from kerasvis.analyses.occlusion.occlusion_result import NO_CLASS, OcclusionSensitivity
from kerasvis.analyses.single_projections import deconv_or_reason
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
from kerasvis.deconvnet.rule_table import rule_names, standardize_rules
from kerasvis.deconvnet.targets import WholeMap
from kerasvis.engines import Ray
from kerasvis.graph import Scores, image_shape, read_graph
from kerasvis.occlusion.baselines import baseline_image
from kerasvis.occlusion.data_set_mean import mean_of_data_set
from kerasvis.occlusion.occluders import Occluders
from kerasvis.occlusion.sweep import OcclusionSweep
from kerasvis.storage.counted import counted

NUM_CLASSES_ASKED = 5


def occlusion_sensitivity(
    model: keras.Model,
    image: Any,
    class_index: int | Sequence[int] | None = None,
    *,
    engine: Ray | None = None,
    **settings: Any,
) -> OcclusionSensitivity | list[OcclusionSensitivity]:
    """Occludes each part of an image in turn and records the model's output.

    Args:
        model: a `keras.Model` that returns scores or maps of classes; it is not changed. For a
            model of several inputs see `kerasvis.image_model`. A subclassed model has no graph of
            layers, so no feature map is watched.
        image: `(rows, columns, channels)`, as the model takes it; or several images: anything that
            `kerasvis.find_top_activations` accepts.
        class_index: number of the correct class; for several images, one number for all or one for
            each. By default the most probable class of the unoccluded image.
        engine: a `kerasvis.engines.Ray` to analyse several images on the machines of a cluster;
            None for this process.
        **settings: further arguments of `OcclusionAnalysis`.

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
    """Computes the occlusion sensitivity of a model, one image at a time, for images of one size.

    One instance plans and compiles once and analyses any number of images. Created in the scope of
    a `tf.distribute` strategy, it spreads the positions of an image over all replicas.

    Args:
        model: a `keras.Model` that returns scores or maps of classes; a subclassed model must be
            built.
        image_size: `(height, width)` of the images in pixels, or one number for squares.
        patch_size: size of the occluder in pixels, a number or a pair; by default a seventh of
            the shorter side of the image, or of the box.
        strides: steps between the occluder's positions in pixels, a number or a pair; by default
            half of `patch_size`.
        box: `(top, left, bottom, right)`, the part of the image to occlude; all of it by default.
        baseline: content of the occluder: `"grey"`, `"mean"`, `"blur"`, `"noise"`, a number, a
            colour or an image; see `kerasvis.occlusion.baseline_image`.
        preprocessing: how the images were computed from pixels, see
            `kerasvis.data.Preprocessing.of`; by default inferred from the model and the range of
            the image. If it remains unknown, `baseline` must be a number, a colour, an image or
            `"blur"`.
        seed: seed of the noise.
        layer: name of the layer to watch; by default the last convolution, if there is one.
        feature: number of the feature map to watch; by default the one with the strongest
            activation in the unoccluded image.
        class_indices: classes whose probabilities are returned in addition to that of the correct
            class; by default the five most probable classes of the unoccluded image.
        output: which output to use if the model has several: its name, key or number.
        activation: what turns the output into probabilities: `"softmax"`, `"sigmoid"`,
            `"exponential"`, or `"linear"` if the model returns probabilities; by default inferred
            from the model's values.
        region: for a model that returns maps of classes: `(top, left, bottom, right)` in pixels of
            the maps, over which the probability of a class is summed; see `kerasvis.graph.Scores`.
        score: a function of the output that returns one number for each image and replaces the
            classes; see `kerasvis.graph.Scores`. `output` may then be any layer.
        rules: rules for the backward projection that precede the built-in ones; see
            `kerasvis.rules`.
        method: `"incremental"` computes only the part of each feature map that the occluder can
            affect, with the same result up to rounding; `"full"` runs the model on the occluded
            images; `"auto"` chooses the method with fewer operations.
        batch_size: positions per step; by default chosen from the model's size.
        verbose: `"auto"` shows a progress bar on a terminal, 0 never, 1 and 2 always.

    Attributes:
        occluders: the `Occluders`.
        preprocessing: the `Preprocessing` that was given, or None.
        layer: name of the watched layer, or None.
        nodes: the nodes of the model that run.
        model: the model, with a graph that can be read.
        arguments: `{name: value}` of the other arguments, to create the same analysis elsewhere.

    Call arguments:
        image: `(rows, columns, channels)`, as the model takes it.
        class_index: the correct class; by default the most probable one.

    Returns:
        An `OcclusionSensitivity`.

    Raises:
        ValueError: if an argument is invalid, the image has another size or values outside the
            range of its preprocessing, a class does not exist, or the model returns NaN. (A NaN
            inside the model may go unnoticed: on a CPU, TensorFlow's convolution fused with ReLU
            turns it into 0.)
    """

    def __init__(
        self,
        model: keras.Model,
        image_size: int | tuple[int, int],
        *,
        patch_size: int | tuple[int, int] | None = None,
        strides: int | tuple[int, int] | None = None,
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
            raise ValueError(f"Give 'auto', 'incremental' or 'full'. Received: method={method!r}")
        model = standardize_model(model, needs_graph=False)
        self.image_shape = (*_checked_size(model, image_size), image_shape(model)[2])
        self.occluders = Occluders.of(self.image_shape[:2], patch_size, strides, box)
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
        self._deconv, self._projection_reason = deconv_or_reason(model, self.layer, rules)
        self._set_baseline(baseline, seed)

    def with_baseline(self, baseline: Any, seed: int = 0) -> Self:
        """Returns the same analysis with another baseline; compiled functions are shared."""
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
        """Everything that a result depends on except the model, the image and its class."""
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
        """The class of each image, or None; raises a ValueError if a class does not exist."""
        asked = class_index, self._class_indices
        if self.scores.score is not None and asked != (None, None):
            raise ValueError(
                "A score replaces the classes: leave out class_index and class_indices. "
                f"Received: class_index={asked[0]!r}, class_indices={asked[1]!r}"
            )
        return standardize_classes(class_index, num_images, self.scores.num_classes)

    def __call__(self, image: Any, class_index: int | None = None) -> OcclusionSensitivity:
        (class_index,) = self.classes_of(class_index, 1)
        image, preprocessing = self._checked_image(image)
        base, activities, strongest_feature = self._base(image)
        class_indices = self._asked_classes(base, class_index)
        feature_index = self._watched_map(len(activities), strongest_feature)
        probabilities, label, activity = self.sweep.run(
            image,
            self._baseline_image(image, preprocessing),
            feature_index,
            class_indices,
            self._verbose,
        )
        base_label = int(base.argmax())
        if self.scores.score is not None:
            base_label = NO_CLASS
            class_indices, label = (np.full_like(x, NO_CLASS) for x in (class_indices, label))
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
            base_label=base_label,
            base_activity=np.nan if self.layer is None else float(activities[feature_index]),
            method=self.sweep.plan.method,
            reason=self.sweep.plan.reason,
            activation=self.scores.interpretation,
            measure=self.scores.measure,
            projection_reason=self._projection_reason,
        )

    def base_probabilities(self, image: Any) -> np.ndarray:
        """Float32 `(classes,)`: the probabilities for the unoccluded image.

        Raises:
            ValueError: if the image does not fit, or the model returns NaN or infinity.
        """
        return self._base(self._checked_image(image)[0]).probabilities

    def _base(self, image):
        base = self.sweep.base(image)
        if not np.isfinite(base.probabilities).all():
            raise ValueError(
                "The model returns NaN or infinity for the unoccluded image: check the range of "
                "the image and the model's weights."
            )
        return base

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
        """`(image, its Preprocessing)`; the latter is None if unknown."""
        image = np.asarray(image)
        if image.shape != self.image_shape:
            raise ValueError(
                f"The model takes images of shape {self.image_shape}: resize the image. Received: "
                f"an image of shape {image.shape}"
            )
        if not np.isfinite(image).all():
            raise ValueError("The image contains NaN or infinity: correct it.")
        preprocessing = standardize_images(
            self.model, image[None], self.preprocessing
        ).preprocessing
        if preprocessing is not None:
            preprocessing.check_range(image)
        return image.astype("float32"), preprocessing

    def _asked_classes(self, base, class_index):
        """int64 `(classes,)`: the correct class, then the other requested classes."""
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
                f"Layer {self.layer!r} has {counted(num_maps, 'feature map')}: give 0 to "
                f"{num_maps - 1}. Received: feature={self._feature!r}"
            )
        return int(self._feature)

    def _project(self, image, feature_index, preprocessing):
        if self._deconv is None:
            return None
        projection = self._deconv.project(image[None], WholeMap(feature_index))[0]
        return projection if preprocessing is None else preprocessing.rgb(projection)


def last_convolution(model, nodes=None):
    """Name of the last convolution layer among some nodes of a model (by default all), or None."""
    layers = keras.layers
    types = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
    nodes = read_graph(model).nodes if nodes is None else nodes
    names = [node.name for node in nodes if isinstance(node.layer, types)]
    return names[-1] if names else None


def _identity(function):
    """Identifies a user's function, across processes if possible."""
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
            f"The model {model.name!r} takes images of {own_size[0]}×{own_size[1]} pixels: resize "
            f"the image. Received: an image of {image_size[0]}×{image_size[1]} pixels"
        )
    return image_size
