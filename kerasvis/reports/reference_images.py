"""The images of a data set that best show a feature map: by activation, and by relevance."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from kerasvis.figures.cut_windows import cut_windows
from kerasvis.reports import addresses
from kerasvis.reports.layer_scan import (
    is_known,
    is_relevance_known,
    load_layer,
    load_relevance,
)
from kerasvis.reports.sprites import SpriteLayout, feature_sprite, webp

if TYPE_CHECKING:
    from kerasvis.analyses import FeatureVisualization


class RankedImages(NamedTuple):
    """The images of one feature map in one ranking, as a sprite.

    Attributes:
        content: bytes of the sprite, a WebP file.
        layout: `SpriteLayout` of the sprite.
        num_shown: number of images in the sprite.
        image_indices: indices of the images that count, the first ones: in a ranking by relevance,
            those in which the feature map adds to the score; all of them otherwise.
    """

    content: bytes
    layout: SpriteLayout
    num_shown: int
    image_indices: frozenset[int]


class ReferenceImages(NamedTuple):
    """The images of one feature map.

    Attributes:
        strongest: the images in which it is strongest; None if they are unknown.
        relevant: the images in which it adds most to the score of the most probable class; None if
            they are unknown.
    """

    strongest: RankedImages | None = None
    relevant: RankedImages | None = None


class VisualizedReferences:
    """The `ReferenceImages` of feature maps that were visualized.

    Args:
        strongest: `{layer: FeatureVisualization}` of the strongest activations.
        relevant: the same for `kerasvis.analyses.find_top_relevances` over the same images; its
            activations are relevances.
    """

    def __init__(
        self,
        strongest: "Mapping[str, FeatureVisualization]",
        relevant: "Mapping[str, FeatureVisualization]",
    ):
        self._strongest, self._relevant = strongest, relevant

    def has(self, layer: str) -> bool:
        """Whether feature maps of a layer were visualized."""
        return layer in self._strongest or layer in self._relevant

    def of(self, layer: str, feature: int, window_size: tuple[int, int]) -> ReferenceImages:
        """The `ReferenceImages` of a feature map."""
        return ReferenceImages(
            _visualized(self._strongest.get(layer), feature, -np.inf),
            _visualized(self._relevant.get(layer), feature, 0),
        )


class GalleryReferences:
    """The `ReferenceImages` of feature maps in a gallery.

    Args:
        directory: folder of the gallery.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._loaded: dict[str, tuple] = {}

    def has(self, layer: str) -> bool:
        """Whether the gallery has a layer."""
        return is_known(self._directory, layer)

    def of(self, layer: str, feature: int, window_size: tuple[int, int]) -> ReferenceImages:
        """The `ReferenceImages` of a feature map with windows of `(height, width)` pixels.

        Raises:
            ValueError: if the gallery's layer has no such feature map.
        """
        strongest, relevant = self._tops(layer)
        if feature >= len(strongest.values):
            raise ValueError(
                f"Layer {layer!r} of the gallery has {len(strongest.values)} feature maps, and no "
                f"{feature}: give a gallery of the same model. Received: gallery={self._directory}"
            )
        sprite = addresses.sprite(layer, feature)
        of_strongest = self._ranked(sprite, strongest, feature, -np.inf, window_size)
        if relevant is None:
            return ReferenceImages(of_strongest)
        sprite = addresses.relevance_sprite(layer, feature)
        return ReferenceImages(
            of_strongest, self._ranked(sprite, relevant, feature, 0, window_size)
        )

    def _tops(self, layer):
        """`(strongest, relevant)`: the `LayerActivations`, None for what the gallery lacks."""
        if layer not in self._loaded:
            strongest, _ = load_layer(self._directory, layer)
            is_there = is_relevance_known(self._directory, layer)
            relevant = load_relevance(self._directory, layer) if is_there else None
            self._loaded[layer] = strongest, relevant
        return self._loaded[layer]

    def _ranked(self, sprite, top, feature, least, window_size):
        content = (self._directory / sprite).read_bytes()
        one_panel = SpriteLayout.of(top.values.shape[1], window_size, 1)
        with Image.open(io.BytesIO(content)) as picture:
            num_panels = round(picture.width / one_panel.size[1])
        layout = one_panel._replace(num_panels=num_panels)
        ranked = _indices(top.values[feature], top.image_indices[feature], least)
        return RankedImages(content, layout, *ranked)


def _visualized(features, feature, least):
    """`RankedImages` of a feature map among those of a `FeatureVisualization`, or None."""
    numbers = [] if features is None else np.flatnonzero(features.feature_indices == feature)
    if len(numbers) == 0:
        return None
    number, features = int(numbers[0]), cut_windows(features)
    layout = SpriteLayout.of_features(features)
    content = webp(feature_sprite([features], number), layout.is_pixelated)
    ranked = _indices(features.activations[number], features.image_indices[number], least)
    return RankedImages(content, layout, *ranked)


def _indices(values, image_indices, least):
    """`(number of images present, indices of those with a value above `least`)`."""
    is_there = image_indices >= 0
    return int(is_there.sum()), frozenset(image_indices[is_there & (values > least)].tolist())
