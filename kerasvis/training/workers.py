"""The other workers of a training on several machines: found, awaited, and missed."""

import contextlib
import os
import re
import socket
import time

from kerasvis.data.tensorflow_only import tf
from kerasvis.storage.text_files import parse_json

SECONDS_TO_START = 300  # for all workers to be there

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class WorkerLost(ConnectionError):  # noqa: N818 - what happened, not a fault of the program
    """Another worker died or does not answer; the training cannot go on without it."""


def is_multiworker(strategy):
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def read_tf_config():
    """`({job: addresses}, (job, index))` of the environment variable, checked."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise ValueError(
            "The strategy 'multiworker' needs the environment variable TF_CONFIG, the same for "
            f"every worker but for the index: set it as in TF_CONFIG='{_EXAMPLE}'."
        )
    try:
        config = parse_json(text)
        jobs, job, index = config["cluster"], config["task"]["type"], config["task"]["index"]
        addresses = [address for job in jobs.values() for address in job]
        well_formed = (
            {"worker"} <= set(jobs) <= {"chief", "worker"}
            and all(map(_is_address, addresses))
            and len(set(addresses)) == len(addresses)
            and type(index) is int
            and index in range(len(jobs[job]))
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        well_formed = False
    if not well_formed:
        raise ValueError(
            "TF_CONFIG is not a cluster of workers, each with an address of its own, and a task "
            f"among them: set it as in TF_CONFIG='{_EXAMPLE}'. Received: TF_CONFIG={text[:200]!r}"
        )
    return jobs, (job, index)


def _is_address(address):
    host, _, port = address.rpartition(":")
    is_port = re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535
    return bool(re.fullmatch(r"[\w.\-:\[\]%]{1,253}", host)) and is_port


def await_workers(addresses, own):
    """Returns when all workers are there; TensorFlow would wait for ever."""
    deadline = time.monotonic() + SECONDS_TO_START
    try:
        listener = socket.create_server(("", int(own.rpartition(":")[2])))
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"This worker cannot listen at {own} ({error}): end what does, or give it another port "
            "in TF_CONFIG."
        ) from error
    with listener:
        for address in addresses:
            while address != own and not _answers(address):
                if time.monotonic() > deadline:
                    raise WorkerLost(
                        f"No worker answers at {address} within {SECONDS_TO_START} s: start all "
                        "workers, with the same addresses in TF_CONFIG."
                    )
                time.sleep(0.2)


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, UnicodeError):  # the latter of a host whose name cannot be one
        return False
    return True


@contextlib.contextmanager
def needs_all_workers(strategy):
    """Turns what TensorFlow reports when another worker is gone into a sentence."""
    gone = (
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.UnavailableError,
    )
    try:
        yield
    except gone as error:
        if not is_multiworker(strategy):
            raise
        raise WorkerLost(
            "Another worker died or does not answer any more: start all workers again, and they "
            "go on after the last whole epoch."
        ) from error
