"""TensorFlow, for what other backends of Keras lack: data pipelines, strategies and files.

It is imported on first use. Everything else runs on every backend without it.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds


class _Library:
    """A library that is imported on the first access to one of its attributes."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        if attribute.startswith("__"):  # of this object: accessed by `inspect`, `copy` and others
            raise AttributeError(attribute)
        try:
            library = importlib.import_module(self._name)
        except ImportError as error:
            distribution = self._name.replace("_", "-")
            raise ImportError(
                "Batches of labelled data, training by a recipe, strategies, SavedModel and "
                f"TensorBoard files need TensorFlow: pip install {distribution}. Received: {error}",
                name=error.name,
            ) from error
        return getattr(library, attribute)


if not TYPE_CHECKING:
    tf, tfds = _Library("tensorflow"), _Library("tensorflow_datasets")
