"""The sprites of a gallery, made on the machines of a cluster.

A part is what one process projects at once: some feature maps of a layer, with the images in which
they are strongest. Its sprites are byte for byte those that a single process makes.
"""

import contextlib
import dataclasses
from collections.abc import Generator, Iterable
from typing import Any, Self

import numpy as np
import tqdm

from kerasvis.activations import LayerActivations
from kerasvis.attributions.projecting_worker import ProjectingWorker
from kerasvis.data.images import FetchedImages
from kerasvis.engines import Ray
from kerasvis.reports.layer_pictures import maps_at_once, missing_maps, sprite_files
from kerasvis.storage.parts import Parts


@dataclasses.dataclass(frozen=True, eq=False)
class MapsOfLayer:
    """Feature maps whose sprites are missing, which can be sent to another machine.

    Attributes:
        layer: name of the layer.
        maps: int64, numbers of the feature maps.
        names: names of their files.
        images: the scanned images in which they are strongest.
        top: the layer's `LayerActivations`.
        channels: the channels to show; None for all.
    """

    layer: str
    maps: np.ndarray
    names: tuple[str, ...]
    images: FetchedImages
    top: LayerActivations
    channels: Any = None

    num_batches = 1  # what is projected at once is never divided

    @property
    def num_images(self) -> int:
        """Number of feature maps, which are tried one by one if they end every worker."""
        return len(self.maps)

    def halves(self) -> tuple[Self, Self]:
        """Two parts with half of the feature maps each."""
        middle = len(self.maps) // 2
        return self._of(slice(middle)), self._of(slice(middle, None))

    probes = halves

    def describe(self) -> str:
        """How error messages name these feature maps."""
        first, last = int(self.maps[0]), int(self.maps[-1])
        numbers = f" {first}" if first == last else f"s {first} to {last}"
        return f"Feature map{numbers} of layer {self.layer!r}"

    def _of(self, part):
        return dataclasses.replace(self, maps=self.maps[part], names=self.names[part])


class SpriteWorker(ProjectingWorker):
    """Makes sprites."""

    def __call__(self, part: MapsOfLayer) -> list[bytes]:
        projections = self.projections_of(part.layer)
        return sprite_files(projections, part.images, part.top, part.maps, part.channels)


def missing_sprites(projections, images, top, parts, address, channels=None):
    """Yields the `MapsOfLayer` of a layer that have no sprites yet; see `write_sprites`."""
    layer = projections.layer
    missing = missing_maps(layer, top, parts, address)
    for maps in maps_at_once(projections, images, top, missing):
        indices = np.unique(top.image_indices[maps])
        chosen = images.chosen(indices[indices >= 0].tolist())
        names = tuple(address(layer, feature) for feature in maps)
        yield MapsOfLayer(layer, maps, names, chosen, top, channels)


def write_sprites_on(
    engine: Ray,
    worker: SpriteWorker,
    missing: Iterable[MapsOfLayer],
    parts: Parts,
    verbose: str | int = "auto",
) -> None:
    """Makes sprites on an engine and writes each as soon as it arrives.

    Args:
        engine: the `Ray`.
        worker: the `SpriteWorker`.
        missing: the `MapsOfLayer`s, in any order.
        parts: the `Parts` of the gallery.
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.
    """
    is_hidden = None if verbose == "auto" else not verbose
    with (
        contextlib.closing(_computed(engine, worker, missing)) as computed,
        tqdm.tqdm(desc="Projections", unit=" feature maps", disable=is_hidden) as bar,
    ):
        for part, contents in computed:
            for name, content in zip(part.names, contents, strict=True):
                parts.write(name, content)
            bar.update(len(contents))


def _computed(
    engine: Ray, worker: SpriteWorker, missing: Iterable[MapsOfLayer]
) -> Generator[tuple[MapsOfLayer, list[bytes]]]:
    """The results of the engine, which is not used if nothing is missing."""
    left = iter(missing)
    first = next(left, None)
    if first is not None:
        with contextlib.closing(engine.map(worker, _chained(first, left))) as completed:
            yield from completed


def _chained(first, others):
    yield first
    yield from others
