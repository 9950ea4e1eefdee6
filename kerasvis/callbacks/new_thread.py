"""What callbacks compute in a new thread, outside any scope of the training."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

SECONDS_TO_END = 10  # when interrupted


def run_in_thread(function: Callable, *arguments: Any, interrupt: Callable) -> Any:
    """Calls a function in a new thread, outside any distribution strategy, device or Keras scope.

    These scopes belong to the thread. Under a `MirroredStrategy` each replica would compute every
    batch, and their results would be concatenated.

    Args:
        function: the function to call with `arguments`.
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
