"""Engines for long computations over images: `Ray` uses the machines of a cluster."""

from kerasvis.engines.lost_parts import WorkerDiedError as WorkerDiedError
from kerasvis.engines.ray_engine import Ray as Ray

__all__ = ["Ray", "WorkerDiedError"]
