"""Two processes on this machine train together, and go on after one of them is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600  # for a run of some seconds, on a machine that may be busy
PROGRAM = """
import sys
from kerasvis.training.strategies import strategy_for
from kerasvis.training.workers import WorkerLost
strategy = strategy_for("multiworker")
import keras, numpy as np
from kerasvis.training import fit
from tests.training.small_runs import small_convnet, small_images, small_recipe

class Told(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", flush=True)

directory, epochs, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with strategy.scope():
    model = small_convnet()
    model.get_layer("dropout6").rate = 0.0
try:
    fit(model, small_images(37), small_images(11, seed=1), small_recipe(dropout=0.0, epochs=epochs),
        callbacks=[Told()], directory=directory, verbose=0)
except WorkerLost as error:
    sys.exit(str(error))
np.savez(f"{directory}/{name}.npz", *model.get_weights())
"""


def free_ports():
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


def start(directory, epochs):
    """Both workers, as two machines would start them."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports()]}
    return [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(directory), str(epochs), f"worker-{index}"],
            cwd=ROOT,
            env=os.environ
            | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
            | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task(index)})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def task(index):
    return {"type": "worker", "index": index}


def finish(workers):
    try:
        said = [worker.communicate(timeout=SECONDS) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, (_, errors) in zip(workers, said, strict=True):
        assert worker.returncode == 0, errors


def weights(directory, index):
    with np.load(directory / f"worker-{index}.npz") as file:
        return [file[name] for name in file.files]


def assert_same(arrays, others, **tolerances):
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_allclose(array, other, **tolerances)


@pytest.mark.slow
def test_two_workers_agree(tmp_path):
    workers = start(tmp_path, epochs=2)
    finish(workers)
    assert_same(weights(tmp_path, 0), weights(tmp_path, 1), rtol=0)
    history = (tmp_path / "history.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in history] == ["epoch", "1", "2"]


def kill(directory, victim, steps):
    """SIGKILL of one worker in the middle of an epoch; what the other one says at its end."""
    workers = start(directory, epochs=4)
    try:
        for _ in range(steps):
            assert workers[victim].stdout.readline() == "step\n"
        workers[victim].send_signal(signal.SIGKILL)
        _, errors = workers[1 - victim].communicate(timeout=SECONDS)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert workers[1 - victim].returncode == 1
    return errors


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("uninterrupted")
    finish(start(directory, epochs=4))
    return weights(directory, 0)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [1, 0])
def test_both_go_on_after_one_was_killed(tmp_path, uninterrupted, victim):
    errors = kill(tmp_path, victim, steps=8)
    assert "Another worker died or no longer answers: start all workers again" in errors
    finish(start(tmp_path, epochs=4))
    resumed = weights(tmp_path, 0)
    assert_same(resumed, weights(tmp_path, 1), rtol=0)
    assert_same(resumed, uninterrupted, rtol=1e-5, atol=1e-7)
    history = (tmp_path / "history.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in history] == ["epoch", "1", "2", "3", "4"]
