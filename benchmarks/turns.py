"""Contenders that take turns, so that a busy machine slows all of them."""

import random
import statistics
import time


def median_times(contenders, repetitions, warm_up=True):
    """Seconds per call of every contender, medians over `repetitions` turns.

    Args:
        contenders: `{name: function without arguments}`, whose results are ready when they return.
        repetitions: turns of every contender, in changing order.
        warm_up: whether each is called once before.
    """
    if warm_up:
        for call in contenders.values():
            call()
    times = {name: [] for name in contenders}
    order = random.Random(0)
    for _ in range(repetitions):
        # In a new order each time: whoever follows a contender finds its caches and memory.
        for name in order.sample([*contenders], len(contenders)):
            start = time.perf_counter()
            contenders[name]()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def verdict(is_met):
    """How a table says whether a target was reached."""
    return "met" if is_met else "MISSED"
