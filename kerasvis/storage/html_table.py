"""Results as HTML, which notebooks display."""

from html import escape


def html_table(caption, header, rows):
    """An HTML table of plain text, whose special characters are escaped.

    Args:
        caption: text above the table.
        header: names of the columns.
        rows: sequence of rows, each with a value for every column; None leaves a cell empty.

    Returns:
        The HTML as text, for `_repr_html_`.
    """
    lines = [f"<table><caption>{escape(str(caption))}</caption>", _row("th", header)]
    return "\n".join([*lines, *(_row("td", row) for row in rows), "</table>"])


def html_text(text):
    """Printed text as HTML that preserves its lines and columns."""
    return f"<pre>{escape(str(text))}</pre>"


def _row(tag, values):
    texts = ["" if value is None else escape(str(value)) for value in values]
    return f"<tr>{''.join(f'<{tag}>{text}</{tag}>' for text in texts)}</tr>"
