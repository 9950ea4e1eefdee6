import numpy as np
import pytest
from PIL import Image

from kerasvis.analyses.transfer.near_duplicates import find_near_duplicates, fingerprint_of
from kerasvis.data import LabelledData, LabelledImages


def photographs(number, size=(48, 60), seed=0):
    """Smooth noise in colour, as uint8 pixels: as unlike as photographs are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (number, 8, 8, 3)).astype("uint8")
    return np.stack([resized(pixels, size) for pixels in coarse])


def resized(pixels, size):
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC))


def correlation(one, other):
    """Normalised correlation, of thumbnails of the size of comparison."""
    vectors = []
    for pixels in (one, other):
        channels = [pixels[..., c].astype("float64") for c in range(3)]
        vectors.append(np.concatenate([(c - c.mean()).ravel() for c in channels]))
    return vectors[0] @ vectors[1] / np.sqrt((vectors[0] @ vectors[0]) * (vectors[1] @ vectors[1]))


@pytest.fixture
def references(tmp_path):
    """A folder of photographs: of images 5 and 17, compressed, of other sizes; and of others."""
    images = photographs(30)
    others = photographs(6, seed=1)
    (tmp_path / "deeper").mkdir()
    for number, pixels in enumerate(others):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    Image.fromarray(resized(images[5], (96, 120))).save(tmp_path / "deeper" / "a.jpg", quality=40)
    brighter = (images[17] * 0.7 + 60).astype("uint8")
    Image.fromarray(resized(brighter, (36, 45))).save(tmp_path / "deeper" / "b.jpg", quality=80)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    return tmp_path


def test_planted_duplicates_are_found(references):
    found = find_near_duplicates(photographs(30), references, verbose=0)
    np.testing.assert_array_equal(found.image_indices, [5, 17])
    np.testing.assert_array_equal(found.reference_indices, [7, 8])  # by path: 0 to 5, broken, a, b
    assert (found.correlations > 0.98).all()


def test_batches_are_the_same_as_an_array(references):
    images = photographs(30)
    by_batch = find_near_duplicates(iter(np.array_split(images, 4)), references, verbose=0)
    assert by_batch == find_near_duplicates(images, references, verbose=0)


def test_correlations_are_normalised():
    images, references = photographs(8, (32, 32)), photographs(5, (32, 32), seed=2)
    found = find_near_duplicates(images, references, least_correlation=1e-9, verbose=0)
    expected = np.array([[correlation(a, b) for b in references] for a in images])
    is_found = expected.max(axis=1) > 0
    np.testing.assert_array_equal(found.image_indices, np.flatnonzero(is_found))
    np.testing.assert_array_equal(found.reference_indices, expected.argmax(axis=1)[is_found])
    np.testing.assert_allclose(found.correlations, expected.max(axis=1)[is_found], rtol=1e-4)


def test_labelled_data_as_references():
    images, others = photographs(8), photographs(300, seed=5)
    sets = [np.concatenate([others, images[2:3]]), images[4:5]]
    sets = [LabelledImages(pixels, np.zeros(len(pixels), "int64")) for pixels in sets]
    found = find_near_duplicates(images, LabelledData(*sets, ("a",), (48, 60)), verbose=0)
    assert found.image_indices.tolist() == [2]
    assert found.reference_indices.tolist() == [300]  # not the validation image


def test_references_of_many_batches():
    images = photographs(3)
    references = np.concatenate([photographs(600, seed=3), images[1:2], photographs(40, seed=4)])
    found = find_near_duplicates(images, references, 1.0, verbose=0)
    assert found.image_indices.tolist() == [1]
    assert found.reference_indices.tolist() == [600]


def test_references_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(
        ValueError, match=r"None of the references can be read: give .* Received: references='/"
    ):
        find_near_duplicates(photographs(2), tmp_path, verbose=0)


def test_fingerprints_change_with_the_references(references):
    images = photographs(3)
    sets = LabelledImages(images, np.zeros(3, "int64"))
    data = [LabelledData(sets, sets, (name,), (48, 60)) for name in ("a", "b")]
    found = [fingerprint_of(each) for each in (references, str(references), images, *data)]
    assert found[0] == found[1]
    assert len(set(map(str, found))) == 4
    (references / "0.png").unlink()
    assert fingerprint_of(references) != found[0]
    with pytest.raises(ValueError, match=r"References must be .* Received: float64"):
        fingerprint_of(images / 2)


def test_plain_images_are_like_nothing():
    plain = np.full((2, 32, 32, 3), 7, "uint8")
    assert not len(find_near_duplicates(plain, plain, 0.01, verbose=0).image_indices)


@pytest.mark.parametrize(
    ("references", "least_correlation", "sentence"),
    [
        (np.zeros((2, 8, 8, 3)), 0.9, r"References must be .* float64 \(2, 8, 8, 3\)"),
        (np.zeros((8, 8, 3), "uint8"), 0.9, r"References must be .* Received: uint8 \(8, 8, 3\)"),
        ([1], 0.9, r"References must be .* Received: list \(\)"),
        ("/no/such/folder", 0.9, "There is no such folder: give one with photographs"),
        (np.zeros((2, 8, 8, 3), "uint8"), 0.0, "Received: least_correlation=0.0"),
    ],
)
def test_what_cannot_be_compared(references, least_correlation, sentence):
    with pytest.raises(ValueError, match=sentence):
        find_near_duplicates(photographs(2), references, least_correlation)


def test_images_that_are_none():
    with pytest.raises(ValueError, match=r"Images must be a uint8 .* float32 \(1, 8, 8, 3\)"):
        find_near_duplicates(np.zeros((1, 8, 8, 3), "float32"), photographs(1))
    with pytest.raises(ValueError, match="one image or more"):
        find_near_duplicates([], photographs(1))
