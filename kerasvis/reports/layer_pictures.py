"""The pictures of a layer: a sprite for each feature map, and its filters if they can be shown.

Sprites are `Parts` of the gallery; completed sprites are not made again.
"""

from pathlib import Path

import numpy as np
import tqdm

from kerasvis.analyses.feature_visualization import visualize_by
from kerasvis.analyses.filters.dead_filters import filters_of
from kerasvis.figures.cut_windows import cut_windows
from kerasvis.graph import image_shape, read_graph
from kerasvis.graph.convolution_nodes import convolution_nodes
from kerasvis.reports import addresses
from kerasvis.reports.sprites import SpriteLayout, feature_sprite, filter_pixels, webp
from kerasvis.storage.files import write_if_changed

# Memory for projections that are not yet in a sprite. The more of them, the more units share an
# image and hence one forward pass.
NUM_BYTES_AT_ONCE = 2**30


def write_sprites(
    projections, images, top, parts, verbose="auto", channels=None, address=addresses.sprite
):
    """Projects the activations of all feature maps without a sprite.

    Args:
        projections: the `UnitProjections` of the layer.
        images: the `Images` that were scanned.
        top: the layer's `LayerActivations`.
        parts: the `Parts` of the gallery.
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.
        channels: the channels to show; None for all.
        address: function from a layer's name and the number of a feature map to the address of the
            sprite.
    """
    is_present = top.image_indices >= 0
    missing = missing_maps(projections.layer, top, parts, address)
    bar = tqdm.tqdm(
        desc=projections.layer,
        unit=" maxima",
        total=int(is_present.sum()),
        initial=int(is_present.sum() - is_present[missing].sum()),
        disable={"auto": None}.get(verbose, not verbose),
    )
    with bar:
        for chosen in maps_at_once(projections, images, top, missing):
            contents = sprite_files(projections, images, top, chosen, channels, bar.update)
            for feature, content in zip(chosen, contents, strict=True):
                parts.write(address(projections.layer, feature), content)


def missing_maps(layer, top, parts, address):
    """int64: the feature maps of a layer that have no sprite yet; see `write_sprites`."""
    maps = range(len(top.values))
    return np.array([f for f in maps if not parts.is_complete(address(layer, f))], "int64")


def maps_at_once(projections, images, top, maps):
    """Divides feature maps so that the projections of each part fit into memory."""
    number = max(NUM_BYTES_AT_ONCE // _num_bytes(projections, images, top), 1)
    return [maps[begin : begin + number] for begin in range(0, len(maps), number)]


def sprite_files(projections, images, top, chosen, channels=None, advance=lambda number: None):
    """Makes the sprites of the chosen feature maps; frees their projections when it returns."""
    found = visualize_by(projections, images, top, chosen, advance=advance).values()
    by_method = [cut_windows(features, images.image_size) for features in found]
    return [sprite_file(by_method, number, channels) for number in range(len(chosen))]


def _num_bytes(projections, images, top):
    """Memory for the projections of one feature map by all methods."""
    height, width = projections.deconv.receptive_field(images.image_size).window_size
    num_channels = projections.deconv.convnet.inputs[0].shape[-1] or 3
    return 4 * len(projections.names) * top.values.shape[1] * height * width * num_channels


def sprite_file(by_method, number, channels=None):
    """The sprite of one feature map, see `feature_sprite`, as the bytes of a WebP file."""
    k, *window_size = by_method[0].projections.shape[1:4]
    is_pixelated = SpriteLayout.of(k, window_size).is_pixelated
    return webp(feature_sprite(by_method, number, channels), lossless=is_pixelated)


def write_evolution(evolution, directory, channels=None):
    """Writes a sprite of every feature map of an evolution; its tiles are the epochs.

    Args:
        evolution: the `LayerEvolution`.
        directory: folder of the gallery.
        channels: the channels to show; None for all.
    """
    for number, feature in enumerate(evolution.feature_indices.tolist()):
        file = Path(directory) / addresses.evolution_sprite(evolution.layer, feature)
        write_if_changed(file, sprite_file([evolution], number, channels))


def write_filters(layer, filters, directory, channels=None):
    """Writes a picture of each filter of a layer whose input is the image.

    Args:
        layer: its name.
        filters: `(height, width, channels, filters)`, 3 channels in RGB order.
        directory: folder of the gallery.
        channels: the channels to show; None for all.
    """
    for feature, pixels in enumerate(filter_pixels(filters, channels)):
        content = webp(pixels, lossless=True)
        write_if_changed(Path(directory) / addresses.filter_picture(layer, feature), content)


def image_filters(model, layer, preprocessing):
    """The filters of a layer if it is a convolution whose input is the image; None otherwise.

    Returns:
        float32 `(height, width, channels, filters)`, in RGB order if there are three channels.
    """
    graph, num_channels = read_graph(model), image_shape(model)[2]
    node = graph.node(layer)
    below = graph.ancestors(node.outputs)
    if [other for other in convolution_nodes(graph) if other in below] != [node]:
        return None
    filters = filters_of(node.layer)
    if filters.shape[2] != num_channels:
        return None
    return np.moveaxis(preprocessing.rgb(np.moveaxis(filters, 2, -1)), -1, 2)
