"""Runs a callback's computation in a new thread, outside the scopes of the training."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

SECONDS_TO_END = 10  # when interrupted


def run_in_thread(function: Callable, *arguments: Any, interrupt: Callable) -> Any:
    """Calls a function in a new thread, outside any distribution strategy, device or Keras scope.

    Each thread has scopes of its own. In the scope of a `MirroredStrategy`, every replica would
    compute every batch, and their results would be concatenated.

    Args:
        function: the function to call.
        *arguments: what it is called with.
        interrupt: function that ends it early, called when this thread is interrupted.
    """
    found: concurrent.futures.Future = concurrent.futures.Future()

    def run():
        try:
            found.set_result(function(*arguments))
        except BaseException as error:
            found.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)  # one that hangs does not keep Python alive
    thread.start()
    try:
        return found.result()
    except KeyboardInterrupt:
        interrupt()
        thread.join(SECONDS_TO_END)
        raise
