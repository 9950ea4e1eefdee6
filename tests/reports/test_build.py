import numpy as np
import pytest

from kerasvis.activations.forward_pass import ForwardPass
from kerasvis.reports import addresses, build, layer_pictures, write_gallery
from kerasvis.storage.parts import JOURNAL
from tests.reports.small_galleries import (
    FIRST,
    LABELS,
    NESTED,
    SECOND,
    files_of,
    random_images,
    small_convnet,
)


@pytest.fixture
def write_again(model, images, gallery):
    """Builds the gallery of all tests again, with something changed."""

    def write_again(model=model, images=images, **options):
        settings = {"layers": None, "labels": LABELS, "batch_size": 5, "verbose": 0} | options
        return write_gallery(model, images=images, directory=gallery, **settings)

    return write_again


def test_the_same_again_does_nothing(gallery, write_again, occlusions, projected, scanned):
    before = files_of(gallery)
    assert write_again(occlusions=occlusions) == gallery / "index.html"
    assert (projected, scanned) == ([], [])
    assert files_of(gallery) == before


def test_one_more_layer_redoes_nothing(write, projected, scanned):
    folder = write([FIRST, NESTED])
    before = files_of(folder)
    assert scanned == [[FIRST, NESTED]]
    projected.clear(), scanned.clear()
    write([SECOND])
    assert scanned == [[SECOND]]
    assert {layer for layer, _ in projected} == {SECOND}
    after = files_of(folder)
    changed = {path for path in before if after[path] != before[path]}
    neighbours = {addresses.layer_page(layer) for layer in (FIRST, NESTED)}
    assert changed <= {"index.html", "search.js", JOURNAL, *neighbours}
    assert "index.html" in changed


def same_as(folder, gallery):
    """Whether two galleries are the same, but for what leads to the analyses of occlusion."""
    ours, theirs = ({path: c for path, (c, _) in files_of(f).items()} for f in (folder, gallery))
    leading = {"index.html", addresses.map_page(SECOND, 2)}
    extra = {path for path in theirs if path.startswith("occlusion/")}
    different = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    return different == leading | extra


def test_step_by_step_and_at_once_are_the_same(write, gallery):
    for layers in ([SECOND], [FIRST], None):
        folder = write(layers, labels=LABELS, batch_size=5)
    assert same_as(folder, gallery)


@pytest.mark.slow
def test_a_build_that_was_stopped_while_projecting_goes_on(write, gallery, monkeypatch):
    monkeypatch.setattr(layer_pictures, "NUM_BYTES_AT_ONCE", 1)  # a map at a time
    original, calls = layer_pictures.visualize_by, []

    def stopped(projections, images, top, features, *arguments, **options):
        calls.append((projections.layer, *features))
        if len(calls) == 8:
            raise KeyboardInterrupt
        return original(projections, images, top, features, *arguments, **options)

    monkeypatch.setattr(layer_pictures, "visualize_by", stopped)
    options = {"labels": LABELS, "batch_size": 5}
    with pytest.raises(KeyboardInterrupt):
        write(**options)
    folder = write(**options)
    assert len(calls) == 13 + 1
    assert len(set(calls)) == 13
    assert same_as(folder, gallery)


def test_a_build_that_was_stopped_after_the_scan_does_not_scan_again(write, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(build, "save_layer", stopped)
        with pytest.raises(KeyboardInterrupt):
            write([FIRST])
    reading = []
    monkeypatch.setattr(ForwardPass, "call", lambda self, images: reading.append(images))
    folder = write([FIRST])
    assert reading == []
    assert not list((folder / "arrays").glob("scan*"))


def test_what_a_failed_scan_left_does_not_bind(write, images, monkeypatch):
    broken = images.copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match="Image 3 contains NaN or infinity"):
        write([FIRST], images=broken)
    assert (write([FIRST]) / "index.html").is_file()


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("images", {"images": random_images(seed=1)}),
        ("k", {"k": 4}),
        ("preprocessing", {"preprocessing": "caffe"}),
        ("methods", {"methods": "guided"}),
        ("methods", {"methods": ["deconvnet", "guided"]}),
        ("methods", {"methods": {"deconvnet": lambda model, layer, images, target: images}}),
    ],
)
def test_a_gallery_of_something_else_is_refused(gallery, write_again, what, options):
    before = files_of(gallery)
    with pytest.raises(ValueError, match=f"computed from other {what}"):
        write_again(**options)
    assert files_of(gallery) == before


def test_a_gallery_of_another_model_is_refused(write_again):
    other = small_convnet()
    other.get_layer(FIRST).bias.assign(np.ones(5))
    with pytest.raises(ValueError, match="computed from other model:"):
        write_again(model=other)


def test_what_is_damaged_is_made_again(write, projected):
    folder = write([SECOND])
    before = {path: content for path, (content, _) in files_of(folder).items()}
    projected.clear()
    damaged = [addresses.sprite(SECOND, 1), addresses.sprite(SECOND, 2), "index.html"]
    damaged += [addresses.map_page(SECOND, 0), "arrays/filter_diagnosis.npz"]
    for path in damaged:
        content = bytearray((folder / path).read_bytes())
        content[len(content) // 3] ^= 4
        (folder / path).write_bytes(content)
    write([SECOND])
    assert {path: content for path, (content, _) in files_of(folder).items()} == before
    assert projected == [(SECOND, [1, 2])]


def test_the_model_is_left_as_it_is(model, write):
    before = [weight.copy() for weight in model.get_weights()]
    write([SECOND])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
