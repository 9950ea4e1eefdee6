"""Results as HTML, which a notebook shows by itself."""

from html import escape


def html_table(caption, header, rows):
    """An HTML table of plain text, whatever characters that holds.

    Args:
        caption: text above the table.
        header: names of the columns.
        rows: sequence of rows, each with a value for every column; None leaves its cell empty.

    Returns:
        The HTML as text, for `_repr_html_`.
    """
    lines = [f"<table><caption>{escape(str(caption))}</caption>", _row("th", header)]
    return "\n".join([*lines, *(_row("td", row) for row in rows), "</table>"])


def html_text(text):
    """Printed text as HTML, its lines and columns kept."""
    return f"<pre>{escape(str(text))}</pre>"


def _row(tag, values):
    texts = ["" if value is None else escape(str(value)) for value in values]
    return f"<tr>{''.join(f'<{tag}>{text}</{tag}>' for text in texts)}</tr>"
