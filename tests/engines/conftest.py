"""A Ray cluster of two machines, which are processes of this one."""

import os

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


class Machines:
    """A cluster of machines with one processor each, of which all but the first can be killed."""

    def __init__(self, cluster):
        self.address, self._cluster, self._others = cluster.address, cluster, []
        self.shared = None  # the `engine` whose workers hold processors between tests
        self.restore()

    def restore(self):
        """Brings it to two machines again."""
        while len(self._others) < 1:
            self._others.append(self._cluster.add_node(num_cpus=1))
        self._cluster.wait_for_nodes()

    def kill(self):
        """Kills the second machine, with all that runs there."""
        self._cluster.remove_node(self._others.pop(), allow_graceful=False)


@pytest.fixture(scope="session")
def ray_cluster():
    ray = pytest.importorskip(
        "ray", reason="Ray is not installed: pip install 'keras-deconvnet[cluster]'."
    )
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    yield Machines(cluster)
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def machines(ray_cluster, request):
    """The cluster, with two machines; all of it for a test that does not use `engine`."""
    ray_cluster.restore()
    if ray_cluster.shared is not None and "engine" not in request.fixturenames:
        ray_cluster.shared.__exit__()
        ray_cluster.shared.__enter__()  # its workers start again with the next call
    return ray_cluster


@pytest.fixture(scope="session")
def engine(ray_cluster):
    """An engine whose workers serve many tests."""
    from kerasvis.engines import Ray

    with Ray() as engine:
        ray_cluster.shared = engine
        yield engine
