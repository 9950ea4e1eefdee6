"""What needs TensorFlow says so where it is missing; the rest of the package does without."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys

sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None
import numpy as np
import kerasvis.data

images = kerasvis.data.LabelledImages(np.zeros((2, 4, 5, 3), "uint8"), np.arange(2))
try:
    {statement}
except (ImportError, ValueError) as error:
    print(getattr(error, "name", type(error).__name__), error)
"""


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("images.batches(2)", "tensorflow"),
        ("from kerasvis.data.tensorflow_only import tfds; tfds.load", "tensorflow_datasets"),
    ],
)
def test_what_is_missing_is_named(statement, missing):
    program = PROGRAM.format(statement=statement)
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.stdout.startswith(f"{missing} ")
    assert f"pip install {missing.replace('_', '-')}" in finished.stdout
    assert "Received: " in finished.stdout


def test_a_data_set_by_name_needs_tensorflow_datasets():
    program = PROGRAM.format(statement="kerasvis.data.load_labelled('mnist', 8)")
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.stdout.startswith("ValueError ")
    for fact in ("TensorFlow Datasets is not installed", "pip install", "[tfds]", "data='mnist'"):
        assert fact in finished.stdout
