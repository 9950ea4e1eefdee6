"""Computations over images on the machines of a Ray cluster."""

import contextlib
import math
import os
from collections.abc import Generator, Iterable
from typing import Any, Protocol, Self

from kerasvis.engines.lost_parts import Attempt, Part, Queue, WorkerDiedError

MOST_BATCHES = 32  # in a part: all are lost with a worker, and progress is shown after each part
PARTS_OF_WORKER = 4  # at least, so that no worker waits long for the others
MOST_FAILED_STARTS = 3  # of workers in a row
SECONDS_OF_WAITING = 10.0  # for a result, before checking for an interruption


class Worker(Protocol):
    """The code that every worker process runs: opened once, then called for each part.

    It is sent by pickle, so it may hold arrays, bytes and functions, but no model.
    """

    def open(self) -> None:
        """Loads the model, and whatever else all parts need."""

    def __call__(self, part: Any, /) -> Any:
        """The result of a part."""


class Ray:
    """Computes on a Ray cluster: on many machines, or as several processes on this one.

    Pass it as `engine=`. The images are divided into parts of consecutive batches. A worker is a
    process that loads the model once and receives one part after another. If the images are a
    folder, workers read the files themselves, so every machine must have them under the same path;
    if they are an array, workers receive the rows of their parts. However many workers and parts
    there are, the result is byte for byte the one that a single process would compute, provided
    that the machines have the same kind of processor.

    A part that is lost with its machine is computed again. If the call writes to a folder or file,
    completed parts are saved, and a run whose own process was killed resumes from them.

    Workers end with the call that started them; inside a `with` block they serve all calls.

    Args:
        address: address of the cluster, as for `ray.init`: `"auto"`, `"host:6379"`, `"ray://..."`.
            None for the cluster that Ray is connected to or that `RAY_ADDRESS` names; without one,
            a cluster is started on this machine alone, and ends with the process.
        cpus_per_worker: processors, and threads, of each worker.
        gpus_per_worker: GPUs of each worker; a fraction lets several workers share a GPU.
        num_workers: number of workers; None for as many as the cluster has room for now. Workers
            for which there is no room yet start as soon as there is.
        images_per_part: number of images in a part, rounded up to whole batches; for a data set
            that comes in batches, the number of batches. None for a number that keeps all workers
            busy.

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
                raise ValueError(
                    f"Give a number that is at least {least}. Received: {name}={value!r}"
                )
        self.address = address
        self.cpus_per_worker, self.gpus_per_worker = cpus_per_worker, gpus_per_worker
        self._num_workers, self._images_per_part = num_workers, images_per_part
        self._actors: _Actors | None = None  # those of the `with` block

    def __enter__(self) -> Self:
        self._actors = _Actors(self._connected(), self._remote())
        return self

    def __exit__(self, *exception: object) -> None:
        if self._actors is not None:
            self._actors.kill()
        self._actors = None

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
        """Number of batches in a part.

        Args:
            num_batches: number of batches of all images; None if it is unknown.
            batch_size: number of images in a batch.
        """
        if self._images_per_part is not None:
            return math.ceil(self._images_per_part / batch_size)
        if num_batches is None:
            return PARTS_OF_WORKER
        share = math.ceil(num_batches / (PARTS_OF_WORKER * self.num_workers()))
        return max(1, min(MOST_BATCHES, share))

    def map(self, worker: Worker, parts: Iterable[Part]) -> Generator[tuple[Any, Any]]:
        """Computes parts on workers, which end with the iteration except inside a `with` block.

        Args:
            worker: the `Worker` that is sent to every process.
            parts: the `Part`s, taken one by one as workers become free.

        Yields:
            `(part, result)`, as they are completed. In place of a part that was lost, its two
            halves may come.

        Raises:
            Exception: the first one that a worker raises.
            WorkerDiedError: if an image kills every worker, or workers die as they start.
        """
        ray, queue = self._connected(), Queue(parts)
        actors = _Actors(ray, self._remote()) if self._actors is None else self._actors
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
            actors.kill(idle=self._actors is None)

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
        """The actor class, with the processors and the environment of each actor."""
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
            max_restarts=0,  # `Queue` schedules lost parts again, in halves
            max_task_retries=0,
            runtime_env={"env_vars": variables},
        )(_Actor)


class _Actor:
    """A worker process on a machine of the cluster."""

    def open(self, worker):
        self._worker = worker
        worker.open()

    def run(self, part):
        return self._worker(part)


class _Lost:
    """Replaces a result that was lost with its worker."""


class _Actors:
    """The actors of an engine, and what each of them is doing.

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
        """Sends a worker to a number of actors: idle ones first, then new ones."""
        self._worker = worker
        reused, self.idle = self.idle[:number], self.idle[number:]
        self.kill(running=False)
        self._open(reused)
        self._start(number - len(reused))

    def _start(self, number):
        """Starts new actors, each as soon as there is room for it."""
        self._open([self._remote.remote() for _ in range(number)])

    def _open(self, actors):
        for actor in actors:
            self.running[actor.open.remote(self._worker)] = actor, None

    def run(self, attempt: Attempt) -> None:
        """Gives an idle actor something to do."""
        actor = self.idle.pop()
        self.running[actor.run.remote(attempt.part)] = actor, attempt

    def completed(self):
        """Waits for actors; returns `(attempt, result or _Lost)` for those that have finished."""
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
        """Ends actors, together with what they are computing."""
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
    """The exception that a worker raised, as a single process would have raised it."""
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
