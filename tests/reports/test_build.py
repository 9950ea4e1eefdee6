import numpy as np
import pytest

from kerasvis.reports import addresses, layer_pictures, write_gallery
from kerasvis.storage.parts import JOURNAL
from tests.engines.in_process import InProcess
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


@pytest.mark.usefixtures("eager_functions")
def test_the_same_again_does_nothing(gallery, write_again, occlusions, convolutions):
    before = files_of(gallery)
    assert write_again(occlusions=occlusions) == gallery / "index.html"
    assert convolutions.num_new() == 0
    assert files_of(gallery) == before


def test_one_more_layer_redoes_nothing(write, written):
    folder = write([FIRST, NESTED])
    before = files_of(folder)
    written.new(".webp")
    write([SECOND])
    sprites = {path.relative_to(folder).as_posix() for path in written.new(".webp")}
    assert sprites == {addresses.sprite(SECOND, feature) for feature in range(4)}
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
def test_interrupted_while_projecting_it_resumes(write, gallery, monkeypatch, written):
    monkeypatch.setattr(layer_pictures, "NUM_BYTES_AT_ONCE", 1)  # a map at a time
    options = {"labels": LABELS, "batch_size": 5}
    written.interrupt_after(7, ".webp")
    with pytest.raises(KeyboardInterrupt):
        write(**options)
    folder = write(**options)
    pictures = written.new(".webp")
    assert len(pictures) == len(set(pictures)) == 13 + 5  # feature maps, and filters of layer 1
    assert same_as(folder, gallery)


def test_interrupted_after_the_scan_it_does_not_scan_again(write, written):
    written.interrupt_after(0, ".webp")
    with pytest.raises(KeyboardInterrupt):
        write([FIRST])
    engine = InProcess()
    folder = write([FIRST], engine=engine)
    assert {type(part).__name__ for part in engine.parts} == {"MapsOfLayer"}
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


def test_what_is_damaged_is_made_again(write, written):
    folder = write([SECOND])
    before = {path: content for path, (content, _) in files_of(folder).items()}
    damaged = [addresses.sprite(SECOND, 1), addresses.sprite(SECOND, 2), "index.html"]
    damaged += [addresses.map_page(SECOND, 0), "arrays/filter_diagnosis.npz"]
    for path in damaged:
        content = bytearray((folder / path).read_bytes())
        content[len(content) // 3] ^= 4
        (folder / path).write_bytes(content)
    written.paths.clear()
    write([SECOND])
    assert {path: content for path, (content, _) in files_of(folder).items()} == before
    assert written.new(".webp") == [folder / path for path in damaged[:2]]


def test_the_model_is_left_as_it_is(model, write):
    before = [weight.copy() for weight in model.get_weights()]
    write([SECOND])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
