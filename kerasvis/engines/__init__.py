"""Where long work over images is computed: `Ray`, on the machines of a cluster."""

from kerasvis.engines.lost_parts import WorkerDiedError as WorkerDiedError
from kerasvis.engines.ray_engine import Ray as Ray

__all__ = ["Ray", "WorkerDiedError"]
