"""The other workers of a training on several machines: their addresses, start and loss."""

import contextlib
import os
import re
import socket
import time

from kerasvis.data.tensorflow_only import tf
from kerasvis.storage.text_files import parse_json

SECONDS_TO_START = 300  # for all workers to start

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class WorkerLost(ConnectionError):  # noqa: N818 - what happened, not a fault of the program
    """Another worker died or does not answer; the training cannot continue without it."""


def is_multiworker(strategy):
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def read_tf_config():
    """The checked `({job: addresses}, (job, index))` of the environment variable."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise ValueError(
            "The strategy 'multiworker' needs the environment variable TF_CONFIG, the same for "
            f"every worker except for the index: set it as in TF_CONFIG='{_EXAMPLE}'. Received: "
            "no TF_CONFIG"
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
            "TF_CONFIG must contain a cluster of workers with different addresses, and a task "
            f"among them: set it as in TF_CONFIG='{_EXAMPLE}'. Received: TF_CONFIG={text[:200]!r}"
        )
    return jobs, (job, index)


def _is_address(address):
    host, _, port = address.rpartition(":")
    is_port = re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535
    return bool(re.fullmatch(r"[\w.\-:\[\]%]{1,253}", host)) and is_port


def await_workers(addresses, own):
    """Returns when all workers have started; TensorFlow would wait forever."""
    deadline = time.monotonic() + SECONDS_TO_START
    try:
        listener = socket.create_server(("", int(own.rpartition(":")[2])))
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"This worker cannot listen at its address ({error}): end the process that uses it, or "
            f"give the worker another port in TF_CONFIG. Received: {own}"
        ) from error
    with listener:
        for address in addresses:
            while address != own and not _answers(address):
                if time.monotonic() > deadline:
                    raise WorkerLost(
                        f"No worker answered within {SECONDS_TO_START} s: start all workers, with "
                        f"the same addresses in TF_CONFIG. Received: no answer from {address}"
                    )
                time.sleep(0.2)


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, UnicodeError):  # the latter for an invalid host name
        return False
    return True


@contextlib.contextmanager
def needs_all_workers(strategy):
    """Raises `WorkerLost` instead of TensorFlow's errors when another worker is lost."""
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
            "Another worker died or no longer answers: start all workers again, and they resume "
            f"after the last completed epoch. Received: {type(error).__name__}"
        ) from error
