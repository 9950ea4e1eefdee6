"""Marks of parametrized tests: which cases `make test` runs, and which only `make test-all`."""

import itertools

import pytest


def slow(*values):
    """A case of `make test-all` only."""
    return pytest.param(*values, marks=pytest.mark.slow)


def grid(*axes, quick):
    """All combinations of the axes; those that are not in `quick` are slow."""
    cases = list(itertools.product(*axes))
    unknown = [case for case in quick if case not in cases]
    assert not unknown, unknown
    return [pytest.param(*case) if case in quick else slow(*case) for case in cases]


def few(values, number=2, *, unpack=False):
    """All values, of which `number` are quick, from the first to the last; the rest are slow.

    `unpack`: each value is a tuple of several arguments.
    """
    values = list(values)
    assert not any(hasattr(value, "marks") for value in values), values
    quick = {round(i * (len(values) - 1) / max(number - 1, 1)) for i in range(number)}
    return [
        pytest.param(*(value if unpack else (value,)), marks=() if i in quick else pytest.mark.slow)
        for i, value in enumerate(values)
    ]
