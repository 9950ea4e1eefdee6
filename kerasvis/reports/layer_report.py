"""Everything that the pages of one layer tell, gathered from its arrays."""

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
    """One feature map in a line.

    Attributes:
        feature: its number.
        strongest: its strongest activation.
        firing_rate: share of the images in which it fires, in [0, 1].
        sparseness: see `MapStatistics`.
        classes: names of the classes it prefers, as many as are shown.
    """

    feature: int
    strongest: float
    firing_rate: float
    sparseness: float
    classes: tuple[str, ...]


class PreferredClass(NamedTuple):
    """A class that drives a map strongly.

    Attributes:
        name: of the class.
        mean: of the map's maxima over the images of the class.
        num_images: how many there are.
    """

    name: str
    mean: float
    num_images: int


class ShownUnit(NamedTuple):
    """One of a map's strongest activations.

    Attributes:
        place: among them, from 0; also among the tiles of the sprite.
        activation: its value.
        image_index: of the image it was found in.
        position: `(row, column)` in the feature map.
    """

    place: int
    activation: float
    image_index: int
    position: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class LayerReport:
    """What the pages of one layer are made of.

    Attributes:
        layer: name of the layer.
        top: its strongest activations.
        statistics: its maxima over all images.
        layout: of its maps' sprites.
        receptive_field: of its units.
        is_dense: whether its maps are units without a place.
        methods: names of the methods that made the projections, in the order of the panels.
        has_filters: whether its filters look at the image, and so are pictures.
        class_means: None where the images' classes are not known.
        evolution: None where none was given.
        fidelity: how far its pictures go; None where it was not measured.
        num_pictures: of how many pictures a projection and an image patch each consist: 1, or one
            for each channel.
        channels: those that the pictures show, if they were chosen.
        relevant: in which images, and where, its maps add most to the score of the class chosen;
            the values are relevances. None where it was not looked for.
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
        """How many panels stand side by side where there is room for rows of them."""
        most = max(self.num_pictures)
        return most if most > 1 else len(self.panels)

    @property
    def method_names(self):
        """Names of the methods, to be shown."""
        return [name.replace("_", " ") for name in self.methods]

    @property
    def num_maps(self):
        return len(self.top.values)

    @property
    def num_images(self):
        return len(self.statistics.image_indices)

    @property
    def num_silent(self):
        """How many maps fire in none of the images."""
        return int((self.statistics.num_firing == 0).sum())

    def summaries(self):
        """A `MapSummary` of every map, in order."""
        return [
            MapSummary(
                feature,
                float(self.top.values[feature, 0]),
                float(self.statistics.num_firing[feature] / self.num_images),
                float(self.statistics.sparseness[feature]),
                tuple(found.name for found in self.preferred_classes(feature)),
            )
            for feature in range(self.num_maps)
        ]

    @property
    def strongest_map(self):
        """The number of the map with the strongest activation."""
        return int(np.argmax(self.top.values[:, 0]))

    def units(self, feature):
        """The `ShownUnit`s of a map, the strongest first."""
        return _units(self.top, feature)

    def relevant_units(self, feature):
        """Those where the map adds to a score, the most relevant first, by their relevance."""
        if self.relevant is None:
            return []
        return [unit for unit in _units(self.relevant, feature) if unit.activation > 0]

    def num_shared(self, feature):
        """How many images of `relevant_units` are also among those of the strongest activations."""
        strongest = {unit.image_index for unit in self.units(feature)}
        return sum(unit.image_index in strongest for unit in self.relevant_units(feature))

    @property
    def num_disagreeing(self):
        """How many maps matter mostly in other images than those in which they are strongest."""
        shares = [
            (self.num_shared(feature), len(self.relevant_units(feature)))
            for feature in range(self.num_maps)
        ]
        return sum(shared < number / 2 for shared, number in shares)

    def evolution_steps(self, feature):
        """The `EvolutionStep`s of a map, if its evolution was recorded."""
        return self.evolution.steps(feature) if self.evolution else []

    def preferred_classes(self, feature):
        """The `PreferredClass`es of a map, by their means, as far as these are above 0."""
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
    """The `ShownUnit`s of a map, of its images in the order of a `LayerActivations`."""
    values, image_indices, positions = (array[feature].tolist() for array in top)
    return [
        ShownUnit(place, value, index, tuple(position))
        for place, (value, index, position) in enumerate(
            zip(values, image_indices, positions, strict=True)
        )
        if index >= 0
    ]
