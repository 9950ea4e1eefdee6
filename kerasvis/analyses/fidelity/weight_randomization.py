"""Whether maps change when the weights of the convnet do.

A map that stays the same when trained weights are exchanged for random ones cannot tell what the
training has taught.

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

UNAFFECTED = 0.9  # rank correlation of strengths, with all weights random: these are the same maps
NUM_EXAMPLES = 5  # stages of which maps are kept


@dataclasses.dataclass(frozen=True, eq=False)
class WeightRandomization(Result):
    """How similar maps of random copies are to those of the model.

    Attributes:
        methods: tuple of names.
        layers: tuple of names, from the top: whose weights are exchanged.
        measures: tuple of names, as in `kerasvis.analyses.fidelity.map_similarity`.
        cascading: float64 `(methods, layers, images, measures)`: similarity when the weights of
            this layer and all above it are random; NaN where a map is empty.
        independent: the same, when only those of this layer are.
        example_layers: tuple of names, some of `layers`.
        examples: float32 `(methods, 1 + example_layers, rows, columns)`: strengths of the maps of
            the first image, where its unit sees it: of the model, and of the copies that are random
            down to these layers.
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
        """bool `(methods,)`: whether maps stay as they were though all weights are random.

        That is a mean rank correlation of strengths of 0.9 or more at the last of `layers`.
        """
        return mean_of_defined(self.cascading[:, -1, :, 0]) >= UNAFFECTED


def measure_weight_randomization(units, methods, *, stages=None, seed=0, advance=lambda: None):
    """Compares maps of a model with those of copies of it with random weights.

    The same unit is shown in all of them, at the same position, and only the part of the image is
    compared that it sees.

    Args:
        units: the `ChosenUnits`.
        methods: `{name: method}`, as from `kerasvis.analyses.fidelity.unit_maps.unit_methods`.
        stages: names of the layers at which maps are compared; by default all that have weights.
            Weights of layers between them become random in their turn.
        seed: of the random weights.
        advance: called after every stage, twice as often as there are stages.

    Returns:
        A `WeightRandomization`.

    Raises:
        ValueError: if a stage is unknown, or no layer has weights that can be drawn anew.
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
    """Strengths of the first map of each method, where the unit sees the image."""
    return [strength(cut(of_method[0], units.boxes[0])) for of_method in maps]


class RandomizedCopy:
    """A copy of a model, some of whose layers have weights drawn anew.

    The weights come from the layer's own initializers, biases and moving statistics included, and
    depend on the seed and the layer's name alone. What has no initializer, as the mean of a data
    set, stays as it is.

    Args:
        model: the `keras.Model`; it is left as it is.
        seed: of the drawing.
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
        """Draws the weights of the layers named."""
        for name in names:
            layer = self._layers[name]
            sequence = np.random.SeedSequence([self._seed, *name.encode()])
            weights = initializers_of(layer)
            seeds = sequence.generate_state(len(weights)) >> 1  # Keras takes int32
            for (weight, initializer), seed in zip(weights, seeds, strict=True):
                weight.assign(seeded(initializer, int(seed))(weight.shape, weight.dtype))


def weighted_layers(model, layer):
    """Names of the layers at and below `layer` whose weights can be drawn, from the top."""
    graph = read_graph(model)
    nodes = reversed(graph.ancestors([graph.node(layer).outputs[0]]))
    by_layer = {}  # a shared layer counts once, at its highest call
    for node in nodes:
        if initializers_of(node.layer):
            by_layer.setdefault(id(node.layer), node.name)
    if not by_layer:
        raise ValueError(
            f"No layer up to {layer!r} has weights and initializers for them: give a layer above "
            "those that are trained."
        )
    return tuple(by_layer.values())


def initializers_of(layer):
    """`(weight, initializer)` for each weight of a layer that has one, as `kernel`."""
    pairs = [
        (weight, getattr(layer, f"{weight.name}_initializer", None))
        for weight in getattr(layer, "weights", ())
    ]
    return [pair for pair in pairs if pair[1] is not None]


def seeded(initializer, seed):
    """The initializer with another seed; itself, if it does not draw."""
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
            f"Stage {unknown[0]!r} is no layer with weights at or below the units: give some of "
            f"{', '.join(names)}."
        )
    if not stages:
        raise ValueError("No stage was given: leave out stages for all layers with weights.")
    return tuple(name for name in names if name in stages)
