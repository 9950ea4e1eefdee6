"""The panels of an occlusion analysis as a picture for a page."""

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from kerasvis.figures import occlusion_panel
from kerasvis.reports.sprites import webp

if TYPE_CHECKING:
    from kerasvis.figures import OcclusionRow


def occlusion_picture(row: "OcclusionRow", dpi: int, lossless: bool = False) -> bytes:
    """The panels of an `OcclusionRow` as the bytes of a WebP file.

    Args:
        row: the `OcclusionRow`.
        dpi: pixels per inch of the figure.
        lossless: whether the picture is compressed without loss.
    """
    png = io.BytesIO()
    occlusion_panel(row).savefig(png, format="png", dpi=dpi)
    return webp(np.asarray(Image.open(png).convert("RGB")), lossless)
