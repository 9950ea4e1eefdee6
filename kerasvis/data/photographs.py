"""Decodes one photograph, from its file or its bytes to pixels of a given size."""

import concurrent.futures
import contextlib
import io
import os
import stat
from collections.abc import Sequence

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from kerasvis.data.file_names import shown_name
from kerasvis.storage.fingerprints import file_digest

# Pillow's readers of photographs. Of its other readers, one runs a program on the file (EPS:
# Ghostscript), whatever the file's name.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 178_956_970  # of a photograph; the limit of Pillow
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels

_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap rows and columns
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def read_photograph(
    filepath: str | os.PathLike,
    size: tuple[int, int] | None,
    frame: Sequence[float] | None = None,
    channels: int = 3,
) -> np.ndarray:
    """Decodes a photograph, resizes its shorter side and crops its centre.

    The orientation follows EXIF. Grey, palette, CMYK and 16-bit images are converted to RGB,
    16 bits scaled to 8. Transparent images are composited over white. Animations return their first
    frame. The image is resized bicubically, up or down, to the smallest size that contains `size`.
    Images of more than `MAX_PIXELS` count as decompression bombs and are not decoded. Only regular
    files are opened, not pipes, devices or sockets.

    Args:
        filepath: path of the file.
        size: `(height, width)` in pixels; None keeps the size of the photograph.
        frame: `(top, left, bottom, right)` to which the photograph is cropped first, in pixels of
            the upright photograph, half open; None does not crop it.
        channels: 1 for its luminance, 3 for RGB, 4 for RGBA, opaque if nothing is transparent.

    Returns:
        uint8 `(height, width, channels)`.

    Raises:
        ValueError: if the file cannot be decoded completely, or the frame is not inside it; its
            text is the reason.
    """
    check_file(filepath)
    return _decode(filepath, size, frame, channels)


def decode_photograph(
    encoded: bytes, size: tuple[int, int] | None = None, channels: int = 3
) -> np.ndarray:
    """Decodes the bytes of a photograph, like `read_photograph` decodes a file."""
    if not encoded:
        raise ValueError("an empty file")
    return _decode(io.BytesIO(encoded), size, None, channels)


def photograph_size(filepath: str | os.PathLike) -> tuple[int, int]:
    """`(height, width)` of an upright photograph, from its header.

    Raises:
        ValueError: if it cannot be read; its text is the reason.
    """
    check_file(filepath)
    with _opened(filepath) as image:
        is_sideways = image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
        return image.size if is_sideways else image.size[::-1]


def standardize_channels(channels: int) -> int:
    """The channels of photographs; a ValueError for other numbers than 1, 3 and 4."""
    if not isinstance(channels, int | np.integer) or channels is True or channels not in MODES:
        raise ValueError(
            "A photograph has 1 channel (grey), 3 (RGB) or 4 (RGBA): give one of these. "
            f"Received: channels={channels!r}"
        )
    return int(channels)


def check_file(filepath: str | os.PathLike) -> None:
    """Raises a ValueError unless it is a regular file with content; its text is the reason."""
    try:
        status = os.stat(filepath)
    except OSError as error:
        raise ValueError(reason_of(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{_kind(status.st_mode)}, not a file")
    if status.st_size == 0:
        raise ValueError("an empty file")


def content_digests(filepaths: Sequence[str | os.PathLike]) -> list[str | None]:
    """A digest of each file's content; None for files that cannot be read or are not regular.

    Reading and hashing takes a small part of the time of decoding.
    """
    with concurrent.futures.ThreadPoolExecutor() as threads:
        return list(threads.map(_content_digest, filepaths))


def _content_digest(filepath):
    try:
        return file_digest(filepath) if os.path.isfile(filepath) else None
    except OSError:
        return None


def reason_of(error: Exception) -> str:
    """Why something cannot be read, in one line."""
    if isinstance(error, FileNotFoundError) and os.path.islink(error.filename or ""):
        return "a broken link"
    if isinstance(error, PermissionError):
        return "this user is not allowed to read it"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shown_name(" ".join(text.split()))


def fit_pixels(pixels: np.ndarray, size: tuple[int, int], channels: int = 3) -> np.ndarray:
    """One decoded image, resized and centre-cropped to `size`.

    Args:
        pixels: uint8 or uint16 `(rows, columns, channels)`: grey, RGB, or either with alpha, which
            is composited over white.
        size: `(height, width)` in pixels.
        channels: of the result, as for `read_photograph`.

    Returns:
        uint8 `(height, width, channels)`, resized bicubically, as by `read_photograph`.
    """
    if pixels.dtype == "uint16":
        pixels = _eight_bits(pixels)
    if pixels.shape == (*size, 3) and channels == 3:
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return _fit(with_channels(image, channels), size)


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """An image in grey, RGB or RGBA; over white without an alpha channel."""
    if image.mode in _SIXTEEN_BITS:
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if channels < 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode not in ("1", "L", "P"):  # such as CMYK
        image = image.convert("RGB")
    return image.convert(MODES[channels])


def _decode(file, size, frame, channels):
    with _opened(file) as image:
        if frame is None and size is not None:
            image.draft(None, (2 * max(size),) * 2)  # decodes a large JPEG at reduced size
        image = with_channels(ImageOps.exif_transpose(image), channels)
        if frame is not None:
            image = _cropped(image, frame)
        return _fit(image, size)


@contextlib.contextmanager
def _opened(file):
    """The image of a file, not decoded yet; errors of reading and decoding become reasons."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"not an image in the format {' or '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"a decompression bomb, or a photograph of more than {MAX_PIXELS} pixels"
        ) from error
    except Exception as error:  # Pillow's readers raise nearly any error for a corrupt file
        raise ValueError(reason_of(error)) from error


def _kind(mode):
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((kind for is_it, kind in kinds.items() if is_it(mode)), "a device")


def _cropped(image, frame):
    top, left, bottom, right = map(round, frame)
    if not (0 <= top < bottom <= image.height and 0 <= left < right <= image.width):
        raise ValueError(
            f"the frame {[top, left, bottom, right]} is not inside its {image.height}×"
            f"{image.width} pixels"
        )
    return image.crop((left, top, right, bottom))


def _fit(image, size):
    if size is not None:
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _eight_bits(pixels):
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("pixels of more than 16 bits, whose range is unknown")
    return np.rint(pixels / 257).astype("uint8")
