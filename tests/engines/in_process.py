"""An engine without a cluster: what is sent is pickled, and results arrive in another order."""

import pickle

from kerasvis.engines import Ray


def sent(something):
    """What arrives on another machine."""
    return pickle.loads(pickle.dumps(something))


class InProcess(Ray):
    """Runs a worker in this process, as far as an analysis can tell on two other machines.

    Attributes:
        parts: those that were computed.
        interrupt_after: number of parts after which the program ends; None to go on to the end.
    """

    def __init__(self, interrupt_after=None):
        super().__init__()
        self.parts, self.interrupt_after = [], interrupt_after

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def num_workers(self):
        return 2

    def map(self, worker, parts):
        worker = sent(worker)
        worker.open()
        for part in reversed(list(parts)):
            if len(self.parts) == self.interrupt_after:
                raise KeyboardInterrupt
            self.parts.append(part)
            yield part, sent(worker(sent(part)))
