"""What the page of an explanation says about each feature map."""

from typing import NamedTuple

from kerasvis.reports.sprites import SpriteLayout


class Mosaic(NamedTuple):
    """A picture of a feature map's first images in one ranking.

    Attributes:
        file: name of the picture's file.
        layout: `SpriteLayout` of the picture.
        num_shown: number of images in the picture.
        num_images: number of images that count, the first ones: in a ranking by relevance, those in
            which the feature map adds to the score.
    """

    file: str
    layout: SpriteLayout
    num_shown: int
    num_images: int


class Card(NamedTuple):
    """A feature map on the page.

    Attributes:
        feature: its number.
        effect: its contribution to the score.
        estimate: estimate of that contribution, by gradient × activation.
        estimated_rank: its rank by that estimate, from 1.
        picture: file of the pictures, side by side: where the feature map is active, its
            projection, and the image patch.
        has_projection: whether the latter two are included.
        strongest: the `Mosaic` of its strongest images in a data set; None if they are unknown.
        relevant: the `Mosaic` of the images in which it adds most to the score of the most probable
            class.
        num_shared: number of images that count in both.
        page: page of the feature map in a gallery; None without a gallery.
    """

    feature: int
    effect: float
    estimate: float
    estimated_rank: int
    picture: str
    has_projection: bool
    strongest: Mosaic | None
    relevant: Mosaic | None
    num_shared: int
    page: str | None

    @property
    def is_compared(self) -> bool:
        """Whether its strongest and its most relevant images are both known."""
        if self.strongest is None or self.relevant is None:
            return False
        return self.relevant.num_images > 0

    @property
    def disagrees(self) -> bool:
        """Whether it is mostly relevant in images other than its strongest."""
        if self.relevant is None or not self.is_compared:
            return False
        return self.num_shared < self.relevant.num_images / 2


class LayerCards(NamedTuple):
    """A layer on the page: its feature maps for the class, and for its lead over another class.

    Attributes:
        layer: its name.
        num_features: number of feature maps of the layer.
        num_active: number of feature maps that are not 0 everywhere.
        agreement: rank correlation of effects and estimates.
        score: score of the class.
        lead: lead of the class over the other one.
        for_class: a `Card` for each of the feature maps that add most to the score.
        for_lead: the same for the lead.
        reason: why there are no projections; "" if there are some.
    """

    layer: str
    num_features: int
    num_active: int
    agreement: float
    score: float
    lead: float
    for_class: tuple[Card, ...]
    for_lead: tuple[Card, ...]
    reason: str

    @property
    def compared(self) -> tuple[Card, ...]:
        """The cards that compare both rankings of images, each feature map once."""
        cards = {card.feature: card for card in (*self.for_class, *self.for_lead)}
        return tuple(card for card in cards.values() if card.is_compared)
