"""Tables as they are printed."""

from collections.abc import Sequence


def in_columns(lines: Sequence[Sequence[str]], num_left: int = 1) -> str:
    """Lines of cells, aligned in columns.

    Args:
        lines: rows of cells, equally many in each.
        num_left: number of the first columns, which are aligned left; the others, right.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < num_left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
