"""Singular and plural."""

import pytest

from kerasvis.storage.counted import counted


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, "image"), "0 images"),
        ((1, "image"), "1 image"),
        ((2, "image"), "2 images"),
        ((12345, "image"), "12,345 images"),
        ((1, "class", "classes"), "1 class"),
        ((3, "class", "classes"), "3 classes"),
    ],
)
def test_counted(arguments, expected):
    assert counted(*arguments) == expected
