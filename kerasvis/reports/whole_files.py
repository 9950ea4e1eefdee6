"""Files of a gallery: written whole or not at all, and left alone where nothing has changed."""

import os
from pathlib import Path


def write_whole(filepath, content):
    """Writes a file beside `filepath`, then puts it in its place.

    Args:
        filepath: where; its folder is made.
        content: bytes, or text, which becomes UTF-8. What UTF-8 cannot hold, as parts of a file
            name that is no text, becomes a question mark.

    Returns:
        Whether it was written: False if the same bytes were there already.

    Raises:
        OSError: if it cannot be written; what was there before is still there.
    """
    filepath = Path(filepath)
    content = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if filepath.is_file() and filepath.read_bytes() == content:
        return False
    filepath.parent.mkdir(parents=True, exist_ok=True)
    beside = filepath.with_name(filepath.name + ".writing")
    beside.write_bytes(content)
    os.replace(beside, filepath)
    return True
