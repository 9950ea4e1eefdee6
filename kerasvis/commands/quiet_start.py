"""Starts Keras without the notes on drivers and instruction sets that come along."""

import logging
import os
import sys


def start_keras() -> None:
    """Imports Keras in silence; commands call it when all that needs no Keras is checked.

    TensorFlow writes some notes before it reads any setting, past Python's `sys.stderr`.
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
