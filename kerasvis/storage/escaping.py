"""Makes text of unknown origin printable; imports nothing that takes long."""

import unicodedata


def escaped(text: str) -> str:
    r"""Text on one line that can be printed and encoded.

    Control characters, line breaks and bytes that Python could not decode are escaped.

    Example:
        >>> from kerasvis.storage.escaping import escaped
        >>> escaped("caf\udce9\x1b")
        'caf\\xe9\\x1b'
    """
    return "".join(map(_escaped, text))


def _escaped(character):
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte that Python could not decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode()
    return character
