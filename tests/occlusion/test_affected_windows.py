"""Windows of affected locations, against a list of which locations read which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasvis.occlusion.affected_windows import AxisWindow, Reads, union

SIZES = st.integers(1, 5)


class Sliding:
    """A sliding layer along one axis, location by location."""

    def __init__(self, draw):
        self.size, self.dilation, self.stride = (draw(SIZES) for _ in range(3))
        self.length = draw(st.integers(1, 25))
        self.pad_before, pad_after = draw(st.integers(-2, 4)), draw(st.integers(-2, 4))
        kernel = (self.size - 1) * self.dilation + 1
        self.reads = Reads(kernel, self.stride, self.pad_before)
        padded = self.length + self.pad_before + pad_after
        self.length_above = (padded - kernel) // self.stride + 1 if padded >= kernel else 0

    def locations_read(self, location_above):
        """The locations of the input that a location of the output depends on."""
        first = location_above * self.stride - self.pad_before
        locations = [first + k * self.dilation for k in range(self.size)]
        return {location for location in locations if 0 <= location < self.length}

    def depending(self, begin, end):
        """The output locations that depend on the input locations `begin` to `end`."""
        changed = set(range(begin, end))
        return [o for o in range(self.length_above) if changed & self.locations_read(o)]


@st.composite
def sliding_layers(draw):
    layer = Sliding(draw)
    while layer.length_above < 1:
        layer = Sliding(draw)
    return layer


@st.composite
def intervals(draw, length):
    """`(begins, ends)` of several positions; empty ones too."""
    count = draw(st.integers(1, 4))
    pairs = [
        sorted(draw(st.tuples(st.integers(0, length), st.integers(0, length))))
        for _ in range(count)
    ]
    return np.array(pairs).T


@given(st.data())
def test_affected_holds_what_depends_on_changed_locations(data):
    layer = data.draw(sliding_layers())
    begins, ends = data.draw(intervals(layer.length))
    first, end = layer.reads.affected(begins, ends, layer.length_above)
    assert ((first >= 0) & (first <= end) & (end <= layer.length_above)).all()
    for i, (changed_begin, changed_end) in enumerate(zip(begins, ends, strict=True)):
        depending = layer.depending(changed_begin, changed_end)
        assert set(depending) <= set(range(first[i], end[i]))
        # Tight, but where the changed locations fall into gaps of the kernel or between its steps.
        has_gaps = layer.size > 1 and layer.dilation > 1
        is_changed = changed_begin < changed_end
        if is_changed and not has_gaps:
            assert depending == list(range(first[i], end[i]))


@given(sliding_layers(), st.integers(1, 6))
def test_number_of_locations_read(layer, size):
    """From the first location that the first reads to the last one that the last reads."""
    end = (size - 1) * layer.stride + (layer.size - 1) * layer.dilation + 1
    assert layer.reads.num_read(size) == end


@given(st.data())
def test_windows_above_hold_what_is_affected_and_lie_inside(data):
    layer = data.draw(sliding_layers())
    begins, ends = data.draw(intervals(layer.length))
    window = AxisWindow.around(begins, ends, layer.length).through(layer.reads, layer.length_above)
    assert 1 <= window.size <= layer.length_above
    sizes = []
    for begin, changed_begin, changed_end in zip(window.begins, begins, ends, strict=True):
        assert 0 <= begin <= layer.length_above - window.size
        held = range(begin, begin + window.size)
        assert set(layer.depending(changed_begin, changed_end)) <= set(held)
        sizes.append(len(layer.depending(changed_begin, changed_end)))
    if layer.size == 1 or layer.dilation == 1:
        assert (ends > begins).sum() == 0 or window.size >= max(sizes)


@given(st.data())
def test_window_is_as_large_as_the_largest_interval(data):
    length = data.draw(st.integers(1, 12))
    begins, ends = data.draw(intervals(length))
    window = AxisWindow.around(begins, ends, length)
    assert window.size == max(1, *(ends - begins))
    np.testing.assert_array_equal(window.affected_begins, begins)
    np.testing.assert_array_equal(window.affected_ends, ends)
    for begin, affected_begin, affected_end in zip(window.begins, begins, ends, strict=True):
        assert begin >= 0
        assert begin + window.size <= length
        assert begin <= affected_begin
        assert affected_end <= begin + window.size


@given(st.data())
def test_union_holds_the_locations_of_all(data):
    length = data.draw(st.integers(1, 12))
    count = data.draw(st.integers(1, 4))
    windows = []
    for _ in range(data.draw(st.integers(1, 3))):
        pairs = [
            sorted(data.draw(st.tuples(st.integers(0, length), st.integers(0, length))))
            for _ in range(count)
        ]
        windows.append(AxisWindow.around(*np.array(pairs).T, length))
    joined = union(windows, length)
    for i in range(count):
        ends = [(w.affected_begins[i], w.affected_ends[i]) for w in windows]
        assert joined.affected_begins[i] == min(begin for begin, _ in ends)
        assert joined.affected_ends[i] == max(end for _, end in ends)
        held = range(joined.begins[i], joined.begins[i] + joined.size)
        for begin, end in ends:
            assert set(range(begin, end)) <= set(held)
    assert joined.begins.min() >= 0
    assert joined.begins.max() + joined.size <= length


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        (Reads(), (4, 7)),
        (Reads(kernel=3, pad_before=1), (3, 8)),
        (Reads(kernel=3, stride=2), (1, 4)),
        (Reads(kernel=2, stride=2), (2, 4)),
        (Reads(kernel=1, stride=3), (2, 3)),
        (Reads(kernel=5, pad_before=2), (2, 9)),
        (Reads(pad_before=-2), (2, 5)),
    ],
)
def test_hand_computed(reads, expected):
    """The locations above 4, 5 and 6 below."""
    first, end = reads.affected(np.array([4]), np.array([7]), 20)
    assert (first.item(), end.item()) == expected


def test_affected_is_cut_where_the_map_ends():
    reads = Reads(kernel=3, pad_before=1)
    first, end = reads.affected(np.array([0, 9]), np.array([1, 10]), 10)
    assert first.tolist() == [0, 8]
    assert end.tolist() == [2, 10]


def test_equal_windows():
    window = AxisWindow.around(np.array([1, 4]), np.array([3, 6]), 8)
    assert window.equals(AxisWindow.around(np.array([1, 4]), np.array([3, 6]), 9))
    assert not window.equals(AxisWindow.around(np.array([1, 5]), np.array([3, 7]), 8))
    assert not window.equals(AxisWindow.around(np.array([1, 4]), np.array([3, 7]), 8))
