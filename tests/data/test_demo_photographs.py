import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasvis.data import Preprocessing
from kerasvis.data.demo_photographs import DemoPhotographs, windows

LENGTHS = st.integers(min_value=3, max_value=900)


@pytest.fixture(scope="module")
def demo():
    return DemoPhotographs((24, 40))


@given(photograph_size=st.tuples(LENGTHS, LENGTHS), size=st.tuples(LENGTHS, LENGTHS))
def test_windows_are_inside_and_have_the_shape_of_the_image(photograph_size, size):
    boxes = np.array(list(windows(photograph_size, size)))
    lefts, tops, rights, bottoms = boxes.T
    assert (lefts >= 0).all()
    assert (tops >= 0).all()
    assert (rights <= photograph_size[1]).all()
    assert (bottoms <= photograph_size[0]).all()
    scale = (bottoms - tops) / size[0]
    np.testing.assert_allclose((rights - lefts) / size[1], scale, rtol=1e-6)
    is_largest = np.isclose(scale, scale.max())  # these are there however small they are
    assert (is_largest | (2 * scale >= 1 - 1e-9)).all()


def test_windows_of_one_size_cover_the_photograph_without_overlap():
    boxes = list(windows((60, 120), (30, 20)))
    for number in (1, 2, 4):
        height = 60 / number
        same = [box for box in boxes if np.isclose(box[3] - box[1], height)]
        covered = np.zeros((60, 120), int)
        for left, top, right, bottom in same:
            covered[round(top) : round(bottom), round(left) : round(right)] += 1
        assert (covered == 1).all()


def test_images_are_the_same_every_time(demo):
    again = DemoPhotographs([24, 40])
    assert again.shape == demo.shape == (len(demo.crops), 24, 40, 3)
    assert again.crops == demo.crops
    some = [0, 17, len(demo) - 1]
    np.testing.assert_array_equal(again[some], demo[some])


def test_indexing_is_that_of_an_array(demo):
    assert demo[3].shape == (24, 40, 3)
    assert demo[3].dtype == "float32"
    np.testing.assert_array_equal(demo[2:5], np.stack([demo[2], demo[3], demo[4]]))
    np.testing.assert_array_equal(demo[[4, 2]], np.stack([demo[4], demo[2]]))
    np.testing.assert_array_equal(demo[-1], demo[len(demo) - 1])
    assert demo[5:5].shape == (0, 24, 40, 3)
    with pytest.raises(IndexError):
        demo[len(demo)]


def test_the_whole_photograph_comes_first():
    demo = DemoPhotographs((64, 64))
    assert str(demo.crops[0]) == "astronaut 0,0-512,512"
    expected = demo._photographs["astronaut"].resize((64, 64), 3)
    np.testing.assert_array_equal(demo[0], np.asarray(expected))


def test_preprocessing(demo):
    scaled = DemoPhotographs((24, 40), "torch")
    expected = Preprocessing("torch").images(demo[:3].astype("uint8"))
    np.testing.assert_array_equal(scaled[:3], expected)
