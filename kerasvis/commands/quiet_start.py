"""Starts Keras without TensorFlow's messages about drivers and instruction sets."""

import logging
import os
import sys


def start_keras() -> None:
    """Imports Keras silently; commands call it after all checks that do not need Keras.

    TensorFlow writes some messages before it reads any setting, bypassing Python's `sys.stderr`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
