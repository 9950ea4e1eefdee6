"""The record of a scan and its file."""

import re

import numpy as np
import pytest

from kerasvis.activations import LayerActivations, TopActivations


def layer(num_maps=4, k=3):
    generator = np.random.default_rng(num_maps)
    return LayerActivations(
        np.sort(generator.normal(size=(num_maps, k)).astype("float32"))[:, ::-1],
        generator.integers(0, 99, (num_maps, k)),
        generator.integers(0, 9, (num_maps, k, 2)).astype("int32"),
    )


@pytest.fixture
def top():
    return TopActivations({"conv": layer(), "outer/inner:2": layer(7)})


def test_save_and_load(top, tmp_path):
    top.save(tmp_path / "top.npz")
    loaded = TopActivations.load(tmp_path / "top.npz")
    assert loaded.layers == top.layers == tuple(loaded) == ("conv", "outer/inner:2")
    for name in top:
        for actual, expected in zip(loaded[name], top[name], strict=True):
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["top.npz"]


def test_failed_save_leaves_the_earlier_file(top, tmp_path, monkeypatch):
    top.save(tmp_path / "top.npz")
    before = (tmp_path / "top.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        TopActivations({"other": layer()}).save(tmp_path / "top.npz")
    assert (tmp_path / "top.npz").read_bytes() == before


def test_shows_what_it_holds(top):
    assert repr(top) == "TopActivations('conv': 4 maps x 3, 'outer/inner:2': 7 maps x 3)"


def test_unknown_layer(top):
    sentence = (
        "The layer 'conv2' was not scanned, but conv, outer/inner:2: choose one of these, or scan "
        "again. Received: layer='conv2'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        top["conv2"]


def wrong_file(path, top, change):
    top.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


WRONG = [
    (lambda arrays: arrays.pop("activations"), "it has no 'activations'."),
    (
        lambda arrays: arrays.pop("activations/conv/positions"),
        "it has no 'activations/conv/positions'.",
    ),
    (lambda arrays: arrays.update(activations=np.arange(2)), "'activations' is int64 (2,), but"),
    (
        lambda arrays: arrays.update({"activations/conv/values": np.zeros((4, 2), "float32")}),
        "'activations/conv/image_indices' is int64 (4, 3), but",
    ),
    (
        lambda arrays: arrays.update({"activations/conv/image_indices": np.zeros((4, 3))}),
        "'activations/conv/image_indices' is float64 (4, 3), but int64 (features, k) was expected",
    ),
    (lambda arrays: arrays.update({"activations": np.array([{}])}), "give one that is."),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_file_of_other_arrays_is_an_error(top, tmp_path, change, sentence):
    path = tmp_path / "top.npz"
    wrong_file(path, top, change)
    with pytest.raises(ValueError, match=f"not an .npz file .*TopAct.*filepath='{path}'") as error:
        TopActivations.load(path)
    assert sentence in str(error.value)


def test_file_that_is_no_archive_is_an_error(tmp_path):
    path = tmp_path / "top.npz"
    with pytest.raises(ValueError, match=r"There is no such file: .*TopActivations.*top\.npz"):
        TopActivations.load(path)
    for content in (b"", b"text", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"not an \.npz file containing .*TopActivations"):
            TopActivations.load(path)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    with pytest.raises(ValueError, match=r"not an \.npz file.*TopActivations.*top\.npy"):
        TopActivations.load(path.with_suffix(".npy"))
