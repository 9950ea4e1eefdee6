"""The evolution of a layer's feature maps during training, as shown on their pages."""

import dataclasses
from typing import NamedTuple

import numpy as np

from kerasvis.analyses import Evolution
from kerasvis.analyses.evolution.evolution_result import LayerEvolution
from kerasvis.figures.channels import num_pictures
from kerasvis.figures.cut_windows import cut_windows
from kerasvis.figures.feature_tiles import has_patches
from kerasvis.graph import read_graph
from kerasvis.reports.sprites import Panel, SpriteLayout, each_channel
from kerasvis.storage.short import short

REMEDY = "give the snapshots of this model's training."


class EvolutionStep(NamedTuple):
    """A feature map's strongest activation at the end of one epoch.

    Attributes:
        place: number of the epoch among those recorded, from 0; also the number of its tile in the
            sprite.
        epoch: its number, from 1.
        activation: its value.
        is_jump: whether the strongest image differs from that of the previous step.
    """

    place: int
    epoch: int
    activation: float
    is_jump: bool


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedEvolution:
    """The evolution of some feature maps of one layer.

    Attributes:
        epochs: int64 `(epochs,)`, ascending.
        maps: the `LayerEvolution`.
        channels: the channels that the pictures show, if they were chosen.
    """

    epochs: np.ndarray
    maps: LayerEvolution
    channels: tuple[int, ...] | None = None

    @property
    def features(self):
        """Numbers of the feature maps, ascending."""
        return sorted(set(self.maps.feature_indices.tolist()))

    @property
    def has_patches(self):
        """Whether the image patches were recorded."""
        return has_patches(self.maps)

    @property
    def layout(self):
        """The `SpriteLayout` of each feature map's epochs."""
        return SpriteLayout.of_features(self.maps, self.channels)

    @property
    def panels(self):
        """The `Panel`s of the sprites that show something."""
        kinds = [(Panel("projections", "Projection"), self.maps.projections)]
        if self.has_patches:
            kinds.append((Panel("patches", "Image patch"), self.maps.patches))
        return [
            each
            for panel, values in kinds
            for each in each_channel(panel, num_pictures(values.shape[-1], self.channels))
        ]

    def steps(self, feature):
        """The `EvolutionStep`s of a feature map in order; none if it was not recorded."""
        if feature not in self.features:
            return []
        number = self.maps.feature_indices.tolist().index(feature)
        columns = (self.epochs, self.maps.activations[number], self.maps.jumps[number])
        steps = zip(*(column.tolist() for column in columns), strict=True)
        return [EvolutionStep(place, *step) for place, step in enumerate(steps)]


def recorded_evolutions(evolution, model, deconv_of, image_size, channels=None):
    """The evolution of each layer, checked against the gallery's model.

    Args:
        evolution: an `Evolution`.
        model: the gallery's model.
        deconv_of: function from a layer's name to its `DeconvModel`.
        image_size: `(height, width)` of the gallery's images.
        channels: the channels that the pictures show, or None for all.

    Returns:
        `{layer: RecordedEvolution}`.

    Raises:
        ValueError: if the model lacks a recorded layer or feature map, or the receptive fields
            differ.
    """
    if not isinstance(evolution, Evolution):
        raise ValueError(
            "Give an Evolution, as load_evolution(directory) returns it. "
            f"Received: evolution={short(evolution)}"
        )
    names = [node.name for node in read_graph(model).nodes]
    for layer in evolution:
        if layer not in names:
            raise ValueError(
                f"The evolution shows layer {layer!r}, which the model {model.name!r} does not "
                f"have: {REMEDY}"
            )
        _check_maps(evolution[layer], deconv_of(layer), image_size)
    return {
        layer: RecordedEvolution(evolution.epochs, cut_windows(evolution[layer]), channels)
        for layer in evolution
    }


def _check_maps(maps, deconv, image_size):
    num_maps, highest = deconv.target_shape[-1], int(maps.feature_indices.max())
    if highest >= num_maps:
        raise ValueError(
            f"The evolution shows feature map {highest} of layer {maps.layer!r}, which has "
            f"{num_maps} in this model: {REMEDY}"
        )
    shown, seen = maps.projections.shape[2:4], deconv.receptive_field(image_size).window_size
    if shown != seen:
        raise ValueError(
            f"The evolution shows windows of {shown[0]}×{shown[1]} pixels in layer {maps.layer!r}, "
            f"whose receptive field is {seen[0]}×{seen[1]} in this gallery: {REMEDY}"
        )
