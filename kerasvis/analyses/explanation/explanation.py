"""Why a model gives one image its class: where it looks, and which feature maps carry the score."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
import tqdm

from kerasvis.activations import LayerActivations
from kerasvis.analyses.explanation.decision_layers import decision_layers
from kerasvis.analyses.explanation.decision_scores import Decision, DecisionScores
from kerasvis.analyses.explanation.feature_evidence import FeatureEvidence, feature_evidence
from kerasvis.analyses.feature_visualization import FeatureVisualization, visualize_chosen
from kerasvis.analyses.occlusion.occlusion_result import OcclusionSensitivity
from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis
from kerasvis.analyses.single_projections import deconv_or_reason
from kerasvis.arguments import (
    positive_integer,
    standardize_class,
    standardize_images,
    standardize_layers,
    standardize_model,
    standardize_verbose,
)
from kerasvis.graph import FeatureExtractor
from kerasvis.graph.shapes import infer_shapes
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureMaps(Result):
    """The feature maps of a layer that an explanation shows.

    Attributes:
        layer: name of the layer.
        feature_indices: int64 `(features,)`, their numbers.
        values: float32 `(features, rows, columns)`, their activations for the image.
        projection_reason: why they have no projections; "" if they do.
    """

    layer: str
    feature_indices: Annotated[np.ndarray, Array("int64", "features")]
    values: Annotated[np.ndarray, Array("float32", "features", "rows", "columns")]
    projection_reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation(Result):
    """What one decision on one image rests on.

    Attributes:
        class_index: number of the class that is explained.
        other_index: number of the class with which it is compared.
        num_features: maximum number of feature maps of each layer shown for the class, and as many
            for its lead.
        pixels: uint8 `(height, width, channels)`, RGB.
        pixel_range: how the image was made from pixels.
        occlusion: the `OcclusionSensitivity`: which parts of the image the class's probability
            needs. Its `class_indices` and `base_probabilities` are those of the most probable
            classes.
        evidence: `{layer: FeatureEvidence}` for the class's score.
        comparison: `{layer: FeatureEvidence}` for its lead over the other class.
        maps: `{layer: FeatureMaps}`: the feature maps that add most to the score and to the lead.
        projections: `{layer: FeatureVisualization}` of these, each of its strongest activation in
            this image (k = 1); without the layers that cannot be projected through.
    """

    class_index: int
    other_index: int
    num_features: int
    pixels: Annotated[np.ndarray, Array("uint8", "height", "width", "channels")]
    pixel_range: str
    occlusion: OcclusionSensitivity
    evidence: dict[str, FeatureEvidence]
    comparison: dict[str, FeatureEvidence]
    maps: dict[str, FeatureMaps]
    projections: dict[str, FeatureVisualization]


def explain(
    model: keras.Model,
    image: Any,
    class_index: int | None = None,
    other_index: int | None = None,
    *,
    layers: str | Sequence[str] | None = None,
    num_features: int = 6,
    **settings: Any,
) -> Explanation:
    """Explains one decision: which parts of the image and which feature maps carry it.

    In some layers, each feature map in turn is set to 0. The drop in the class's score is what that
    feature map added. The result also holds gradient × activation, which estimates this drop from a
    single backward pass, and how well the two agree.

    Args:
        model: a functional or Sequential `keras.Model` of scores; it is not changed.
        image: `(rows, columns, channels)`, as the model takes it.
        class_index: number of the class; the most probable one by default.
        other_index: number of the class that it is compared with; by default the most probable one
            of the others.
        layers: names of layers of feature maps or units on which the score depends; by default the
            last one of each feature map size, and of these at most the four deepest.
        num_features: number of feature maps of each layer to show with their projections: those
            that add most to the class's score, and as many that add most to its lead.
        **settings: further arguments of `kerasvis.analyses.OcclusionAnalysis`.

    Returns:
        An `Explanation`.

    Raises:
        ValueError: if a class, a layer or a setting does not exist, or the model does not return
            one score for each class.

    Reference:
        Zeiler & Fergus 2013, Section 4.2, for the occlusion.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax", name="scores")]
        ... )
        >>> image = kv.data.PlantedObjects(1, (32, 32))[0]
        >>> found = kv.explain(model, image, 3, verbose=0)
        >>> found.evidence["a"].effects.shape
        (4,)
    """
    images = np.asarray(image)[None]
    model = standardize_model(model, images)
    source = standardize_images(model, images, settings.pop("preprocessing", None))
    analysis = ExplanationAnalysis(
        model,
        source.image_size,
        layers=layers,
        num_features=num_features,
        preprocessing=source.preprocessing,
        **settings,
    )
    return analysis(image, class_index, other_index)


class ExplanationAnalysis:
    """Explains decisions on images of one size, image by image; see `explain`.

    Args:
        model: a functional or Sequential `keras.Model` of scores; it is not changed.
        image_size: `(height, width)` of the images in pixels.
        layers, num_features: see `explain`.
        **settings: further arguments of `kerasvis.analyses.OcclusionAnalysis`.

    Attributes:
        occlusion: the `OcclusionAnalysis`.
        arguments: `{name: value}` of all arguments but the model, to create the same analysis
            elsewhere.

    Call arguments:
        image: `(rows, columns, channels)`, as the model takes it.
        class_index, other_index: see `explain`.

    Returns:
        An `Explanation`.

    Raises:
        ValueError: see `explain`.
    """

    def __init__(
        self,
        model: keras.Model,
        image_size: tuple[int, int],
        *,
        layers: str | Sequence[str] | None = None,
        num_features: int = 6,
        **settings: Any,
    ):
        self._num_features = positive_integer(num_features, "num_features")
        self._layers = layers if layers is None else standardize_layers(layers)
        self.arguments: dict[str, Any] = {
            "image_size": image_size,
            "layers": layers,
            "num_features": num_features,
            **settings,
        }
        self._is_shown = standardize_verbose(settings.get("verbose", "auto"))
        self.occlusion = OcclusionAnalysis(model, image_size, **settings)
        for name in self._layers or ():
            self.occlusion.scores.graph.node(name)  # fail early
        self._model, self._output = model, settings.get("output")
        self._deconv_or_reason = functools.cache(
            lambda layer: deconv_or_reason(model, layer, settings.get("rules", ()))
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that a result depends on except the model, the image and the classes."""
        shown = {"layers": self._layers, "num_features": self._num_features}
        return self.occlusion.settings | shown

    def __call__(
        self, image: Any, class_index: int | None = None, other_index: int | None = None
    ) -> Explanation:
        source = standardize_images(
            self._model, np.asarray(image)[None], self.occlusion.preprocessing
        )
        image = source.all()[0]
        _check_scores(self.occlusion.scores)
        class_index, other_index = _classes(self.occlusion, image, class_index, other_index)
        occlusion = self.occlusion(image, class_index)
        found = self._evidence(image, class_index, other_index)
        shown = {name: _chosen(each, self._num_features) for name, each in found.items()}
        deconvs = {name: self._deconv_or_reason(name) for name in found}
        reasons = {name: reason for name, (_, reason) in deconvs.items()}
        return Explanation(
            class_index=class_index,
            other_index=other_index,
            num_features=self._num_features,
            pixels=source.to_pixels(image[None])[0],
            pixel_range=str(source.preprocessing),
            occlusion=occlusion,
            evidence={name: of_class for name, (of_class, _) in found.items()},
            comparison={name: of_lead for name, (_, of_lead) in found.items()},
            maps=_maps(self._model, image, shown, reasons),
            projections={
                name: _projections(deconv, source, found[name][0], shown[name])
                for name, (deconv, _) in deconvs.items()
                if deconv is not None
            },
        )

    def _evidence(self, image, class_index, other_index):
        """`{layer: FeatureEvidence of the class and of its lead}`."""
        decisions = (Decision(class_index), Decision(class_index, other_index))
        scores = DecisionScores(self._model, decisions, self._output)
        layers = self._layers
        if layers is None:
            shapes = infer_shapes(scores.graph, scores.nodes, scores.model, image.shape[:2])
            layers = decision_layers(scores.graph, scores.nodes, shapes)
        return {
            name: feature_evidence(scores, name, image)
            for name in tqdm.tqdm(layers, desc="Layers", disable=not self._is_shown)
        }


def _check_scores(scores):
    if scores.score is not None or scores.map_size is not None:
        raise ValueError(
            "An explanation needs one score for each class: give a model that returns one, without "
            f"score= or region=. Received: score={scores.score!r}, region={scores.region!r}"
        )


def _classes(analysis, image, class_index, other_index):
    """By default the most probable class, compared with the most probable one of the others."""
    (class_index,) = analysis.classes_of(class_index, 1)
    if other_index is not None:
        number = analysis.scores.num_classes
        other_index = standardize_class(other_index, number, name="other_index")
    if class_index is None or other_index is None:
        likely = np.argsort(-analysis.base_probabilities(image), kind="stable")
        class_index = int(likely[0]) if class_index is None else class_index
        if other_index is None:
            other_index = int(likely[likely != class_index][0])
    if other_index == class_index:
        raise ValueError(
            "A class cannot be compared with itself: give another one. Received: "
            f"class_index={class_index}, other_index={other_index}"
        )
    return class_index, other_index


def _chosen(of_layer, num_features):
    """int64: the feature maps that add most to either score, the class's own first."""
    ranked = [evidence.ranked[:num_features] for evidence in of_layer]
    ranked = [
        numbers[evidence.effects[numbers] > 0]
        for numbers, evidence in zip(ranked, of_layer, strict=True)
    ]
    return np.array(list(dict.fromkeys(np.concatenate(ranked).tolist())), "int64")


def _maps(model, image, shown, reasons):
    outputs = FeatureExtractor(model, list(shown))(image[None])
    found = {}
    for (name, features), output in zip(shown.items(), outputs, strict=True):
        values = keras.ops.convert_to_numpy(output).astype("float32")[0]
        values = values.reshape(*(values.shape[:2] if values.ndim == 3 else (1, 1)), -1)
        values = np.moveaxis(values[..., features], -1, 0)
        found[name] = FeatureMaps(name, features, np.ascontiguousarray(values), reasons[name])
    return found


def _projections(deconv, source, evidence, features):
    strongest = LayerActivations(
        values=evidence.activations[:, None],
        image_indices=np.zeros((len(evidence.effects), 1), "int64"),
        positions=evidence.positions[:, None],
    )
    return visualize_chosen(deconv, source, strongest, features)
