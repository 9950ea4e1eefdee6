"""Which parts are computed again, without any machine."""

import random

import pytest

from kerasvis.engines import WorkerDiedError
from kerasvis.engines.lost_parts import Queue
from tests.engines.light_work import ranges


def run(queue, is_lost, num_workers=3, seed=0):
    """The image indices of all results that count, by workers that end in any order."""
    chance, running, found = random.Random(seed), [], []
    while queue.count(1):
        while len(running) < num_workers and (attempt := queue.next()):
            running.append(attempt)
        attempt = running.pop(chance.randrange(len(running)))
        images = range(attempt.part.begin, attempt.part.end)
        if is_lost(images):
            queue.lost(attempt)
        elif queue.done(attempt):
            found += images
    return sorted(found)


@pytest.mark.parametrize("seed", range(10))
def test_no_image_is_lost_or_doubled(seed):
    chance = random.Random(seed)
    found = run(Queue(ranges(101, 5)), lambda images: chance.random() < 0.2, seed=seed)
    assert found == list(range(101))


@pytest.mark.parametrize("seed", range(10))
def test_the_fatal_image_is_found(seed):
    fatal = random.Random(seed).randrange(101)
    with pytest.raises(WorkerDiedError, match=f"^Image {fatal}:"):
        run(Queue(ranges(101, 5)), lambda images: fatal in images, seed=seed)


def test_a_batch_that_is_fatal_as_a_whole_is_found():
    with pytest.raises(WorkerDiedError, match=r"^Images 40 to 43:"):
        run(Queue(ranges(101, 5)), lambda images: {40, 43} <= set(images))


def test_a_batch_lost_by_bad_luck_is_computed_after_its_probes():
    losses = iter([True] * 2)
    unlucky = run(Queue(ranges(4, 1)), lambda images: len(images) == 4 and next(losses, False), 1)
    assert unlucky == list(range(4))
