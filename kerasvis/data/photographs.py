"""One photograph, from its file to RGB pixels of a given size."""

import os

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Pillow's readers of photographs. Of the others one runs a program on the file (EPS: Ghostscript),
# whatever the file's name says.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def read_photograph(filepath, size, frame=None):
    """Decodes a photograph, resizes its shorter side and crops its centre.

    Orientation follows EXIF. Grey, palette, CMYK and 16-bit images become RGB, 16 bits scaled to
    8; transparent ones are laid over white; of an animation the first frame counts. The image is
    resized, bicubically, so that it just covers `size`, upwards too. Images of more than twice
    `PIL.Image.MAX_IMAGE_PIXELS` are taken for decompression bombs, and not decoded.

    Args:
        filepath: path of the file.
        size: `(height, width)` in pixels.
        frame: `(top, left, bottom, right)`, what is cut out of the photograph first, in its pixels,
            the right way up, half open; None takes it as it is.

    Returns:
        uint8 `(height, width, 3)`, RGB.

    Raises:
        ValueError: if the file cannot be decoded as a whole, or the frame is not inside it; its
            text is the reason.
    """
    try:
        if os.path.getsize(filepath) == 0:
            raise ValueError("an empty file")
        with Image.open(filepath, formats=FORMATS) as image:
            if frame is None:
                image.draft(None, (2 * max(size),) * 2)  # a large JPEG is decoded at a fraction
            image = _as_rgb(ImageOps.exif_transpose(image))
            if frame is not None:
                image = _cut(image, frame)
            return np.asarray(ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC))
    except UnidentifiedImageError as error:
        raise ValueError(f"not an image in the format {' or '.join(FORMATS)}") from error
    except Exception as error:  # on a corrupt file Pillow's readers raise nearly anything
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _cut(image, frame):
    top, left, bottom, right = map(round, frame)
    if not (0 <= top < bottom <= image.height and 0 <= left < right <= image.width):
        raise ValueError(
            f"the frame {[top, left, bottom, right]} is not inside its {image.height}×"
            f"{image.width} pixels"
        )
    return image.crop((left, top, right, bottom))


def _as_rgb(image):
    if image.mode in _SIXTEEN_BITS:
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(pixels):
    return np.rint(pixels.clip(0, 65535) / 257).astype("uint8")
