"""What all tests share: two CPU devices, fixed seeds, the real weights and photographs."""

import gc
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import keras
import pytest
import tensorflow as tf

from tests.watched import Convolutions, Written

# Two logical devices stand for two GPUs; this has to come before TensorFlow touches a device.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

# What is imported stays: the garbage collector need not look at it again and again.
gc.freeze()

# The same examples on every run; `--hypothesis-profile=explore` draws new ones.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def eager_functions():
    """Small models are traced for longer than they run."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def two_devices():
    """A strategy over the two devices: one for all tests, since several in a process collide."""
    from kerasvis.training.strategies import strategy_for

    return strategy_for("mirrored", "CPU:0,CPU:1")


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real weights and photographs, which are no part of the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KERASVIS_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"No folder {folder}: set KERASVIS_SHARED_DATA to that of the real data.")
    return folder


@pytest.fixture
def convolutions(monkeypatch):
    """Use it with `eager_functions`: compiled functions call a layer only when they are traced."""
    return Convolutions(monkeypatch)


@pytest.fixture
def written(monkeypatch):
    """The files that are written, each at once as all files of the package are."""
    return Written(monkeypatch)
