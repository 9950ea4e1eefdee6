"""How the site shows the figures of an example: those with which a block ends."""

import matplotlib.figure
from matplotlib import pyplot
from sphinx_gallery.scrapers import figure_rst


def last_figure(block, block_vars, gallery_conf):
    """Saves the Figure that is a block's last expression, as Jupyter would show it.

    Returns:
        The picture as reStructuredText, "" if the block ends with something else.
    """
    figure = block_vars["example_globals"].get("___")
    is_figure = isinstance(figure, matplotlib.figure.Figure)
    if not is_figure or (figure.number if hasattr(figure, "number") else 0) in pyplot.get_fignums():
        return ""
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path, format="png")
    return figure_rst([path], gallery_conf["src_dir"])
