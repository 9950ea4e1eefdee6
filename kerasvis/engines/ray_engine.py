"""Work over images on the machines of a Ray cluster."""

import contextlib
import math
import os
from collections.abc import Generator, Iterable
from typing import Any, Protocol, Self

from kerasvis.engines.lost_parts import Attempt, Part, Queue, WorkerDiedError

MOST_BATCHES = 32  # of a part: what is lost with a worker, and how often progress is shown
PARTS_OF_WORKER = 4  # at least, so that no worker is without work for long
MOST_FAILED_STARTS = 3  # of workers in a row
SECONDS_OF_WAITING = 10.0  # for a result, before it is looked for interruptions again


class Worker(Protocol):
    """What is sent to every worker: it is opened there once, and computes any number of parts.

    It is pickled, so that it holds arrays, bytes and functions, but no model.
    """

    def open(self) -> None:
        """Loads the model, and whatever else serves all parts."""

    def __call__(self, part: Any, /) -> Any:
        """The result of a part."""


class Ray:
    """Computes on a Ray cluster: on many machines, or as several processes on this one.

    It is given as `engine=`. The images are divided into parts, each of some batches in a row. A
    worker is a process that holds the model once and is sent one part after another; of a folder it
    reads its own files, which it has to find under the same path, of an array it is sent its own
    rows. The result has the bytes that one process would have computed, however many workers and
    parts there are, on machines with the same kind of processor.

    A part that is lost with its machine is computed again. With a folder or file for the result,
    parts are saved as they are completed, and a run whose own process was killed resumes from them.

    The workers end with the call that started them; within `with` they serve all calls.

    Args:
        address: of the cluster, as `ray.init` takes it: `"auto"`, `"host:6379"`, `"ray://..."`.
            None for the one that Ray is connected to or that `RAY_ADDRESS` names, or else one of
            this machine alone, which ends with the process.
        cpus_per_worker: processors of each worker, for which it has as many threads.
        gpus_per_worker: GPUs of each worker; a fraction for several workers on one.
        num_workers: number of workers; None for as many as the cluster has room for now. Those for
            which there is no room yet start when there is.
        images_per_part: images of a part, rounded up to whole batches, or batches of a data set
            that comes in batches; None for a number that keeps all workers busy.

    Raises:
        ValueError: if a number is not positive.

    Example:
        >>> import kerasvis as kv
        >>> engine = kv.engines.Ray("auto", cpus_per_worker=4)
        >>> engine
        Ray('auto', cpus_per_worker=4, gpus_per_worker=0)
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus_per_worker: float = 1,
        gpus_per_worker: float = 0,
        num_workers: int | None = None,
        images_per_part: int | None = None,
    ):
        for name, value, least in (
            ("cpus_per_worker", cpus_per_worker, 0.01),
            ("gpus_per_worker", gpus_per_worker, 0),
            ("num_workers", num_workers, 1),
            ("images_per_part", images_per_part, 1),
        ):
            if value is not None and not value >= least:
                raise ValueError(f"Give a number from {least} on. Received: {name}={value!r}")
        self.address = address
        self.cpus_per_worker, self.gpus_per_worker = cpus_per_worker, gpus_per_worker
        self._num_workers, self._images_per_part = num_workers, images_per_part
        self._kept: _Actors | None = None

    def __enter__(self) -> Self:
        self._kept = _Actors(self._connected(), self._remote())
        return self

    def __exit__(self, *exception: object) -> None:
        if self._kept is not None:
            self._kept.kill()
        self._kept = None

    def __repr__(self):
        return (
            f"Ray({self.address!r}, cpus_per_worker={self.cpus_per_worker!r}, "
            f"gpus_per_worker={self.gpus_per_worker!r})"
        )

    def num_workers(self) -> int:
        """The number of workers; connects to the cluster.

        Raises:
            ValueError: if the cluster has no room for any.
        """
        ray = self._connected()
        if self._num_workers is not None:
            return self._num_workers
        room = sum(map(self._room, ray.nodes()))
        if not room:
            raise ValueError(
                f"No machine of the cluster has {self.cpus_per_worker} processors and "
                f"{self.gpus_per_worker} GPUs: ask for fewer, or give num_workers=, if machines "
                f"will join. Received: engine={self!r}"
            )
        return room

    def _room(self, node):
        """How many workers a machine has room for."""
        resources = node["Resources"] if node["Alive"] else {}
        room = resources.get("CPU", 0) / self.cpus_per_worker
        if self.gpus_per_worker:
            room = min(room, resources.get("GPU", 0) / self.gpus_per_worker)
        return math.floor(room + 1e-6)

    def batches_per_part(self, num_batches: int | None, batch_size: int) -> int:
        """How many batches a part has.

        Args:
            num_batches: of all images; None if it is not known.
            batch_size: images of a batch.
        """
        if self._images_per_part is not None:
            return math.ceil(self._images_per_part / batch_size)
        if num_batches is None:
            return PARTS_OF_WORKER
        share = math.ceil(num_batches / (PARTS_OF_WORKER * self.num_workers()))
        return max(1, min(MOST_BATCHES, share))

    def map(self, worker: Worker, parts: Iterable[Part]) -> Generator[tuple[Any, Any]]:
        """Computes parts on workers, which end with the iteration unless it is within `with`.

        Args:
            worker: what every worker is sent.
            parts: the `Part`s; they are taken one by one as workers ask for them.

        Yields:
            `(part, result)`, as they are completed. Instead of a part that was lost it may yield
            two halves of it.

        Raises:
            Exception: the first one that a worker raises.
            WorkerDiedError: if workers die of an image, or whenever they start.
        """
        ray, queue = self._connected(), Queue(parts)
        actors = _Actors(ray, self._remote()) if self._kept is None else self._kept
        try:
            actors.open(ray.put(worker), queue.count(self.num_workers()))
            while queue.count(1):
                while actors.idle and (attempt := queue.next()):
                    actors.run(attempt)
                for attempt, result in actors.completed():
                    if isinstance(result, _Lost):
                        queue.lost(attempt)
                    elif queue.done(attempt):
                        yield attempt.part, result
        finally:
            actors.kill(idle=self._kept is None)

    def _connected(self):
        ray = _import_ray()
        if not ray.is_initialized():
            is_local = self.address is None and "RAY_ADDRESS" not in os.environ
            options = {"include_dashboard": False} if is_local else {}
            try:
                ray.init(self.address, log_to_driver=False, logging_level="error", **options)
            except ConnectionError as error:
                raise ConnectionError(
                    "There is no Ray cluster at this address: start one, `ray start --head`, or "
                    f"correct the address. Received: address={self.address!r}"
                ) from error
        return ray

    def _remote(self):
        """The class of the actors, with what each of them needs."""
        import keras

        threads = str(max(1, int(self.cpus_per_worker)))
        variables = {
            "KERAS_BACKEND": keras.backend.backend(),
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": threads,
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        }
        return _import_ray().remote(
            num_cpus=self.cpus_per_worker,
            num_gpus=self.gpus_per_worker,
            max_restarts=0,  # a lost part is planned again here, in halves
            max_task_retries=0,
            runtime_env={"env_vars": variables},
        )(_Actor)


class _Actor:
    """A process on some machine of the cluster."""

    def open(self, worker):
        self._worker = worker
        worker.open()

    def run(self, part):
        return self._worker(part)


class _Lost:
    """In place of a result that was lost with its worker."""


class _Actors:
    """The actors of an engine, and what each of them does.

    Attributes:
        idle: list of actors without work.
        running: `{reference to a result: (actor, attempt)}`; the attempt is None while the actor
            starts or loads the model.
    """

    def __init__(self, ray, remote):
        self._ray, self._remote, self._worker = ray, remote, None
        self.idle, self.running = [], {}
        self._num_failed_starts = 0

    def open(self, worker, number):
        """Gives actors a worker, so many of those that are there and of new ones."""
        self._worker = worker
        there, self.idle = self.idle[:number], self.idle[number:]
        self.kill(running=False)
        self._open(there)
        self._start(number - len(there))

    def _start(self, number):
        """Starts some actors more, as soon as there is room."""
        self._open([self._remote.remote() for _ in range(number)])

    def _open(self, actors):
        for actor in actors:
            self.running[actor.open.remote(self._worker)] = actor, None

    def run(self, attempt: Attempt) -> None:
        """Gives an idle actor something to do."""
        actor = self.idle.pop()
        self.running[actor.run.remote(attempt.part)] = actor, attempt

    def completed(self):
        """Waits for actors; returns `(attempt, result or _Lost)` of those that are done."""
        errors = self._ray.exceptions
        found = []
        references = [*self.running]
        done, _ = self._ray.wait(references, num_returns=1, timeout=SECONDS_OF_WAITING)
        for reference in done:
            actor, attempt = self.running.pop(reference)
            try:
                result = self._ray.get(reference)
            except errors.RayTaskError as error:
                self.idle.append(actor)
                raise _cause(error) from None
            except errors.RuntimeEnvSetupError:
                raise
            except errors.RayError as error:  # of the actor, its node or its object store
                with contextlib.suppress(Exception):
                    self._ray.kill(actor)
                self._count_failed_start(attempt, error)
                self._start(1)
                result = _Lost()
            else:
                self._num_failed_starts = 0
                self.idle.append(actor)
            if attempt is not None:
                found.append((attempt, result))
        return found

    def _count_failed_start(self, attempt, error):
        if attempt is None:
            self._num_failed_starts += 1
        if self._num_failed_starts >= MOST_FAILED_STARTS:
            raise WorkerDiedError(
                f"{self._num_failed_starts} workers in a row died while they loaded the model: "
                f"give workers with more memory. Received: {str(error).splitlines()[0]}"
            ) from error

    def kill(self, *, idle=True, running=True):
        """Ends actors, with what they do."""
        if running:
            self._end(actor for actor, _ in self.running.values())
            self.running = {}
        if idle:
            self._end(self.idle)
            self.idle = []

    def _end(self, actors):
        for actor in actors:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)


def _cause(error):
    """The exception that a worker raised, as the single process would have raised it."""
    cause = error.cause
    return cause if isinstance(cause, Exception) else error


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "An engine needs Ray, which is not installed: pip install 'keras-deconvnet[cluster]'."
        ) from error
    return ray
