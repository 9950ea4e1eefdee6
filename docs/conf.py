"""The site: `make docs` builds it offline; warnings are errors, and every example runs."""

import inspect
import logging
import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

from generated import as_literals, write_reference  # noqa: E402
from pictures_of_examples import last_figure  # noqa: E402

import kerasvis  # noqa: E402

logging.getLogger("tensorflow").setLevel("ERROR")
write_reference(DOCS / "reference" / "generated")

project = "kerasvis"
author = "the kerasvis authors"
release = kerasvis.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
suppress_warnings = ["config.cache"]  # functions in the configuration below

html_theme = "furo"
html_title = "kerasvis"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # Args: tells what a parameter takes
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Call arguments", "params_style")]

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tutorials", "../examples/how_to", "../examples/analyses"],
    "gallery_dirs": ["tutorials", "how_to", "analyses"],
    "filename_pattern": "plot_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": (last_figure, "matplotlib"),
    "capture_repr": ("_repr_html_",),
    "ignore_repr_types": r".*Figure",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
}


def as_code(app, what, name, thing, options, lines):
    """Docstrings write `code` as Markdown does; napoleon would split it at a colon."""
    lines[:] = as_literals("\n".join(lines)).split("\n")


def signature_of_own(app, what, name, thing, options, signature, returned):
    """What the constructor of a class takes, where Keras' `__new__` takes anything."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    _, *parameters = inspect.signature(thing.__init__).parameters.values()
    plain = [p.replace(annotation=p.empty) for p in parameters]
    return str(inspect.Signature(plain)), returned


def setup(app):
    app.connect("autodoc-process-signature", signature_of_own)
    app.connect("autodoc-process-docstring", as_code, priority=400)  # before napoleon
