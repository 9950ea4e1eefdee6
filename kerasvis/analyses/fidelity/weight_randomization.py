"""Whether maps change with the weights of the convnet.

A map that stays the same when random weights replace the trained ones cannot show what the model
has learned.

Reference:
    Adebayo et al. 2018, "Sanity checks for saliency maps", Section 3.1.
"""

import dataclasses
from typing import Annotated

import keras
import numpy as np

from kerasvis.analyses.fidelity.map_similarity import (
    MEASURES,
    cut,
    describe,
    mean_of_defined,
    similarity,
    strength,
)
from kerasvis.analyses.fidelity.unit_maps import maps_of
from kerasvis.graph import read_graph
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

UNAFFECTED = 0.9  # least rank correlation of strengths at which maps count as the same
NUM_EXAMPLES = 5  # stages whose maps are part of the result


@dataclasses.dataclass(frozen=True, eq=False)
class WeightRandomization(Result):
    """How similar maps of randomised copies are to those of the model.

    Attributes:
        methods: tuple of names.
        layers: tuple of names of the layers whose weights are randomised, from the top.
        measures: tuple of names, as in `kerasvis.analyses.fidelity.map_similarity`.
        cascading: float64 `(methods, layers, images, measures)`: similarity when the weights of
            this layer and all above it are random; NaN where a map is empty.
        independent: the same, when only the weights of this layer are random.
        example_layers: tuple of names, some of `layers`.
        examples: float32 `(methods, 1 + example_layers, rows, columns)`: strengths of the maps of
            the first image, inside its unit's receptive field: of the model, and of the copies that
            are random down to these layers.
    """

    methods: tuple[str, ...]
    layers: tuple[str, ...]
    measures: tuple[str, ...]
    cascading: Annotated[np.ndarray, Array("float64", "methods", "layers", "images", "measures")]
    independent: Annotated[np.ndarray, Array("float64", "methods", "layers", "images", "measures")]
    example_layers: tuple[str, ...]
    examples: Annotated[np.ndarray, Array("float32", "methods", "stages", "rows", "columns")]

    @property
    def is_unaffected(self):
        """bool `(methods,)`: whether maps stay the same although all weights are random.

        That is a mean rank correlation of strengths of 0.9 or more at the last of `layers`.
        """
        return mean_of_defined(self.cascading[:, -1, :, 0]) >= UNAFFECTED


def measure_weight_randomization(units, methods, *, stages=None, seed=0, advance=lambda: None):
    """Compares maps of a model with those of copies of it with random weights.

    All copies show the same unit at the same position. Only its receptive field is compared.

    Args:
        units: the `ChosenUnits`.
        methods: `{name: method}`, as from `kerasvis.analyses.fidelity.unit_maps.unit_methods`.
        stages: names of the layers at which maps are compared; by default all that have weights.
            The weights of the layers between two stages become random together with the lower one.
        seed: seed of the random weights.
        advance: called twice for every stage.

    Returns:
        A `WeightRandomization`.

    Raises:
        ValueError: if a stage is unknown, or no layer has weights that can be randomised.
    """
    names = weighted_layers(units.model, units.layer)
    stages = check_stages(names, stages)
    copy = RandomizedCopy(units.model, seed)

    def all_maps(model):
        return [maps_of(name, method, units, model) for name, method in methods.items()]

    def described(maps):
        return [
            [describe(cut(values, box)) for values, box in zip(of_method, units.boxes, strict=True)]
            for of_method in maps
        ]

    def similarities(maps):
        return np.array(
            [
                [similarity(*pair) for pair in zip(*of_method, strict=True)]
                for of_method in zip(described_original, described(maps), strict=True)
            ]
        )

    original = all_maps(units.model)
    described_original = described(original)
    shown = np.unique(np.linspace(0, len(stages) - 1, NUM_EXAMPLES).round().astype(int))
    examples = [first_strengths(original, units)]
    shape = (len(methods), len(stages), len(units.images), len(MEASURES))
    cascading, independent = np.zeros(shape), np.zeros(shape)
    num_random = 0
    for number, stage in enumerate(stages):
        begin, num_random = num_random, names.index(stage) + 1
        copy.randomize(names[begin:num_random])
        maps = all_maps(copy.model)
        cascading[:, number] = similarities(maps)
        if number in shown:
            examples.append(first_strengths(maps, units))
        advance()
    for number, stage in enumerate(stages):
        copy.restore()
        copy.randomize([stage])
        independent[:, number] = similarities(all_maps(copy.model))
        advance()
    return WeightRandomization(
        tuple(methods),
        stages,
        MEASURES,
        cascading,
        independent,
        tuple(stages[number] for number in shown),
        np.stack(examples, axis=1).astype("float32"),
    )


def first_strengths(maps, units):
    """Strengths of the first map of each method, inside the unit's receptive field."""
    return [strength(cut(of_method[0], units.boxes[0])) for of_method in maps]


class RandomizedCopy:
    """A copy of a model in which the weights of some layers are initialised anew.

    The weights come from the layer's own initializers, biases and moving statistics included, and
    depend on the seed and the layer's name alone. A weight without an initializer, such as the mean
    of a data set, is not changed.

    Args:
        model: the `keras.Model`; it is not changed.
        seed: seed of the random weights.
    """

    def __init__(self, model, seed=0):
        self.model = keras.models.clone_model(model)
        self._weights, self._seed = model.get_weights(), seed
        self._layers = {node.name: node.layer for node in read_graph(self.model).nodes}
        self.restore()

    def restore(self):
        """Gives the copy the model's weights."""
        self.model.set_weights(self._weights)

    def randomize(self, names):
        """Initialises the weights of the named layers anew."""
        for name in names:
            layer = self._layers[name]
            sequence = np.random.SeedSequence([self._seed, *name.encode()])
            weights = initializers_of(layer)
            seeds = sequence.generate_state(len(weights)) >> 1  # Keras takes int32
            for (weight, initializer), seed in zip(weights, seeds, strict=True):
                weight.assign(seeded(initializer, int(seed))(weight.shape, weight.dtype))


def weighted_layers(model, layer):
    """Names of the layers at and below `layer` whose weights can be randomised, from the top."""
    graph = read_graph(model)
    nodes = reversed(graph.ancestors([graph.node(layer).outputs[0]]))
    by_layer = {}  # a shared layer counts once, at its highest call
    for node in nodes:
        if initializers_of(node.layer):
            by_layer.setdefault(id(node.layer), node.name)
    if not by_layer:
        raise ValueError(
            f"No layer up to {layer!r} has weights with initializers: give a layer above the "
            f"trained ones. Received: layer={layer!r}"
        )
    return tuple(by_layer.values())


def initializers_of(layer):
    """`(weight, initializer)` for each weight of a layer that has one, such as `kernel`."""
    pairs = [
        (weight, getattr(layer, f"{weight.name}_initializer", None))
        for weight in getattr(layer, "weights", ())
    ]
    return [pair for pair in pairs if pair[1] is not None]


def seeded(initializer, seed):
    """The initializer with another seed; itself, if it is not random."""
    config = initializer.get_config()
    return initializer.from_config({**config, "seed": seed}) if "seed" in config else initializer


def check_stages(names, stages):
    """The stages in the order of `names`; all by default."""
    if stages is None:
        return names
    if isinstance(stages, str):
        stages = (stages,)
    if unknown := [stage for stage in stages if stage not in names]:
        raise ValueError(
            f"Stage {unknown[0]!r} is not a layer with weights at or below the units: give some of "
            f"{', '.join(names)}. Received: stages={list(stages)!r}"
        )
    if not stages:
        raise ValueError(
            "No stage was given: leave out stages for all layers with weights. "
            f"Received: stages={stages!r}"
        )
    return tuple(name for name in names if name in stages)
