"""Batches on replicas: each as a whole on one of them, in order, however many there are."""

import keras
import numpy as np
import pytest

from kerasvis.graph.replicas import num_replicas, predict_any_number, predict_on_replicas
from tests.marks import slow


class Sums(keras.Model):
    """Of each row, and of the batch that it came in."""

    def call(self, inputs):
        values = keras.ops.sum(inputs["values"], axis=1)
        total = keras.ops.zeros_like(values) + keras.ops.sum(values) + inputs["among"][0]
        return values, total


def batch(length, seed):
    values = np.random.default_rng(seed).normal(size=(length, 5)).astype("float32")
    return {"values": values, "among": np.array([10.0], "float32")}


@pytest.fixture(scope="module")
def alone():
    return Sums()


@pytest.fixture(scope="module")
def on_two(two_devices):
    with two_devices.scope():
        return Sums()


def test_number(alone, on_two):
    assert num_replicas(alone) == 1
    assert num_replicas(on_two) == 2


@pytest.mark.parametrize("num_batches", [1, 2])
def test_a_batch_is_never_divided(on_two, num_batches):
    """Though other inputs come first, by the alphabet, and are of another length."""
    batches = [batch(4 + seed, seed) for seed in range(num_batches)]
    outputs = predict_on_replicas(on_two, batches, [len(x["values"]) for x in batches])
    assert len(outputs) == num_batches
    for (values, total), given in zip(outputs, batches, strict=True):
        expected = given["values"].sum(axis=1)
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(total, np.full(len(expected), expected.sum() + 10), rtol=1e-5)


def test_two_are_one_bit_for_bit(alone, on_two):
    batches = [batch(6, seed) for seed in range(2)]
    together = predict_on_replicas(on_two, batches, [len(x["values"]) for x in batches])
    for outputs, given in zip(together, batches, strict=True):
        (expected,) = predict_on_replicas(alone, [given], [6])
        for array, other in zip(outputs, expected, strict=True):
            np.testing.assert_array_equal(array, other)


class RowSums(keras.Model):
    """Of each row by itself."""

    def call(self, inputs):
        return {"sums": keras.ops.sum(inputs["values"], axis=1)}


@pytest.fixture(scope="module")
def rows_on_two(two_devices):
    with two_devices.scope():
        return RowSums()


@pytest.mark.parametrize("number", [1, slow(2), slow(3), 5])
def test_no_replica_is_left_without_a_row(rows_on_two, number):
    values = batch(number, 0)["values"]
    found = predict_any_number(rows_on_two, {"values": values}, batch_size=3)["sums"]
    np.testing.assert_allclose(found, values.sum(axis=1), rtol=1e-5, atol=1e-6)
