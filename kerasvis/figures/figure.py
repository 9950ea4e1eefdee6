"""The Figure that every function here returns, which a notebook displays by itself."""

import io

import matplotlib.figure

SCREEN_DPI = 128  # screen pixels per inch on paper, enough to read the smallest text


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that Jupyter displays as the last expression of a cell.

    Other Figures are displayed only after `matplotlib.pyplot` is imported, which keeps them in
    memory.
    """

    def _repr_png_(self):
        """`(PNG file at the figure's own resolution, size on the screen)`, for IPython."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        width, height = (round(inches * SCREEN_DPI) for inches in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}
