"""An HTML page on one decision: an `Explanation`, its pictures and links to a gallery."""

import importlib.resources
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from kerasvis.figures import OcclusionRow, occlusion_panel
from kerasvis.figures.activity_overlay import activity_overlay
from kerasvis.figures.channels import as_rgb, pictures
from kerasvis.figures.contrast import signed_to_rgb
from kerasvis.reports import addresses, pages
from kerasvis.reports.reference_images import (
    GalleryReferences,
    ReferenceImages,
    VisualizedReferences,
)
from kerasvis.reports.sprites import SpriteLayout, webp
from kerasvis.storage.files import write_bytes, write_text

if TYPE_CHECKING:
    from kerasvis.analyses import Explanation, FeatureVisualization

HEIGHT = 168  # height of the pictures of a feature map, in pixels
FIGURE_DPI = 150
OUTSIDE = 235  # light grey, for the part of a patch outside the image


class Mosaic(NamedTuple):
    """A feature map's images in one ranking, on the page.

    Attributes:
        file: name of the picture's file.
        layout: `SpriteLayout` of the picture.
        num_shown: number of images in the picture.
        num_images: number of images that count, from the first on: in a ranking by relevance, those
            in which the feature map adds to the score.
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
        picture: file of the pictures side by side: where it is active, its projection, the image
            patch.
        has_projection: whether the latter two are included.
        strongest: the `Mosaic` of its strongest images in a data set; None if they are unknown.
        relevant: the `Mosaic` of the images in which it adds most to the score of the most probable
            class.
        num_shared: number of images that are in both.
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
        reason: why there are no projections; "" if there are.
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
        """The cards of both rankings of images, each feature map once."""
        cards = {card.feature: card for card in (*self.for_class, *self.for_lead)}
        return tuple(card for card in cards.values() if card.is_compared)


def write_explanation(
    explanation: "Explanation",
    directory: str | os.PathLike,
    *,
    title: str = "",
    class_names: Mapping[int, str] | Sequence[str] | None = None,
    strongest: "Mapping[str, FeatureVisualization] | None" = None,
    relevant: "Mapping[str, FeatureVisualization] | None" = None,
    gallery: str | None = None,
) -> Path:
    """Writes an explanation as a page, to be opened from disk.

    Args:
        explanation: an `Explanation`.
        directory: folder to write into.
        title: name of the image.
        class_names: `{class index: name}` or a sequence of names; numbers by default.
        strongest: `{layer: FeatureVisualization}`: the images of a data set in which the displayed
            feature maps are strongest.
        relevant: the same with `top=kerasvis.analyses.find_top_relevances(...)` over the same data
            set: the images in which they are most relevant to the decision. The page says how far
            these differ from the strongest.
        gallery: address of a gallery's folder of the same model, relative to `directory`; the
            feature maps link to its pages. For layers without `strongest` and `relevant`, the page
            shows the images of the gallery, with the relevant ones if it has them.

    Returns:
        Path of the page, `index.html`.

    Raises:
        ValueError: if the gallery's layers have fewer feature maps than the model's.
        OSError: if the page cannot be written; existing files stay intact.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    names = OcclusionRow(explanation.occlusion, explanation.pixels, class_names).name
    sources: list[VisualizedReferences | GalleryReferences] = [
        VisualizedReferences(strongest or {}, relevant or {})
    ]
    if gallery is not None:
        sources.append(GalleryReferences(directory / gallery))
    writer = _Pictures(explanation, directory, sources, gallery)
    layers = [writer.cards_of(layer) for layer in reversed(explanation.evidence)]
    rgb = as_rgb(explanation.pixels)
    write_bytes(directory / "photograph.png", _png(rgb))
    row = OcclusionRow(explanation.occlusion, rgb, class_names)
    write_bytes(directory / "occlusion.webp", _panel(row))
    _write_static(directory)
    page = pages.explanation_page(explanation, layers, title, names)
    write_text(directory / "index.html", page)
    return directory / "index.html"


class ExplainedImage(NamedTuple):
    """An explained image on a page that leads to several.

    Attributes:
        address: of the folder of its own page.
        title: what the image is called.
        class_name: of the class that is explained.
        probability: of that class.
        other_name: of the class that it is compared with.
    """

    address: str
    title: str
    class_name: str
    probability: float
    other_name: str

    @classmethod
    def of(
        cls,
        explanation: "Explanation",
        address: str,
        title: str,
        class_names: Mapping[int, str] | Sequence[str] | None = None,
    ) -> "ExplainedImage":
        """That of an `Explanation` whose page is in the folder `address`."""
        name = OcclusionRow(explanation.occlusion, explanation.pixels, class_names).name
        probability = float(explanation.occlusion.base_probability)
        class_name, other_name = name(explanation.class_index), name(explanation.other_index)
        return cls(address, title, class_name, probability, other_name)


def write_explanation_index(
    explained: Sequence[ExplainedImage], directory: str | os.PathLike
) -> Path:
    """Writes a page that leads to the explanations of several images.

    Args:
        explained: an `ExplainedImage` for each, whose folder is within `directory`.
        directory: folder to write into.

    Returns:
        Path of the page, `index.html`.

    Raises:
        OSError: if it cannot be written; existing files stay intact.
    """
    directory = Path(directory)
    _write_static(directory)
    write_text(directory / "index.html", pages.explanation_index(explained))
    return directory / "index.html"


def _write_static(directory):
    for file in importlib.resources.files("kerasvis.reports").joinpath("static").iterdir():
        write_bytes(directory / file.name, file.read_bytes())


class _Pictures:
    """Writes the pictures of feature maps, each once, and collects the contents of the page."""

    def __init__(self, explanation, directory, sources, gallery):
        self._explanation, self._directory = explanation, directory
        self._sources, self._gallery = sources, gallery

    def cards_of(self, layer):
        evidence, comparison = (
            found[layer] for found in (self._explanation.evidence, self._explanation.comparison)
        )
        shown, most = self._explanation.maps[layer], self._explanation.num_features
        return LayerCards(
            layer=layer,
            num_features=len(evidence.effects),
            num_active=int((evidence.activations > 0).sum()),
            agreement=evidence.agreement,
            score=evidence.score,
            lead=comparison.score,
            for_class=self._cards(layer, evidence, shown, most),
            for_lead=self._cards(layer, comparison, shown, most),
            reason=shown.projection_reason,
        )

    def _cards(self, layer, evidence, shown, most):
        estimated = np.argsort(np.argsort(-evidence.estimates, kind="stable"))
        number_of = {int(f): number for number, f in enumerate(shown.feature_indices)}
        best = [int(f) for f in evidence.ranked[:most] if evidence.effects[f] > 0]
        return tuple(
            self._card(layer, feature, number_of[feature], evidence, int(estimated[feature]) + 1)
            for feature in best
        )

    def _card(self, layer, feature, number, evidence, estimated_rank):
        projections = self._explanation.projections.get(layer)
        picture = self._write(layer, f"{feature}.webp", self._here(layer, number, projections))
        elsewhere = self._elsewhere(layer, feature)
        both = [frozenset() if each is None else each.image_indices for each in elsewhere]
        page = self._gallery and f"{self._gallery}/{addresses.map_page(layer, feature)}"
        return Card(
            feature=feature,
            effect=float(evidence.effects[feature]),
            estimate=float(evidence.estimates[feature]),
            estimated_rank=estimated_rank,
            picture=picture,
            has_projection=projections is not None,
            strongest=self._mosaic(layer, f"strongest-{feature}.webp", elsewhere.strongest),
            relevant=self._mosaic(layer, f"relevant-{feature}.webp", elsewhere.relevant),
            num_shared=len(frozenset.intersection(*both)),
            page=page,
        )

    def _here(self, layer, number, projections):
        """Where the feature map is active, its projection and its image patch, side by side."""
        rgb = as_rgb(self._explanation.pixels)
        tiles = [activity_overlay(rgb, self._explanation.maps[layer].values[number])]
        if projections is not None:
            tiles += map(signed_to_rgb, pictures(projections.projections[number, 0]))
            box = projections.boxes[number, 0]
            tiles += [_patch(pixels, box) for pixels in pictures(projections.patches[number, 0])]
        return webp(_side_by_side(tiles))

    def _elsewhere(self, layer, feature):
        """The feature map's `ReferenceImages`, from the first source that has the layer."""
        projections = self._explanation.projections.get(layer)
        source = next((source for source in self._sources if source.has(layer)), None)
        if source is None or projections is None:
            return ReferenceImages()
        return source.of(layer, feature, projections.projections.shape[2:4])

    def _mosaic(self, layer, name, ranked):
        if ranked is None:
            return None
        file = self._write(layer, name, ranked.content)
        return Mosaic(file, ranked.layout, ranked.num_shown, len(ranked.image_indices))

    def _write(self, layer, name, content):
        file = f"{addresses.layer_folder(layer)}/{name}"
        (self._directory / file).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self._directory / file, content)
        return file


def _patch(pixels, box):
    """An image patch of 1 or 3 channels, light grey outside the image."""
    patch = np.full((*pixels.shape[:2], 3), OUTSIDE, "uint8")
    top, left, bottom, right = box
    patch[top:bottom, left:right] = pixels[top:bottom, left:right]
    return patch


def _side_by_side(rgb_tiles):
    """Pictures of one height, with a gap of white between them."""
    tiles = []
    for picture in rgb_tiles:
        width = max(1, round(picture.shape[1] * HEIGHT / picture.shape[0]))
        resampling = Image.Resampling.LANCZOS
        if picture.shape[0] < HEIGHT / 4:  # so that single pixels stay visible
            resampling = Image.Resampling.NEAREST
        tile = np.asarray(Image.fromarray(picture).resize((width, HEIGHT), resampling))
        tiles += [tile, np.full((HEIGHT, 6, 3), 255, "uint8")]
    return np.concatenate(tiles[:-1], axis=1)


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _panel(row):
    png = io.BytesIO()
    occlusion_panel(row).savefig(png, format="png", dpi=FIGURE_DPI)
    return webp(np.asarray(Image.open(png).convert("RGB")))
