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


class Convolutions:
    """Counts the calls of all convolutions of Keras, and ends the program at one of them."""

    def __init__(self):
        self.calls = []  # (name of the layer, shape of its inputs)
        self.num_left = None

    def interrupt_after(self, num_calls):
        """Raises a KeyboardInterrupt once, after so many more calls."""
        self.num_left = num_calls

    def called(self, name, shape):
        if self.num_left == 0:
            self.num_left = None
            raise KeyboardInterrupt
        self.calls.append((name, shape))
        self.num_left = self.num_left and self.num_left - 1

    def shapes(self, name):
        """The shapes of the inputs of the layer of this name."""
        return [shape for called, shape in self.calls if called == name]

    def num_new(self):
        """The number of calls since this was asked last."""
        number = len(self.calls)
        self.calls.clear()
        return number


@pytest.fixture
def convolutions(monkeypatch):
    """Use it with `eager_functions`: compiled functions call a layer only when they are traced."""
    counted = Convolutions()
    plain = keras.layers.Conv2D.call

    def call(self, inputs):
        if not isinstance(inputs, keras.KerasTensor):
            counted.called(self.name, tuple(inputs.shape))
        return plain(self, inputs)

    monkeypatch.setattr(keras.layers.Conv2D, "call", call)
    return counted
