"""Every function that needs no TensorFlow gives the same numbers on all backends of Keras.

A process of its own for each backend runs `every_function.py`, where the import of TensorFlow
fails. The quick part runs where the backend is installed beside TensorFlow, the whole in
environments without it, which `make test-backends` and `make test-all` make.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("every_function.py")
QUICK = ("projection", "scan", "evolution")
TOLERANCE = 1e-5  # of an array's largest value
LARGEST_STEP = 2  # of pixels in drawn pictures, of 255


def numbers(backend, folder, python=sys.executable, names=(), divided=False):
    """`{name: array}` of the functions on one backend; `divided` between two devices of JAX."""
    filepath = folder / f"{backend}.npz"
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"} if divided else {}
    finished = subprocess.run(
        [python, PROGRAM, *["--divided"] * divided, filepath, *names],
        cwd=folder,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), **flags},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    is_there = "imported" if backend == "tensorflow" else "absent"
    assert finished.stdout.endswith(f"TensorFlow is {is_there}\n")
    assert finished.stdout.startswith("2 devices\n") == divided
    with np.load(filepath) as file:
        return dict(file)


@pytest.fixture(scope="module")
def of_tensorflow(tmp_path_factory):
    return numbers("tensorflow", tmp_path_factory.mktemp("tensorflow"))


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_quick_part_agrees(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed here: `make test-backends` compares it.")
    expected = numbers("tensorflow", tmp_path, names=QUICK)
    check_all(numbers(backend, tmp_path, names=QUICK), expected)


@pytest.mark.slow
def test_all_functions_agree_on_two_devices(tmp_path, of_tensorflow):
    """`keras.distribution.DataParallel`, which cannot divide an odd number of images."""
    python = ROOT / ".venv-jax" / "bin" / "python"
    if not python.exists():
        pytest.skip("No environment .venv-jax: `make test-backends` makes it.")
    check_all(numbers("jax", tmp_path, python, divided=True), of_tensorflow)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_all_functions_agree(backend, tmp_path, of_tensorflow):
    python = ROOT / f".venv-{backend}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"No environment .venv-{backend}: `make test-backends` makes it.")
    check_all(numbers(backend, tmp_path, python), of_tensorflow)


def check_all(found, expected):
    assert found.keys() == expected.keys()
    differing = [name for name, array in expected.items() if not agree(found[name], array)]
    assert differing == []


def agree(found, expected):
    """Floats to a share of the largest, pixels of pictures nearly, other whole numbers exactly."""
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind == "f":
        largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
        return np.allclose(found, expected, rtol=0, atol=TOLERANCE * largest, equal_nan=True)
    largest_step = LARGEST_STEP if expected.dtype == "uint8" else 0
    return np.abs(found.astype("int64") - expected.astype("int64")).max(initial=0) <= largest_step


def test_differences_are_found():
    """A changed number, a missing row, a shifted index and NaN are all noticed."""
    floats, indices = np.linspace(0, 1, 6, dtype="float32"), np.arange(6)
    assert agree(floats + np.float32(1e-6), floats)
    assert not agree(floats + np.float32(1e-4), floats)
    assert not agree(floats[1:], floats)
    assert not agree(np.where(indices == 3, np.nan, floats), floats)
    assert agree(indices, indices)
    assert not agree(indices + 1, indices)
