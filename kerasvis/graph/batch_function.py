"""A function of tensors as a Keras model: compiled once and run in batches, on any backend."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


class BatchFunction(keras.Model):
    """Runs a function of tensors as the `call` of a model.

    Keras compiles the function and treats the weights of its layers as state. If the weights change
    between two calls, the function uses the new ones, also on JAX.

    Args:
        function: function from the inputs of the model to tensors.
        layers: the layers whose weights it uses.
        run_eagerly: whether Keras runs it without compiling it, as in `keras.Model.compile`.

    Example:
        >>> import keras, numpy as np
        >>> from kerasvis.graph.batch_function import BatchFunction
        >>> dense = keras.layers.Dense(2, kernel_initializer="ones")
        >>> dense.build((None, 3))
        >>> total = BatchFunction(lambda x: keras.ops.sum(dense(x), axis=1), [dense])
        >>> total.predict_on_batch(np.ones((4, 3), "float32")).tolist()
        [6.0, 6.0, 6.0, 6.0]
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        layers: Sequence[keras.layers.Layer],
        run_eagerly: bool = False,
    ):
        super().__init__(autocast=False)  # layers cast as they do inside their own model
        self.run_eagerly = run_eagerly
        self._function = function
        self.layers_used = list(layers)
        self.built = True

    def call(self, inputs):
        return self._function(inputs)
