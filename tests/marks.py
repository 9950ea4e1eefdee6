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
