"""The contents of the pages of one layer, computed from its arrays."""

import dataclasses
from typing import NamedTuple

import numpy as np

from kerasvis.activations import LayerActivations
from kerasvis.activations.map_statistics import ClassMeans, MapStatistics
from kerasvis.analyses import LayerFidelity
from kerasvis.graph import ReceptiveField
from kerasvis.reports.recorded_evolution import RecordedEvolution
from kerasvis.reports.sprites import Panel, SpriteLayout, each_channel

NUM_CLASSES = 5


class MapSummary(NamedTuple):
    """Summary of one feature map.

    Attributes:
        feature: its number.
        strongest: its strongest activation.
        active_share: share of the images in which it is active, in [0, 1].
        sparseness: see `MapStatistics`.
        classes: names of its preferred classes, as many as are shown.
    """

    feature: int
    strongest: float
    active_share: float
    sparseness: float
    classes: tuple[str, ...]


class PreferredClass(NamedTuple):
    """A class that activates a feature map strongly.

    Attributes:
        name: name of the class.
        mean: mean of the feature map's per-image maxima over the images of the class.
        num_images: number of images of the class.
    """

    name: str
    mean: float
    num_images: int


class ShownUnit(NamedTuple):
    """One of a feature map's strongest activations.

    Attributes:
        place: its rank, from 0; also the number of its tile in the sprite.
        activation: its value.
        image_index: index of the image in which it was found.
        position: `(row, column)` in the feature map.
    """

    place: int
    activation: float
    image_index: int
    position: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class LayerReport:
    """The contents of the pages of one layer.

    Attributes:
        layer: name of the layer.
        top: its strongest activations.
        statistics: statistics of its per-image maxima.
        layout: layout of its sprites.
        receptive_field: receptive field of its units.
        is_dense: whether it is a dense layer, whose units have no position.
        methods: names of the methods that computed the projections, in the order of the panels.
        has_filters: whether the input of its filters is the image, so that they can be shown.
        class_means: mean of the per-image maxima for each class; None if the classes are unknown.
        evolution: the `RecordedEvolution`; None if none was given.
        fidelity: the fidelity of its projections; None if it was not measured.
        num_pictures: number of pictures of a projection and of an image patch: 1, or one for each
            channel.
        channels: the channels that the pictures show, if they were chosen.
        relevant: the images and positions in which its feature maps add most to the score of the
            most probable class; the values are relevances. None if they were not computed.
    """

    layer: str
    top: LayerActivations
    statistics: MapStatistics
    layout: SpriteLayout
    receptive_field: ReceptiveField
    methods: tuple[str, ...] = ("deconvnet",)
    is_dense: bool = False
    has_filters: bool = False
    class_means: ClassMeans | None = None
    evolution: RecordedEvolution | None = None
    fidelity: LayerFidelity | None = None
    num_pictures: tuple[int, int] = (1, 1)
    channels: tuple[int, ...] | None = None
    relevant: LayerActivations | None = None

    @property
    def panels(self):
        """The `Panel`s of a sprite, from left to right."""
        shown = [Panel(name, f"Projection by {name}") for name in self.method_names]
        if len(shown) == 1:
            shown = [Panel("projections", "Projection")]
        num_projections, num_patches = self.num_pictures
        panels = [one for panel in shown for one in each_channel(panel, num_projections)]
        return (*panels, *each_channel(Panel("patches", "Image patch"), num_patches))

    @property
    def panels_in_row(self):
        """Number of panels in a row if there is room for rows of them."""
        most = max(self.num_pictures)
        return most if most > 1 else len(self.panels)

    @property
    def method_names(self):
        """Names of the methods, as displayed."""
        return [name.replace("_", " ") for name in self.methods]

    @property
    def num_maps(self):
        return len(self.top.values)

    @property
    def num_images(self):
        return len(self.statistics.image_indices)

    @property
    def num_silent(self):
        """Number of feature maps that are not active in any image."""
        return int((self.statistics.num_active == 0).sum())

    def summaries(self):
        """A `MapSummary` of every feature map, in order."""
        return [
            MapSummary(
                feature,
                float(self.top.values[feature, 0]),
                float(self.statistics.num_active[feature] / self.num_images),
                float(self.statistics.sparseness[feature]),
                tuple(found.name for found in self.preferred_classes(feature)),
            )
            for feature in range(self.num_maps)
        ]

    @property
    def strongest_map(self):
        """The number of the feature map with the strongest activation."""
        return int(np.argmax(self.top.values[:, 0]))

    def units(self, feature):
        """The `ShownUnit`s of a feature map, the strongest first."""
        return _units(self.top, feature)

    def relevant_units(self, feature):
        """The `ShownUnit`s where the feature map adds to a score, the most relevant first."""
        if self.relevant is None:
            return []
        return [unit for unit in _units(self.relevant, feature) if unit.activation > 0]

    def num_shared(self, feature):
        """Number of images that are both among the most relevant and among the strongest."""
        strongest = {unit.image_index for unit in self.units(feature)}
        return sum(unit.image_index in strongest for unit in self.relevant_units(feature))

    @property
    def num_disagreeing(self):
        """Number of feature maps that are mostly relevant in images other than their strongest."""
        shares = [
            (self.num_shared(feature), len(self.relevant_units(feature)))
            for feature in range(self.num_maps)
        ]
        return sum(shared < number / 2 for shared, number in shares)

    def evolution_steps(self, feature):
        """The `EvolutionStep`s of a feature map, if its evolution was recorded."""
        return self.evolution.steps(feature) if self.evolution else []

    def preferred_classes(self, feature):
        """The `PreferredClass`es of a feature map, by descending mean; only means above 0."""
        if self.class_means is None:
            return []
        names, num_images, means = self.class_means
        order = np.argsort(-means[:, feature], kind="stable")[:NUM_CLASSES].tolist()
        return [
            PreferredClass(names[c], float(means[c, feature]), int(num_images[c]))
            for c in order
            if means[c, feature] > 0
        ]


def _units(top, feature):
    """The `ShownUnit`s of a feature map in a `LayerActivations`, in order."""
    values, image_indices, positions = (array[feature].tolist() for array in top)
    return [
        ShownUnit(place, value, index, tuple(position))
        for place, (value, index, position) in enumerate(
            zip(values, image_indices, positions, strict=True)
        )
        if index >= 0
    ]
