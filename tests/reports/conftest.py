"""One gallery for all tests that only read it, and what writes others."""

import pytest

import kerasvis as kv
from kerasvis.figures import OcclusionRow
from kerasvis.reports import write_gallery
from tests.reports.browsers import pages_opened, started_browser
from tests.reports.small_galleries import (
    EVIL,
    FIRST,
    LABELS,
    NESTED,
    SECOND,
    random_images,
    small_convnet,
    small_evolution,
)


@pytest.fixture(scope="session")
def model():
    return small_convnet()


@pytest.fixture(scope="session")
def images():
    return random_images()


@pytest.fixture(scope="session")
def occlusions(images):
    options = {"patch_size": 6, "strides": 4, "layer": SECOND, "feature": 2, "verbose": 0}
    heat = kv.occlusion_sensitivity(small_convnet("small"), images[0], class_index=1, **options)
    pixels = images[0].astype("uint8")
    return [OcclusionRow(heat, pixels, {1: EVIL}, title=f"{EVIL}.png"), OcclusionRow(heat, pixels)]


@pytest.fixture(scope="session")
def gallery(model, images, occlusions, tmp_path_factory):
    """The folder; nothing lies beside it."""
    directory = tmp_path_factory.mktemp("beside") / "gallery"
    options = {"labels": LABELS, "occlusions": occlusions, "batch_size": 5, "verbose": 0}
    write_gallery(model, images=images, directory=directory, **{"layers": None} | options)
    return directory


@pytest.fixture(scope="session")
def evolution():
    return small_evolution()


@pytest.fixture(scope="session")
def evolving(model, images, evolution, tmp_path_factory):
    """The folder of a gallery of two layers, of some of whose maps the evolution is known."""
    directory = tmp_path_factory.mktemp("beside") / "evolving"
    write_gallery(model, [FIRST, NESTED], images, directory, evolution=evolution, verbose=0)
    return directory


def brightness(model, layer, images, target):
    """A method of a user's own."""
    return images.mean(axis=-1)


METHODS = {"deconvnet": "deconvnet", "guided": "guided", "mine": brightness}


@pytest.fixture(scope="session")
def by_methods(model, images, tmp_path_factory):
    """The folder of a gallery of several methods."""
    directory = tmp_path_factory.mktemp("beside") / "methods"
    options = {"labels": LABELS, "k": 4, "fidelity": True, "relevance": True, "verbose": 0}
    write_gallery(model, [SECOND], images, directory, methods=METHODS, **options)
    return directory


@pytest.fixture(scope="module")  # its event loop is in the way of others
def browser():
    with started_browser() as browser:
        yield browser


@pytest.fixture
def open_page(browser, gallery):
    with pages_opened(browser, gallery) as open_page:
        yield open_page


@pytest.fixture
def write(model, images, tmp_path):
    """Writes a gallery of its own; returns its folder."""

    def write(layers=None, model=model, images=images, **options):
        write_gallery(model, layers, images, tmp_path / "gallery", verbose=0, **options)
        return tmp_path / "gallery"

    return write
