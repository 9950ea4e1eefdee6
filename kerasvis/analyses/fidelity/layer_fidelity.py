"""How far the projections of a layer can be trusted, measured on a few strong activations.

The checks of the fidelity report tell whether the projections tell units apart, and whether they
show what units need. They run on few enough of the strongest activations of a scan to be measured
for every layer of a gallery.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import keras
import numpy as np

from kerasvis.analyses.fidelity.chosen_units import boxes_seen, plan_of
from kerasvis.analyses.fidelity.fidelity_report import fidelity_report
from kerasvis.analyses.fidelity.map_similarity import MEASURES, SMALLEST_SIDE, mean_of_defined
from kerasvis.analyses.fidelity.patch_sufficiency import PatchSufficiency
from kerasvis.analyses.fidelity.selectivity import Selectivity
from kerasvis.analyses.fidelity.unit_maps import unit_methods
from kerasvis.analyses.fidelity.weight_randomization import (
    WeightRandomization,
    initializers_of,
    weighted_layers,
)
from kerasvis.arguments import standardize_images
from kerasvis.attributions.methods import checked_maps, standardize_methods
from kerasvis.deconvnet.rectification import RECTIFICATIONS
from kerasvis.deconvnet.targets import Unit
from kerasvis.graph import read_graph
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

if TYPE_CHECKING:
    from kerasvis.activations import LayerActivations

CHECKS = ("weight_randomization", "selectivity", "patch_sufficiency")
SIGNED, ABSOLUTE = MEASURES.index("rank, signed"), MEASURES.index("rank, absolute")
SPECIFIC = 0.5  # least specificity at which maps count as specific to their unit
MARGIN = 0.2  # by which another method must be more specific to be recommended
NAMES = {"deconvnet": "projections", "guided": "guided backpropagation", "gradient": "gradients"}


@dataclasses.dataclass(frozen=True, eq=False)
class LayerFidelity(Result):
    """Measurements of the maps of one layer, as means over some strong activations.

    Attributes:
        layer: name of the layer.
        methods: names of the methods.
        num_images: number of images; in each, the unit of one feature map is tested.
        specificity: float64 `(methods,)`: 1 minus the rank correlation of the maps of different
            units at the same position in the same image. 0: the map shows the position, not the
            unit.
        weight_dependence: float64 `(methods,)`: 1 minus the rank correlation of the strengths with
            those of a copy in which the layer's own weights are random. 0: the map does not depend
            on what the layer has learned.
        energy: float64 `(methods,)`: share of a map's energy in its patch: the box with the most
            energy, a third as high and wide as the receptive field.
        kept: float64 `(methods,)`: share of the activation that remains when only that patch is
            shown.
        kept_by_chance: float64 `(methods,)`: the same for random boxes of that size.

    Reference:
        Mahendran & Vedaldi 2016 and Adebayo et al. 2018, on specificity and random weights; Zeiler
        & Fergus 2013, Section 4.2, on occluding what a projection shows.
    """

    layer: str
    methods: tuple[str, ...]
    num_images: int
    specificity: Annotated[np.ndarray, Array("float64", "methods")]
    weight_dependence: Annotated[np.ndarray, Array("float64", "methods")]
    energy: Annotated[np.ndarray, Array("float64", "methods")]
    kept: Annotated[np.ndarray, Array("float64", "methods")]
    kept_by_chance: Annotated[np.ndarray, Array("float64", "methods")]

    def is_specific(self, method: str = "deconvnet") -> bool:
        """Whether the maps of a method tell units at the same position apart."""
        return bool(self.specificity[self.methods.index(method)] >= SPECIFIC)

    def sentence(self, method: str = "deconvnet") -> str:
        """How far to trust the maps of a method, with the numbers, in two or three sentences."""
        number = self.methods.index(method)
        name = NAMES.get(method, method)
        specificity = self.specificity[number]
        if self.num_images == 0:
            return (
                f"No active unit has a receptive field large enough for its {name} to be compared."
            )
        if np.isnan(specificity):
            verdict = f"Too few units are active for {name} to be compared."
        elif self.is_specific(method):
            verdict = f"{name.capitalize()} tell units apart (specificity {specificity:.2f} of 1)."
        else:
            verdict = (
                f"{name.capitalize()} hardly tell units at the same position apart (specificity "
                f"{specificity:.2f} of 1): read them together with the image patches"
                f"{self._recommendation(number)}."
            )
        numbers = (100 * self.energy[number], self.kept[number], self.kept_by_chance[number])
        patch = (
            "The patch with {:.0f} % of the energy alone keeps {:.2f} of the activation, a random "
            "patch {:.2f}."
        )
        weights = f"Dependence on the layer's weights: {self.weight_dependence[number]:.2f} of 1."
        return " ".join([verdict, patch.format(*numbers), weights])

    def _recommendation(self, number):
        """A method that is clearly more specific, as the end of a sentence; "" without one."""
        best = int(np.argmax(np.nan_to_num(self.specificity)))
        if best == number or self.specificity[best] < self.specificity[number] + MARGIN:
            return ""
        name = NAMES.get(self.methods[best], self.methods[best])
        return f", or use {name} ({self.specificity[best]:.2f})"


def layer_fidelity(
    model: keras.Model,
    layer: str,
    images: Any,
    strongest: "LayerActivations",
    methods: str | Sequence[str | Callable] | Mapping[str, str | Callable] = RECTIFICATIONS,
    *,
    num_images: int = 6,
    **settings: Any,
) -> LayerFidelity:
    """Measures how far the maps of a layer can be trusted, on some of its strongest activations.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layer: name of the layer.
        images: the images of the scan, which can be fetched again.
        strongest: the layer's `LayerActivations`.
        methods: what `kerasvis.attributions.methods.standardize_methods` takes.
        num_images: maximum number of images.
        **settings: `preprocessing`, `rules` and `seed` of `fidelity_report`.

    Returns:
        A `LayerFidelity`; of 0 images if no feature map is active in any image, or receptive fields
        are too small for maps to be compared.

    Raises:
        ValueError: see `fidelity_report`.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ... )
        >>> images = kv.data.PlantedObjects(5, (32, 32))[:]
        >>> top = kv.find_top_activations(model, ["a"], images, verbose=0)
        >>> found = kv.analyses.layer_fidelity(model, "a", images, top["a"])
        >>> found.methods, found.specificity.shape
        (('deconvnet', 'guided', 'gradient'), (3,))
    """
    methods = standardize_methods(methods)
    source = standardize_images(model, images, settings.pop("preprocessing", None), fetched=True)
    boxes = boxes_seen(model, layer, source.image_size, strongest.positions[:, 0])
    is_large_enough = (boxes[:, 2:] - boxes[:, :2] >= SMALLEST_SIDE).all(axis=1)
    features = evenly_chosen(strongest, num_images, is_large_enough)
    if len(features) == 0:
        nothing = np.full(len(methods), np.nan)
        return LayerFidelity(layer, tuple(methods), 0, *[nothing] * 5)
    pixels = np.stack([source[[index]][0] for index in strongest.image_indices[features, 0]])
    stage = lowest_of_own_weights(model, layer)
    settings = {"preprocessing": source.preprocessing, "verbose": 0, **settings}
    report = fidelity_report(
        model,
        layer,
        pixels,
        methods,
        feature=features.tolist(),
        checks=CHECKS,
        stages=[stage],
        num_draws=3,
        **settings,
    )
    patches = cast(PatchSufficiency, report.patch_sufficiency)  # all are among CHECKS
    selectivity = cast(Selectivity, report.selectivity)
    randomization = cast(WeightRandomization, report.weight_randomization)
    random_copy = randomization.cascading[:, 0, :, ABSOLUTE]
    return LayerFidelity(
        layer=layer,
        methods=report.methods,
        num_images=len(features),
        specificity=1 - mean_of_defined(selectivity.between_units[..., SIGNED]),
        weight_dependence=1 - mean_of_defined(random_copy),
        energy=_energy(model, report, pixels, methods, settings.get("rules", ())),
        kept=mean_of_defined(patches.shown),
        kept_by_chance=mean_of_defined(patches.random_shown.reshape(len(report.methods), -1)),
    )


def evenly_chosen(strongest: "LayerActivations", number: int, among: np.ndarray) -> np.ndarray:
    """int64: active feature maps, evenly spread, each strongest in a different image.

    Args:
        strongest: the layer's `LayerActivations`.
        number: how many, at most.
        among: bool `(features,)`: the feature maps to choose from.
    """
    active = np.flatnonzero((strongest.values[:, 0] > 0) & among)
    _, first = np.unique(strongest.image_indices[active, 0], return_index=True)
    candidates = np.sort(active[first])
    places = np.linspace(0, len(candidates) - 1, min(number, len(candidates)))
    return candidates[places.round().astype(int)]


def lowest_of_own_weights(model: keras.Model, layer: str) -> str:
    """The lowest of the layers whose kernels compute the layer's output directly.

    These are the layer itself, or the nearest layers with kernels below it: the two convolutions of
    a concatenation, the convolution below a batch normalisation.
    """
    graph = read_graph(model)
    waiting, seen, found = [graph.node(layer)], set(), set()
    while waiting:
        node = waiting.pop()
        if any(len(weight.shape) > 1 for weight, _ in initializers_of(node.layer)):
            found.add(id(node.layer))
        elif node.name not in seen:
            below = graph.nodes[: graph.nodes.index(node)]
            waiting += [n for n in below if set(n.outputs) & set(node.inputs)]
        seen.add(node.name)
    names = weighted_layers(model, layer)
    own = [name for name in names if id(graph.node(name).layer) in found]
    return own[-1] if own else names[0]


def _energy(model, report, images, methods, rules):
    """Share of each map's energy that lies in its patch, float64 `(methods,)`."""
    plan = plan_of(model, report.layer, rules=rules)
    is_dense = len(plan.shapes[plan.target]) == 2
    target = Unit(report.features, *([] if is_dense else report.positions.T))
    shares = []
    for number, (name, method) in enumerate(unit_methods(methods, rules).items()):
        maps = np.square(
            checked_maps(name, method(model, report.layer, images, target), images.shape),
            dtype="float64",
        )
        inside = [
            values[top:bottom, left:right].sum() / max(values.sum(), np.finfo("float64").tiny)
            for values, (top, left, bottom, right) in zip(
                maps, report.patch_sufficiency.boxes[number], strict=True
            )
        ]
        shares.append(np.mean(inside))
    return np.array(shares)
