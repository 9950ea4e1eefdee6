"""The deconvnet as the gradient of the same net with another rule for its ReLUs.

For a net of convolutions, max pooling and ReLUs the projection of a unit is the vector-Jacobian
product of the net whose ReLUs pass down `relu(signal)`, times the unit's activation (Zeiler &
Fergus 2013, Section 2.1; Springenberg et al. 2014, Section 3.4). So a copy of the model is run
under a gradient tape with these calls exchanged:

- ReLU and ReLU with a maximum, layers of their own or fused, get the wanted rule;
- a maximum with 0 is a ReLU; of other maxima and minima the first that holds the value gets all;
- max pooling sends its gradient to the first maximum in row-major order, which TensorFlow's
  gradient leaves open (and it shares the global one out among all maxima);
- contrast normalisation passes the signal unchanged ("deconvnet" only);
- a softmax or sigmoid of the target layer is left out, so that its score is projected.

Precision: the copy computes in float64, so that the rounding in a comparison is that of the float32
projection compared with. Which unit is active, which is the maximum and at which value the signal
starts is taken from a second copy in the model's own precision: of a million units some lie within
rounding of zero, and there the float64 net may decide otherwise than the float32 net that was
projected. Both would be right, about different nets.

Nets with a convolution that is grouped and dilated stay in float32: TensorFlow's float64 gradient
of it holds numbers that were never computed (2.21, on a CPU).
"""

import collections
import functools

import keras
import numpy as np
import tensorflow as tf

from kerasvis.layers import LocalResponseNormalization

DROPPED_AT_TARGET = ("softmax", "sigmoid")


def project(
    model,
    layer_name,
    images,
    feature,
    row=None,
    column=None,
    rectification="deconvnet",
    whole_map=False,
    exchange=None,
    starts_at="activation",
):
    """Projects one activation per image, or a whole feature map.

    Args:
        model: a functional or Sequential model; it is left as it is.
        layer_name: `"outer/inner"` inside a nested model, `"name:2"` for the second call of a
            shared layer.
        images: array `(batch, rows, columns, channels)`.
        feature: number of the feature map or dense unit, or one for each image.
        row, column: the unit's position, or one for each image; None for the strongest.
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        whole_map: whether the whole feature map is the signal.
        exchange: `exchange(operation)` may give an operation of the copy another gradient than the
            paper's rules, and returns whether it did.
        starts_at: `"activation"` or `"one"`.

    Returns:
        A float64 array of the shape of `images`.
    """
    decisions = []

    def record(decision):
        decisions.append(decision)
        return decision

    run = functools.partial(_run, model, layer_name, images, rectification, exchange=exchange)
    _, _, target = run(None, record)
    signal = _chosen(target.numpy(), feature, row, column, whole_map)
    if starts_at == "activation":
        signal = signal * target.numpy()

    recorded = iter(decisions)
    tape, images, target = run(_precision(model), lambda _: next(recorded))
    assert next(recorded, None) is None, "The two copies decided on different numbers of things."
    signal = tf.constant(signal, target.dtype)
    return tape.gradient(target, images, signal, tf.UnconnectedGradients.ZERO).numpy()


def _precision(model):
    convolutions = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Conv2D)]
    is_computed = all(x.groups == 1 or set(x.dilation_rate) == {1} for x in convolutions)
    return "float64" if is_computed else "float32"


def activations(model, layer_name, images):
    """What the layer returns for the images (a softmax or sigmoid left out), as an array."""
    return _run(model, layer_name, images, "gradient", None, lambda decision: decision)[2].numpy()


def relative_difference(actual, expected):
    """Largest `max|actual - expected| / max|expected|` of any image; 0 where both are all zero."""
    actual, expected = (np.asarray(x, "float64") for x in (actual, expected))
    if actual.shape != expected.shape:
        raise ValueError(f"A projection of shape {actual.shape} came for one of {expected.shape}.")
    axes = tuple(range(1, expected.ndim))
    difference = np.abs(actual - expected).max(axes)
    scale = np.abs(expected).max(axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / scale).max()


def _run(model, layer_name, images, rectification, dtype, decide, exchange=None):
    """Runs an exchanged copy of the model; returns `(tape, images, target)`."""
    convnet = _copy(model, dtype)
    images = tf.constant(images, dtype or model.inputs[0].dtype)
    outputs, numbers = {}, _call_numbers(convnet)
    names = [name for name, _ in _operations(model)]  # those of operations may differ in the copy
    for name, (_, operation) in zip(names, _operations(convnet), strict=True):
        if exchange is None or not exchange(operation):
            _exchange(operation, rectification, decide, is_target=name == layer_name.split(":")[0])
        _keep_outputs(operation, name, numbers[id(operation)], outputs)
    with tf.GradientTape() as tape:
        tape.watch(images)
        convnet(images, training=False)
    return tape, images, outputs[layer_name]


def _copy(model, dtype):
    """A model of the same layers, names and weights that computes in `dtype` (None: as before)."""
    config = keras.saving.serialize_keras_object(model)
    copy = keras.saving.deserialize_keras_object(_with_dtype(config, dtype) if dtype else config)
    copy.set_weights(model.get_weights())
    return copy


def _with_dtype(config, dtype):
    if isinstance(config, dict):
        return {
            key: dtype if key == "dtype" and _is_float(value) else _with_dtype(value, dtype)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_with_dtype(value, dtype) for value in config)
    return config


def _is_float(dtype):
    return "float" in (dtype["config"]["name"] if isinstance(dtype, dict) else str(dtype))


def _operations(model, prefix=""):
    """All layers and other operations by name, nested models opened."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    for operation in graph.operations:
        if isinstance(operation, keras.Model):
            yield from _operations(operation, f"{prefix}{operation.name}/")
        else:
            yield prefix + operation.name, operation


def _call_numbers(model, model_call=0, found=None):
    """`{id of an operation: the numbers of its calls as made, in the order in which they run}`."""
    found = collections.defaultdict(list) if found is None else found
    by_depth = (model._functional if isinstance(model, keras.Sequential) else model)._nodes_by_depth
    run = [x for depth in sorted(by_depth, reverse=True) for x in by_depth[depth] if not x.is_input]
    for node in run:
        made = [x for x in node.operation._inbound_nodes if any(x is y for y in run)]
        place = next(place for place, x in enumerate(made) if x is node)
        number = model_call * len(made) + place
        if isinstance(node.operation, keras.Model):
            _call_numbers(node.operation, number, found)
        else:
            found[id(node.operation)].append(number)
    return found


def _keep_outputs(operation, name, numbers, outputs):
    call, numbers = operation.call, iter(numbers)

    @functools.wraps(call)
    def kept(*args, **kwargs):
        number = next(numbers)
        outputs[f"{name}:{number + 1}" if number else name] = result = call(*args, **kwargs)
        return result

    operation.call = kept


def _exchange(operation, rectification, decide, is_target):
    """Gives one layer of the copy its other gradient."""
    relu = functools.partial(_relu, rectification=rectification, decide=decide)
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    kind = type(operation).__name__

    if is_target and activation in DROPPED_AT_TARGET:
        operation.activation = keras.activations.linear
    elif is_target and kind.lower() in DROPPED_AT_TARGET:
        operation.call = lambda inputs, **_: inputs
    elif activation in ("relu", "relu6"):
        operation.activation = functools.partial(
            relu, maximum=6.0 if activation == "relu6" else None
        )
    elif kind == "ReLU":
        if operation.negative_slope or operation.threshold:
            raise ValueError(f"{operation.name!r} is no plain ReLU: the oracle has no rule for it.")
        operation.call = functools.partial(relu, maximum=operation.max_value)
    elif kind in ("Relu", "Relu6"):  # keras.ops
        operation.call = functools.partial(relu, maximum=6.0 if kind == "Relu6" else None)
    elif kind in ("Maximum", "Minimum") and _is_of_zero(operation):
        operation.call = lambda *inputs: relu(next(filter(tf.is_tensor, inputs)), maximum=None)
    elif kind in ("Maximum", "Minimum"):
        operation.call = functools.partial(_extreme, kind=kind, decide=decide)
    elif kind == "MaxPooling2D":
        window = (operation.pool_size, operation.strides, operation.padding)
        operation.call = functools.partial(_max_pool, window=window, decide=decide)
    elif kind == "GlobalMaxPooling2D":
        operation.call = functools.partial(
            _global_max_pool, keepdims=operation.keepdims, decide=decide
        )
    elif isinstance(operation, LocalResponseNormalization) and rectification == "deconvnet":
        operation.call = functools.partial(_passing_down_unchanged, operation.call)


def _relu(inputs, rectification, maximum, decide):
    ceiling = np.inf if maximum is None else maximum
    was_active = decide(((inputs > 0) & (inputs < ceiling)).numpy())

    @tf.custom_gradient
    def rectify(inputs):
        def down(signal):
            if rectification != "gradient":
                signal = tf.maximum(signal, 0)
            return signal if rectification == "deconvnet" else tf.where(was_active, signal, 0)

        return tf.clip_by_value(inputs, 0, tf.constant(ceiling, inputs.dtype)), down

    return rectify(inputs)


def _passing_down_unchanged(call, inputs):
    return tf.custom_gradient(lambda x: (call(x), lambda signal: signal))(inputs)


def _max_pool(inputs, window, decide):
    pool_size, strides, padding = window
    edges, num_steps = zip(
        *(
            _window_steps(*axis, padding)
            for axis in zip(inputs.shape[1:3], pool_size, strides, strict=True)
        ),
        strict=True,
    )
    padded = tf.pad(inputs, [(0, 0), *edges, (0, 0)], constant_values=-np.inf)
    ends = [(n - 1) * stride + 1 for n, stride in zip(num_steps, strides, strict=True)]
    cells = [
        padded[:, i : i + ends[0] : strides[0], j : j + ends[1] : strides[1]]
        for i in range(pool_size[0])
        for j in range(pool_size[1])
    ]
    return _maximum_of(cells, decide)


def _window_steps(length, window, stride, padding):
    """`((pad before, pad after), number of windows)` along one axis."""
    if padding == "valid":
        return (0, 0), (length - window) // stride + 1
    num_steps = -(-length // stride)
    total = max((num_steps - 1) * stride + window - length, 0)
    return (total // 2, total - total // 2), num_steps


def _global_max_pool(inputs, keepdims, decide):
    batch, rows, columns, channels = inputs.shape
    cells = tf.unstack(tf.reshape(inputs, (batch, rows * columns, channels)), axis=1)
    pooled = _maximum_of(cells, decide)
    return pooled[:, None, None, :] if keepdims else pooled


def _is_of_zero(operation):
    """Whether one operand is the number 0."""
    arguments = operation._inbound_nodes[0].arguments.args
    return any(isinstance(x, int | float) and x == 0 for x in arguments)


def _extreme(*operands, kind, decide):
    cells = operands[0] if isinstance(operands[0], list | tuple) else operands
    return _maximum_of(cells, decide, np.argmax if kind == "Maximum" else np.argmin)


def _maximum_of(cells, decide, argument=np.argmax):
    """The maximum of tensors; its gradient goes to the first that holds it."""
    first = decide(argument([cell.numpy() for cell in cells], axis=0))
    return tf.add_n([tf.where(first == i, cell, 0) for i, cell in enumerate(cells)])


def _chosen(target, feature, row, column, whole_map):
    """1 where the activations are projected, 0 everywhere else."""
    mask = np.zeros(target.shape)
    for image, number in enumerate(np.broadcast_to(feature, len(mask))):
        if target.ndim == 2:
            mask[image, number] = 1
        elif whole_map:
            mask[image, ..., number] = 1
        elif row is None:
            feature_map = target[image, ..., number]
            position = np.unravel_index(feature_map.argmax(), feature_map.shape)
            mask[(image, *position, number)] = 1
        else:
            position = [np.broadcast_to(x, len(mask))[image] for x in (row, column)]
            mask[(image, *position, number)] = 1
    return mask
