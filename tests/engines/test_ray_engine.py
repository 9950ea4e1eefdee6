"""Parts on a Ray cluster of two machines: what is lost is computed again, what kills is named."""

import pytest

from kerasvis.engines import Ray, WorkerDiedError
from tests.engines.light_work import Failing, Squares, ranges


def squares(engine, worker, parts):
    """`{index: square}` of all results; an index that comes twice is an error."""
    found = {}
    for _, result in engine.map(worker, parts):
        assert not found.keys() & result.keys()
        found |= result
    return found


def expected(number):
    return {index: float(index**2) for index in range(number)}


@pytest.mark.slow
def test_every_image_is_computed_once(machines):
    engine = Ray()
    assert engine.num_workers() == 2
    assert squares(engine, Squares(), ranges(37)) == expected(37)
    assert squares(engine, Squares(), []) == {}


@pytest.mark.slow
def test_workers_serve_all_calls_within_with(machines):
    with Ray() as engine:
        for number in (5, 37):
            assert squares(engine, Squares(), ranges(number)) == expected(number)
        with pytest.raises(KeyError):
            squares(engine, Failing(17), ranges(37))
        assert squares(engine, Squares(), ranges(9)) == expected(9)


@pytest.mark.slow
def test_parts_of_a_killed_machine_are_computed_again(machines):
    found = {}
    for number, (_, result) in enumerate(Ray().map(Squares(seconds=0.3), ranges(90))):
        assert not found.keys() & result.keys()
        found |= result
        if number == 2:
            machines.kill()
    assert found == expected(90)


@pytest.mark.slow
@pytest.mark.parametrize("fatal", [0, 6, 22, 36])
def test_an_image_that_ends_every_worker_is_named(machines, fatal):
    with pytest.raises(WorkerDiedError, match=rf"^Image {fatal}: .*memory"):
        squares(Ray(), Squares([fatal]), ranges(37 if fatal > 7 else 8, 5))


@pytest.mark.slow
def test_a_batch_that_ends_every_worker_is_named(machines):
    with pytest.raises(WorkerDiedError, match=r"^Images 20 to 23: .*batch_size"):
        squares(Ray(), Squares([22], together=3), ranges(37, 5))


@pytest.mark.slow
def test_an_error_of_a_worker_is_raised_here(machines):
    with pytest.raises(KeyError, match="image 17"):
        squares(Ray(), Failing(17), ranges(37))
    with pytest.raises(ValueError, match="no model here"):
        squares(Ray(), Failing(), ranges(37))


@pytest.mark.slow
def test_more_workers_than_there_is_room_for(machines):
    assert squares(Ray(num_workers=7), Squares(), ranges(37)) == expected(37)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cpus_per_worker": 0}, "cpus_per_worker=0"),
        ({"gpus_per_worker": -1}, "gpus_per_worker=-1"),
        ({"num_workers": 0}, "num_workers=0"),
        ({"images_per_part": 0}, "images_per_part=0"),
    ],
)
def test_wrong_numbers_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        Ray(**options)


@pytest.mark.slow
def test_machines_that_are_too_small(machines):
    with pytest.raises(ValueError, match="3 processors"):
        Ray(cpus_per_worker=3).num_workers()
    with pytest.raises(ValueError, match="1 GPUs"):
        Ray(gpus_per_worker=1).num_workers()
