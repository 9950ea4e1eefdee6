"""An engine whose second machine is killed while it computes."""

from kerasvis.engines import Ray


class Killing(Ray):
    """Kills the second machine as a certain part is handed out.

    Args:
        machines: the `Machines`.
        number: of the part, from 1 on.
    """

    def __init__(self, machines, number):
        super().__init__()
        self._machines, self._number = machines, number
        self.num_parts = 0

    def map(self, worker, parts):
        return super().map(worker, self._handed_out(parts))

    def _handed_out(self, parts):
        for part in parts:
            self.num_parts += 1
            if self.num_parts == self._number:
                self._machines.kill()
            yield part
