"""Tables as they are printed."""

from collections.abc import Sequence


def in_columns(lines: Sequence[Sequence[str]], num_left: int = 1) -> str:
    """Lines of cells in columns of equal width.

    Args:
        lines: of as many cells each.
        num_left: the first columns, whose text is set to the left; numbers are set to the right.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < num_left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
