"""Writes the pictures of the feature maps of an explanation, and describes them as cards."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from kerasvis.figures.activity_overlay import activity_overlay
from kerasvis.figures.channels import as_rgb, pictures
from kerasvis.figures.contrast import signed_to_rgb
from kerasvis.figures.cut_windows import cut_windows
from kerasvis.reports import addresses
from kerasvis.reports.explanation_cards import Card, LayerCards, Mosaic
from kerasvis.reports.reference_images import (
    GalleryReferences,
    ReferenceImages,
    VisualizedReferences,
)
from kerasvis.reports.sprites import webp
from kerasvis.storage.files import write_bytes

if TYPE_CHECKING:
    from kerasvis.analyses import Explanation

HEIGHT = 168  # height of the pictures of a feature map, in pixels
OUTSIDE = 235  # light grey, for the part of a patch outside the image


class CardWriter:
    """Writes the pictures of feature maps, and describes them as cards for the page.

    Args:
        explanation: an `Explanation`.
        directory: folder of the page.
        sources: where the images of a data set come from; the first that has a layer is used.
        gallery: address of a gallery's folder, relative to `directory`; None without one.
    """

    def __init__(
        self,
        explanation: "Explanation",
        directory: Path,
        sources: Sequence[VisualizedReferences | GalleryReferences],
        gallery: str | None,
    ):
        self._explanation, self._directory = explanation, directory
        self._sources, self._gallery = sources, gallery

    def cards_of(self, layer: str) -> LayerCards:
        """Writes the pictures of a layer's feature maps, and returns its cards."""
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
            projections = cut_windows(projections)
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
        size = map(min, projections.projections.shape[2:4], self._explanation.pixels.shape)
        return source.of(layer, feature, tuple(size))

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
