"""Addresses of the files in a gallery, for any name of a layer.

Names come from models and are not trusted: an address contains only lower-case letters, digits,
dashes and underscores, and cannot lead out of the folder.
"""

import re

from kerasvis.storage.fingerprints import digest

LONGEST = 48  # characters of a name that an address contains
# Names that look like a name with a digest, and the device names of Windows.
NOT_AS_IT_IS = re.compile(r"(.*-)?[0-9a-f]{16}|con|prn|aux|nul|(com|lpt)\d")


def slug(name):
    """The folder name of a layer: deterministic, and different for every layer.

    A digest is appended to names that have to be changed. This includes names with capitals, since
    some file systems ignore case.

    Example:
        >>> from kerasvis.reports.addresses import slug
        >>> slug("fire2_expand3x3")
        'fire2_expand3x3'
        >>> slug("Inner/conv")
        'inner-conv-336f2e5fa1046165'
    """
    kept = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:LONGEST]
    if name and kept == name and not NOT_AS_IT_IS.fullmatch(name):
        return kept
    short = digest([name])[:16]
    return f"{kept}-{short}" if kept else short


def layer_folder(layer):
    """Folder of a layer's pages, relative to the gallery."""
    return f"layers/{slug(layer)}"


def layer_page(layer):
    return f"{layer_folder(layer)}/index.html"


def map_page(layer, feature):
    return f"{layer_folder(layer)}/{int(feature)}.html"


def sprite(layer, feature):
    """The sprite of a feature map's projections and patches."""
    return f"{layer_folder(layer)}/{int(feature)}.webp"


def relevance_sprite(layer, feature):
    """The sprite of a feature map for the images in which it is most relevant to the decision."""
    return f"{layer_folder(layer)}/relevance-{int(feature)}.webp"


def evolution_sprite(layer, feature):
    """The sprite of a feature map's projections and patches over epochs."""
    return f"{layer_folder(layer)}/evolution-{int(feature)}.webp"


def filter_picture(layer, feature):
    return f"{layer_folder(layer)}/filter-{int(feature)}.webp"


def occlusion_page(number):
    return f"occlusion/{int(number)}.html"


def occlusion_picture(number):
    return f"occlusion/{int(number)}.webp"
