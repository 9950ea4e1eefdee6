"""Forward pass through the convnet, projection through the deconvnet: functions on tensors."""

from keras import ops

from kerasvis.deconvnet.mirror import Record
from kerasvis.deconvnet.targets import STRONGEST, WHOLE
from kerasvis.deconvnet.unpooling import Unpooling
from kerasvis.graph.activation_functions import call_without_activation
from kerasvis.graph.nodes import Tensor
from kerasvis.graph.replaying import call_layer, replay


def forward(plan, images, means=None):
    """Runs the convnet up to the target, and records what the projection needs.

    Args:
        plan: the `Plan`.
        images: tensor of the shape of the model's input.
        means: `{name of a PixelMean call: mean}` if the images are crops, each with its own mean.

    Returns:
        `(tensors, switches)`: `{tensor number: tensor}` and `{name of a call: switches}`.
    """
    unpoolings = {
        step.node.name: mirror
        for step in plan.steps
        for mirror in step.mirrors
        if isinstance(mirror, Unpooling)
    }
    images = ops.cast(images, plan.image_dtype)  # the first layer may cast them again
    means, switches = means or {}, {}

    def call(node, args, kwargs):
        if node is plan.scored:
            return call_without_activation(node, args, kwargs)
        if node.name in means:
            return ops.cast(args[0], node.layer.compute_dtype) - means[node.name]
        if node.name not in unpoolings:
            return call_layer(node, args, kwargs)
        pooled, switches[node.name] = unpoolings[node.name].pooling(*args, **kwargs)
        # The user's layer has one output, or two if it records switches itself.
        return [pooled, switches[node.name]][: len(node.outputs)]

    return replay(plan.nodes, {plan.image: images}, call), switches


def choose(activations, features, positions):
    """Sets all but the chosen activations of every image to zero.

    Args:
        activations: tensor `(images, rows, columns, features)`.
        features: int32 `(images,)`.
        positions: int32 `(images, 2)`, as from `kerasvis.deconvnet.targets.as_arrays`.

    Returns:
        `(signal, activation, position)`: the signal to project, of the shape of `activations`; the
        activation of the unit, `(images,)`; and its position, int32 `(images, 2)`. For a whole
        feature map, both are those of its strongest unit.
    """
    num_rows, width, num_features = ops.shape(activations)[1:]
    is_feature = ops.equal(ops.arange(num_features, dtype="int32"), features[:, None])
    zero = ops.zeros((), activations.dtype)
    of_feature = ops.where(is_feature[:, None, None], activations, zero)
    # The chosen feature map of every image: `(images, locations)`, row by row.
    feature_maps = ops.reshape(ops.sum(of_feature, axis=3), (-1, num_rows * width))
    # The location of the chosen unit: `(images,)`.
    strongest = ops.cast(ops.argmax(feature_maps, axis=1), "int32")
    rows, columns = positions[:, 0], positions[:, 1]
    chosen = ops.where(rows < 0, strongest, rows * width + columns)
    is_unit = ops.equal(ops.arange(num_rows * width, dtype="int32"), chosen[:, None])
    activation = ops.sum(ops.where(is_unit, feature_maps, zero), axis=1)
    is_chosen = ops.logical_or(is_unit, ops.equal(rows, WHOLE)[:, None])
    is_chosen = ops.reshape(is_chosen, (-1, num_rows, width, 1))
    signal = ops.where(is_chosen, of_feature, zero)
    return signal, activation, ops.stack([chosen // width, chosen % width], axis=1)


def ones_at(activations, features, positions):
    """A signal of 1 at the chosen units and 0 elsewhere, and the positions of the chosen units.

    Args:
        activations, features, positions: see `choose`.

    Returns:
        `(signal, positions)`.
    """
    _, _, found = choose(activations, features, positions)
    chosen = ops.where(ops.equal(positions, WHOLE), positions, found)
    return choose(ops.ones_like(activations), features, chosen)[0], chosen


def project(plan, signal, tensors, switches):
    """Projects the signal through the deconvnet.

    Args:
        plan: the `Plan`.
        signal: tensor of the shape of the target.
        tensors: from `forward`.
        switches: from `forward`.

    Returns:
        The projection: a tensor of the shape of the images; zero where no signal arrives.
    """
    for _, arrived in projected_signals(plan, signal, tensors, switches):
        projection = arrived  # the last one is that of the image
    return projection


def projected_signals(plan, signal, tensors, switches):
    """The signal at every tensor that it passes, from the target to the image.

    Args:
        plan: the `Plan`.
        signal: tensor of the shape of the target.
        tensors: from `forward`.
        switches: from `forward`.

    Yields:
        `(number, signal)`: the tensor's number, and the signal of its shape, the sum over all
        branches above it. The image comes last.
    """
    signals = {plan.target: signal}
    for step in plan.steps:
        arriving = {n: signals.pop(n) for n in step.node.outputs if n in signals}
        if not arriving:  # a user's rule above returned no signal
            continue
        record = Record(
            tuple(tensors[x.number] if isinstance(x, Tensor) else x for x in step.operands),
            tuple(tensors[number] for number in step.node.outputs),
            (switches[step.node.name],) if step.node.name in switches else (),
        )
        yield from arriving.items()
        below = [_signal_of_outputs(arriving, step, record, signal.dtype)]
        for mirror in step.mirrors:
            below = mirror(below[0], record)
        receivers = step.receivers(plan.shapes)
        for number, part in zip(receivers, below, strict=True):
            if number is not None and part is not None:
                signals[number] = signals[number] + part if number in signals else part
    if plan.image not in signals:
        signals[plan.image] = ops.zeros_like(tensors[plan.image], dtype=signal.dtype)
    yield plan.image, signals[plan.image]


def _signal_of_outputs(arriving, step, record, dtype):
    """The signal that a step's first mirror takes: a tensor, or a list for several outputs.

    In a list, outputs at which no signal arrives have zeros.
    """
    if not step.mirrors[0].takes_several or len(step.node.outputs) == 1:
        return arriving[step.node.outputs[0]]
    return [
        arriving[number] if number in arriving else ops.zeros_like(output, dtype=dtype)
        for number, output in zip(step.node.outputs, record.outputs, strict=True)
    ]


def with_positions(tensor):
    """Activations `(images, rows, columns, features)`; dense units as feature maps of 1×1."""
    return tensor[:, None, None, :] if len(tensor.shape) == 2 else tensor


def forward_and_project(plan, images, features, positions):
    """Runs the convnet, chooses activations and projects them.

    Returns:
        `(projection, activation, position)`.
    """
    return project_chosen(plan, *forward(plan, images), features, positions)


def project_chosen(plan, tensors, switches, features, positions):
    """Chooses activations and projects them, from what `forward` returned."""
    target = tensors[plan.target]
    activations = with_positions(ops.cast(target, plan.steps[0].mirrors[0].compute_dtype))
    signal, activation, position = choose(activations, features, positions)
    if plan.starts_at == "one":
        signal, _ = ones_at(activations, features, positions)
    signal = ops.reshape(signal, ops.shape(target))
    return project(plan, signal, tensors, switches), activation, position


def project_chosen_by(plans, tensors, switches, features, positions):
    """Chooses activations and projects them by several plans that share one forward pass.

    Args:
        plans: `Plan`s that differ only in how the signal is projected, such as in rectification.
        tensors: from `forward`, with any of the plans.
        switches: from `forward`.
        features: int32 `(images,)`.
        positions: int32 `(images, 2)`.

    Returns:
        The projections: a tensor `(images, plans, rows, columns, channels)`.
    """
    projections = [
        project_chosen(plan, tensors, switches, features, positions)[0] for plan in plans
    ]
    return ops.stack(projections, axis=1)


def strongest(plan, images, features):
    """`(activation, position)` of the strongest unit of a feature map in every image."""
    tensors, _ = forward(plan, images)
    activations = with_positions(ops.cast(tensors[plan.target], "float32"))
    positions = ops.full((ops.shape(features)[0], 2), STRONGEST, dtype="int32")
    return choose(activations, features, positions)[1:]
