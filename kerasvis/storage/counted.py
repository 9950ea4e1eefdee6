"""Numbers with their nouns, for messages."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun, in the singular or the plural.

    Args:
        number: how many, 0 or more.
        noun: the noun in the singular.
        plural: the noun in the plural; by default with an "s".

    Example:
        >>> from kerasvis.storage.counted import counted
        >>> counted(1, "image"), counted(2500, "image"), counted(0, "class", "classes")
        ('1 image', '2,500 images', '0 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
