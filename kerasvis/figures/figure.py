"""The kind of Figure that every function here returns: one that a notebook shows by itself."""

import io

import matplotlib.figure

SCREEN_DPI = 128  # pixels on the screen for an inch on paper, so that the smallest text is readable


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that Jupyter shows as the last expression of a cell.

    Others are shown only once `matplotlib.pyplot` has been imported, which would also keep them.
    """

    def _repr_png_(self):
        """`(PNG file at the figure's own resolution, size on the screen)`, as IPython asks for."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        width, height = (round(inches * SCREEN_DPI) for inches in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}
