import numpy as np
import pytest

from kerasvis.analyses.kept_arrays import KeptArrays


class Measure:
    """Counts how often it is asked."""

    number = 0

    def __call__(self):
        self.number += 1
        return np.arange(3), np.array([[self.number]])


@pytest.fixture
def measure():
    return Measure()


def once(measure, directory, depends_on=("net",), part="image", on=(1,)):
    return KeptArrays(directory, lambda: depends_on).once(part, on, ["a", "b"], measure)


def test_measured_once(measure, tmp_path):
    first, again = (once(measure, tmp_path / "new" / "folder") for _ in range(2))
    assert measure.number == 1
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "changed", [{"depends_on": ("other",)}, {"part": "boxes"}, {"on": (np.ones(2),)}]
)
def test_what_depends_on_something_else_is_measured(measure, tmp_path, changed):
    once(measure, tmp_path)
    assert once(measure, tmp_path, **changed)[1] == 2
    assert once(measure, tmp_path)[1] == 1


def test_a_damaged_file_is_measured_again(measure, tmp_path):
    once(measure, tmp_path)
    (filepath,) = tmp_path.iterdir()
    filepath.write_bytes(filepath.read_bytes()[:-20])
    assert once(measure, tmp_path)[1] == 2
    assert once(measure, tmp_path)[1] == 2


def test_nothing_is_kept_without_a_folder(measure):
    assert once(measure, None)[1] == 1
    assert once(measure, None)[1] == 2
    KeptArrays(None, depends_on=None)  # a call would be an error


def test_a_folder_that_cannot_be_made(measure, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        once(measure, tmp_path / "file")
