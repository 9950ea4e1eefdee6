"""What a run computes and writes, seen from outside, and an end to it at any point of these."""

import os
from pathlib import Path

import keras


class Convolutions:
    """The calls of all convolutions of Keras.

    Attributes:
        calls: `(name of the layer, shape of its inputs)` of each.
    """

    def __init__(self, monkeypatch):
        self.calls, self._num_left = [], None
        plain = keras.layers.Conv2D.call

        def call(layer, inputs):
            if not isinstance(inputs, keras.KerasTensor):
                self._called(layer.name, tuple(inputs.shape))
            return plain(layer, inputs)

        monkeypatch.setattr(keras.layers.Conv2D, "call", call)

    def interrupt_after(self, num_calls):
        """Raises a KeyboardInterrupt once, after so many more calls."""
        self._num_left = num_calls

    def shapes(self, name):
        """The shapes of the inputs of the layer of this name."""
        return [shape for called, shape in self.calls if called == name]

    def num_new(self):
        """The number of calls since this was asked last."""
        number = len(self.calls)
        self.calls.clear()
        return number

    def _called(self, name, shape):
        if self._num_left == 0:
            self._num_left = None
            raise KeyboardInterrupt
        self.calls.append((name, shape))
        self._num_left = self._num_left and self._num_left - 1


class Written:
    """The files that are written in this process, each by one replacement.

    Attributes:
        paths: `pathlib.Path` of each, in order.
    """

    def __init__(self, monkeypatch):
        self.paths, self._suffix, self._num_left = [], None, None
        self._replace = os.replace
        monkeypatch.setattr(os, "replace", self._replaced)

    def interrupt_after(self, num_files, suffix):
        """Raises a KeyboardInterrupt once, in place of the next file after so many more."""
        self._num_left, self._suffix = num_files, suffix

    def new(self, suffix):
        """The files with this suffix that were written since files were asked for last."""
        paths = [path for path in self.paths if path.suffix == suffix]
        self.paths.clear()
        return paths

    def _replaced(self, source, target):
        target = Path(target)
        if target.suffix == self._suffix and self._num_left is not None:
            if self._num_left == 0:
                self._num_left = None
                raise KeyboardInterrupt
            self._num_left -= 1
        self.paths.append(target)
        self._replace(source, target)
