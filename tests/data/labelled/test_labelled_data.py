"""Labelled photographs from folders and archives; from TFDS in test_tfds_source.py."""

import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerasvis.data
from kerasvis.data import LabelledImages, load_labelled, photographs
from kerasvis.data.labelled import labelled_data
from kerasvis.data.labelled.labelled_data import stratified_split
from kerasvis.data.photographs import read_photograph

SIZE = (9, 12)


def save(path, color=(0, 0, 0), size=SIZE, mode="RGB"):
    """A plain image, from whose colour it can be recognised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], color).convert(mode).save(path)
    return path


def class_folders(root, **numbers):
    """`<class>/<i>.png`: red tells the class, green the file."""
    for c, (name, number) in enumerate(sorted(numbers.items())):
        for i in range(number):
            save(root / name / f"{i}.png", (c, i, 0))
    return root


@pytest.fixture(params=["in memory", "streamed"])
def regime(request, monkeypatch):
    if request.param == "streamed":
        monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    return request.param


def all_of(images, batch_size=4, seed=None):
    """`(pixels, labels)` of an epoch, and the sizes of its batches."""
    pixels, labels = zip(*images.batches(batch_size, seed).as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), np.concatenate(labels), [len(batch) for batch in labels]


def test_folder_of_two_sets(tmp_path, regime):
    class_folders(tmp_path / "train", dog=3, cat=2, ant=4)
    class_folders(tmp_path / "val", dog=1, cat=2, ant=1)
    data = load_labelled(tmp_path, SIZE)
    assert isinstance(data.train, LabelledImages) == (regime == "in memory")
    assert data.class_names == ("ant", "cat", "dog")
    assert data.image_size == SIZE
    assert data.skipped == ()
    for images, expected in (
        (data.train, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]),
        (data.validation, [(0, 0), (1, 0), (1, 1), (2, 0)]),
    ):
        pixels, labels, _ = all_of(images)
        assert (pixels.dtype, labels.dtype) == (np.uint8, np.int64)
        assert pixels.shape == (len(expected), *SIZE, 3)
        assert [tuple(p[4, 4, :2].tolist()) for p in pixels] == expected
        assert labels.tolist() == images.labels.tolist() == [c for c, _ in expected]
        assert images.num_images == len(expected)


def test_shapes_are_known_and_the_last_batch_is_smaller(tmp_path, regime):
    data = load_labelled(class_folders(tmp_path, a=6, b=6), SIZE)
    pixels, labels = data.train.batches(4).element_spec
    assert (pixels.shape.as_list(), pixels.dtype) == ([None, *SIZE, 3], tf.uint8)
    assert (labels.shape.as_list(), labels.dtype) == ([None], tf.int64)
    assert all_of(data.train)[2] == [4, 4, 2]


def test_order_follows_from_the_seed_alone(tmp_path, regime):
    data = load_labelled(class_folders(tmp_path, a=10, b=10), SIZE)

    def order(seed):
        pixels, labels, _ = all_of(data.train, 5, seed)
        assert (pixels[:, 0, 0, 0] == labels).all()
        return [tuple(p[0, 0, :2].tolist()) for p in pixels]

    orders = [order((0, epoch)) for epoch in range(3)]
    tf.random.set_seed(5)
    assert [order((0, epoch)) for epoch in range(3)] == orders
    assert order((1, 0)) != orders[0]
    assert len({tuple(o) for o in orders}) == 3
    assert all(sorted(o) == sorted(order(None)) and o != order(None) for o in orders)


def test_epochs_can_be_made_inside_a_pipeline(tmp_path, regime):
    data = load_labelled(class_folders(tmp_path, a=6, b=6), SIZE)
    epochs = tf.data.Dataset.range(1, 3).flat_map(
        lambda epoch: data.train.batches(4, seed=tf.stack([7, epoch]))
    )
    labels = np.concatenate([labels for _, labels in epochs.as_numpy_iterator()])
    expected = [all_of(data.train, 10, (7, epoch))[1] for epoch in (1, 2)]
    np.testing.assert_array_equal(labels, np.concatenate(expected))


def test_both_regimes_give_the_same(tmp_path, monkeypatch):
    class_folders(tmp_path, a=4, b=7)
    save(tmp_path / "a" / "large.jpg", (90, 20, 30), (70, 90))
    in_memory = load_labelled(tmp_path, SIZE)
    monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    streamed = load_labelled(tmp_path, SIZE)
    for name in ("train", "validation"):
        one, other = (all_of(getattr(data, name), 3, (1, 2)) for data in (in_memory, streamed))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_where_the_limit_lies(tmp_path, monkeypatch):
    class_folders(tmp_path, a=2, b=2)
    for limit, expected in ((4 * 9 * 12 * 3, True), (4 * 9 * 12 * 3 - 1, False)):
        monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", limit)
        assert isinstance(load_labelled(tmp_path).train, LabelledImages) == expected


def test_every_kind_of_image(tmp_path, regime):
    for c in ("a", "b"):
        save(tmp_path / c / "grey.png", (70, 70, 70), mode="L")
        save(tmp_path / c / "rgba.png", (10, 20, 30), mode="RGBA")
        save(tmp_path / c / "tiny.png", (1, 2, 3), (1, 1))
        save(tmp_path / c / "huge.png", (4, 5, 6), (900, 1200))
    data = load_labelled(tmp_path, SIZE)
    pixels = np.concatenate([all_of(s)[0] for s in (data.train, data.validation)])
    found = {tuple(color) for image in pixels for row in image for color in row.tolist()}
    assert found == {(70, 70, 70), (10, 20, 30), (1, 2, 3), (4, 5, 6)}


def broken_files(folder):
    whole = save(folder / "whole.png", size=(40, 40)).read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), "uint8")
    Image.fromarray(noise).save(folder / "whole.jpg")
    (folder / "corrupt.png").write_bytes(b"no image at all")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:-200])
    (folder / "truncated.png").write_bytes(whole[:-30])
    return ["corrupt.png", "empty.jpg", "truncated.jpg", "truncated.png"]


def test_what_cannot_be_decoded_is_left_out_and_reported(tmp_path, regime):
    class_folders(tmp_path, a=3, b=3)
    names = broken_files(tmp_path / "b")
    data = load_labelled(tmp_path, SIZE)
    assert [path.relative_to(tmp_path).as_posix() for path, _ in data.skipped] == [
        f"b/{name}" for name in names
    ]
    for path, reason in data.skipped:
        with pytest.raises(ValueError, match=re.escape(reason)):
            read_photograph(path, SIZE)
    assert data.skipped[1][1] == "an empty file"
    assert data.train.num_images + data.validation.num_images == 3 + 3 + 2
    assert len(all_of(data.train)[0]) == data.train.num_images


def test_decompression_bomb_is_left_out(tmp_path, monkeypatch, regime):
    class_folders(tmp_path, a=2, b=2)
    save(tmp_path / "a" / "bomb.png", size=(50, 50))
    monkeypatch.setattr(photographs, "MAX_PIXELS", 2000)
    ((path, reason),) = load_labelled(tmp_path, SIZE).skipped
    assert path.name == "bomb.png"
    assert "decompression bomb" in reason


def test_strict(tmp_path, regime):
    class_folders(tmp_path, a=3, b=3)
    broken_files(tmp_path / "b")
    with pytest.raises(
        ValueError,
        match=r"^4 files cannot be read: repair .* Received: .*corrupt\.png \(not an image ",
    ):
        load_labelled(tmp_path, SIZE, strict=True)


def test_file_that_breaks_after_it_was_verified(tmp_path, monkeypatch):
    monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    data = load_labelled(class_folders(tmp_path, a=2, b=2), SIZE)
    data.train.filepaths[0].write_bytes(b"")
    with pytest.raises(
        tf.errors.OpError,
        match=r"can no longer be decoded \(an empty file\): repair it, .* Received: "
        rf"{data.train.filepaths[0]}",
    ):
        all_of(data.train)


def test_split_by_seed(tmp_path, regime):
    class_folders(tmp_path, a=20, b=5, c=2)
    data = load_labelled(tmp_path, SIZE, validation_share=0.2)
    assert np.bincount(data.validation.labels).tolist() == [4, 1, 1]
    assert np.bincount(data.train.labels).tolist() == [16, 4, 1]
    colors = [
        {tuple(p[0, 0, :2].tolist()) for p in all_of(images)[0]}
        for images in (data.train, data.validation)
    ]
    assert not colors[0] & colors[1]
    assert len(colors[0] | colors[1]) == 27
    again = load_labelled(tmp_path, SIZE, validation_share=0.2)
    assert again.fingerprint == data.fingerprint
    other = load_labelled(tmp_path, SIZE, validation_share=0.2, seed=1)
    assert other.fingerprint != data.fingerprint


def test_stratified_split_covers_every_image_once():
    labels = np.random.default_rng(0).integers(0, 5, 83)
    left, drawn = stratified_split(labels, 0.3, seed=4)
    assert sorted([*left.tolist(), *drawn.tolist()]) == list(range(83))
    for label in range(5):
        whole = (labels == label).sum()
        assert (labels[drawn] == label).sum() == round(0.3 * whole)


def test_train_alone_is_split(tmp_path):
    class_folders(tmp_path / "train", a=4, b=4)
    data = load_labelled(tmp_path)
    assert data.class_names == ("a", "b")
    assert (data.train.num_images, data.validation.num_images) == (6, 2)


def test_trains_may_be_a_class(tmp_path):
    assert load_labelled(class_folders(tmp_path, train=3, bus=3)).class_names == ("bus", "train")


def test_validation_goes_before_test(tmp_path):
    for name, number in (("train", 3), ("test", 2), ("val", 1)):
        class_folders(tmp_path / name, a=number, b=number)
    assert load_labelled(tmp_path).validation.num_images == 2


def test_other_files_and_hidden_ones_are_left_out(tmp_path):
    class_folders(tmp_path, a=2, b=2)
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / "a" / "list.csv").write_text("0.png")
    save(tmp_path / "a" / ".hidden.png")
    save(tmp_path / ".cache" / "0.png")
    save(tmp_path / "b" / "deeper" / "2.png")
    data = load_labelled(tmp_path)
    assert data.class_names == ("a", "b")
    assert data.train.num_images + data.validation.num_images == 5


def empty_class(root):
    class_folders(root, a=2)
    (root / "b").mkdir()


def unreadable_class(root):
    class_folders(root, a=2, b=2)
    for path in (root / "b").iterdir():
        path.write_bytes(b"")


def one_readable(root):
    class_folders(root, a=2, b=2)
    (root / "b" / "0.png").write_bytes(b"")


def unreadable_in_validation(root):
    class_folders(root / "train", a=2, b=2)
    class_folders(root / "test", a=1, b=1)
    (root / "test" / "b" / "0.png").write_bytes(b"")


def class_in_one_set(root):
    class_folders(root / "train", a=2, b=2)
    class_folders(root / "test", a=1)


def class_in_validation_only(root):
    class_folders(root / "train", a=2)
    class_folders(root / "val", a=1, b=1)


def no_classes(root):
    save(root / "0.png")


def flat_sets(root):
    save(root / "train" / "0.png")
    save(root / "val" / "0.png")


def stray(root):
    class_folders(root / "train", a=2, b=2)
    class_folders(root / "val", a=1, b=1)
    save(root / "train" / "stray.png")


def no_train(root):
    class_folders(root / "val", a=1, b=1)
    class_folders(root / "test", a=1, b=1)


REFUSED = [
    (
        empty_class,
        r"class folder contains no photographs \(.*\.bmp, .*\): add some, .* Received: .*b$",
    ),
    (unreadable_class, r"The class 'b' in .* at least two readable .* Received: 0 readable images"),
    (one_readable, r"The class 'b' in .* at least two readable .* Received: 1 readable image$"),
    (unreadable_in_validation, r"The class 'b' in .* has no readable validation image: add some"),
    (class_in_one_set, r"The class 'b' is in .*train, but not in .*test: add photographs"),
    (class_in_validation_only, r"The class 'b' is in .*val, but not in .*train: add photographs"),
    (no_classes, r"The folder has no class folders: give one with a folder of photographs for"),
    (flat_sets, r"The folder has no class folders: .* Received: .*train$"),
    (stray, r"next to the class folders: move it to the folder .* Received: .*stray\.png"),
    (
        no_train,
        r"exactly one split for training: give one with train.* Received: test and val",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED)
def test_folder_is_refused_before_training(tmp_path, make, sentence):
    make(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        load_labelled(tmp_path, SIZE)


def test_size_of_the_images(tmp_path):
    class_folders(tmp_path, a=2, b=2)
    assert load_labelled(tmp_path).image_size == SIZE
    assert load_labelled(tmp_path, 7).image_size == (7, 7)
    save(tmp_path / "b" / "wide.png", size=(9, 20))
    with pytest.raises(
        ValueError, match=r"differ in size: give an image_size .* \(9×12\) and .*wide.png \(9×20\)"
    ):
        load_labelled(tmp_path)


def test_size_counts_as_the_photographer_held_the_camera(tmp_path):
    class_folders(tmp_path, a=2, b=2)
    for path in tmp_path.rglob("*.png"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(path).save(path, exif=exif)
    assert load_labelled(tmp_path).image_size == SIZE[::-1]


def test_no_image_at_all(tmp_path):
    class_folders(tmp_path, a=2)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"None of the photographs can be decoded: .* Received: 2 photographs"
    ):
        load_labelled(tmp_path)


@pytest.mark.parametrize("size", [0, (8,), "large", (8, -1)])
def test_wrong_size(tmp_path, size):
    with pytest.raises(ValueError, match=re.escape(f"Received: image_size={size!r}")):
        load_labelled(tmp_path, size)


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_wrong_share(tmp_path, share):
    with pytest.raises(ValueError, match=rf"in \(0, 1\)\. Received: validation_share={share}"):
        load_labelled(tmp_path, validation_share=share)


def test_a_file_that_is_no_archive(tmp_path):
    path = save(tmp_path / "a.png")
    with pytest.raises(
        ValueError, match=r"not an \.npz archive: give a folder .* Received: data='.*a\.png'"
    ):
        load_labelled(path)


@pytest.mark.parametrize("path", ["/no/such/folder", "./photographs", "../photographs", "~/some"])
def test_a_path_where_nothing_is(path):
    with pytest.raises(
        ValueError, match=r"There is no such folder or archive: give one, or the name"
    ):
        load_labelled(path, 8)


def test_fingerprint_follows_the_data(tmp_path, regime):
    class_folders(tmp_path / "train", a=2, b=2)
    class_folders(tmp_path / "val", a=1, b=1)
    first = load_labelled(tmp_path, SIZE).fingerprint
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert load_labelled(tmp_path, SIZE).fingerprint == first
    changed = {first, load_labelled(tmp_path, 8).fingerprint}
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), "uint8")
    Image.fromarray(noise).save(tmp_path / "val" / "a" / "0.png")
    changed.add(load_labelled(tmp_path, SIZE).fingerprint)
    save(tmp_path / "train" / "a" / "2.png")
    changed.add(load_labelled(tmp_path, SIZE).fingerprint)
    for name in ("train", "val"):
        (tmp_path / name / "b").rename(tmp_path / name / "c")
    changed.add(load_labelled(tmp_path, SIZE).fingerprint)
    assert len(changed) == 5


def test_archive(tmp_path):
    file = save(tmp_path / "a.png", (1, 2, 3)).read_bytes()

    def store(val_labels):
        arrays = {"words": np.array(["cat", "dog"])}
        for split, labels in (("train", [1, 0, 1]), ("val", val_labels)):
            arrays[f"{split}_bytes"] = np.frombuffer(file * len(labels), "uint8")
            arrays[f"{split}_offsets"] = np.arange(len(labels) + 1) * len(file)
            arrays[f"{split}_labels"] = np.array(labels)
        np.savez(tmp_path / "a.npz", **arrays)
        return tmp_path / "a.npz"

    data = load_labelled(store([0, 1]))
    assert (data.class_names, data.image_size) == (("cat", "dog"), SIZE)
    assert all_of(data.train)[1].tolist() == [1, 0, 1]
    assert (all_of(data.validation)[0] == [1, 2, 3]).all()
    assert load_labelled(str(store([0, 1])), 5).validation.pixels.shape == (2, 5, 5, 3)
    with pytest.raises(ValueError, match=r"The class 'cat' in .* has no readable validation image"):
        load_labelled(store([1, 1]))


def test_is_imported_on_demand():
    assert kerasvis.data.load_labelled is load_labelled
    assert kerasvis.data.LabelledData is labelled_data.LabelledData


@pytest.mark.slow
def test_real_folder(shared_data, monkeypatch):
    monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    data = load_labelled(shared_data / "caltech101-all-160", 32)
    assert len(data.class_names) == 101
    assert np.bincount(data.train.labels).tolist() == [30] * 101
    assert np.bincount(data.validation.labels).max() <= 20
    assert data.skipped == ()
    pixels, _ = next(data.train.batches(8, seed=(0, 0)).as_numpy_iterator())
    assert pixels.std(axis=(1, 2, 3)).min() > 1
