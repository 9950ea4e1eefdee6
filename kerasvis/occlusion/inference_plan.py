"""What is computed for an occluded image: windows first, whole feature maps from some layer on.

Planning is pure arithmetic on the graph: each node works either on the windows that the occluder
may affect, or on whole feature maps, as does everything above it then. The transition is placed
where the number of operations is lowest.
"""

import dataclasses

import numpy as np

from kerasvis.graph import Node, pixelwise_nodes
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.occlusion.affected_windows import AxisWindow, union
from kerasvis.occlusion.window_rules import WindowRule, num_operations_per_location, window_rule
from kerasvis.storage.html_table import html_text

# On a CPU, reading and writing a value takes as long as so many multiplications of a convolution.
OPERATIONS_PER_VALUE = 32


@dataclasses.dataclass(frozen=True)
class WindowStep:
    """One node that works on windows.

    Attributes:
        node: the node.
        rule: its `WindowRule`.
        windows: `(AxisWindow of rows, AxisWindow of columns)` of its outputs.
    """

    node: Node
    rule: WindowRule
    windows: tuple[AxisWindow, AxisWindow]


@dataclasses.dataclass(frozen=True)
class InferencePlan:
    """The steps from an occluded image to the watched tensors.

    Attributes:
        image: number of the image tensor.
        fixed_nodes: nodes that do not depend on the image; run once.
        fixed: numbers of their tensors that are inputs of the other nodes.
        pixelwise: nodes that process each pixel independently; run once on the image and once on
            the baseline.
        sources: numbers of the tensors that an occluder is pasted into.
        steps: the nodes that work on windows, in order.
        whole_nodes: the nodes that work on whole feature maps, in order.
        watched: numbers of the requested tensors.
        shapes: `{tensor number: shape}`.
        operations: number for one position, see `OPERATIONS_PER_VALUE`.
        full_operations: the same if nothing works on windows.
        reason: why whole feature maps are computed, and from which layer on.
    """

    image: int
    fixed_nodes: tuple
    fixed: tuple[int, ...]
    pixelwise: tuple
    sources: tuple[int, ...]
    steps: tuple[WindowStep, ...]
    whole_nodes: tuple
    watched: tuple[int, ...]
    shapes: dict
    operations: int
    full_operations: int
    reason: str

    @property
    def method(self) -> str:
        """`"incremental"`, or `"full"` if nothing works on windows."""
        return "incremental" if self.steps else "full"

    def windows(self) -> dict[int, tuple]:
        """`{tensor number: (AxisWindow of rows, of columns)}` above the sources."""
        return {n: step.windows for step in self.steps for n in step.node.outputs}

    def __str__(self):
        lines = [
            f"{step.node.name:<28} windows of {rows.size}×{columns.size} in "
            + "×".join(map(str, self.shapes[step.node.outputs[0]][1:3]))
            for step in self.steps
            for rows, columns in [step.windows]
        ]
        lines += [f"{node.name:<28} whole" for node in self.whole_nodes]
        share = self.operations / self.full_operations
        return "\n".join(
            [*lines, f"{share:.1%} of the operations of the full method; {self.reason}"]
        )

    def _repr_html_(self):
        return html_text(self)


def make_plan(image, nodes, watched, shapes, occluders, method="auto"):
    """Plans the computation for all positions of an occluder.

    Args:
        image: number of the image tensor.
        nodes: the nodes below the watched tensors, in order.
        watched: numbers of the requested tensors.
        shapes: `{tensor number: shape}`, from `infer_shapes`.
        occluders: the `Occluders`.
        method: `"full"`, whole feature maps everywhere; `"incremental"` or `"auto"`, windows up to
            where whole feature maps are cheaper; `"windows"`, windows as far as there are rules for
            them, whatever that costs.

    Returns:
        An `InferencePlan`.
    """
    changing = tensors_that_depend_on(image, nodes)
    fixed_nodes = [node for node in nodes if not changing.intersection(node.outputs)]
    pixelwise = pixelwise_nodes(image, nodes)
    apart = {node.name for node in (*fixed_nodes, *pixelwise)}
    rest = [node for node in nodes if node.name not in apart]
    needed = {*watched, *(n for node in rest for n in node.inputs)}
    sources = tuple(sorted(needed & ({n for node in pixelwise for n in node.outputs} | {image})))
    fixed = tuple(sorted(needed & {n for node in fixed_nodes for n in node.outputs}))
    planner = _Planner(rest, sources, fixed, watched, shapes, occluders)
    requested = {"full": 0, "windows": len(rest)}
    best = requested[method] if method in requested else planner.best_cut()
    steps, whole_nodes, operations = planner.cut(best)
    return InferencePlan(
        image=image,
        fixed_nodes=tuple(fixed_nodes),
        fixed=fixed,
        pixelwise=pixelwise,
        sources=sources,
        steps=tuple(steps),
        whole_nodes=tuple(whole_nodes),
        watched=tuple(watched),
        shapes=shapes,
        operations=operations,
        full_operations=planner.cut(0)[2],
        reason="requested" if method == "full" else planner.reason(best),
    )


class _Planner:
    """Finds the windows of all nodes, and the cost of each choice of windows or whole maps."""

    def __init__(self, nodes, sources, fixed, watched, shapes, occluders):
        self.nodes, self.sources, self.watched, self.shapes = nodes, sources, watched, shapes
        self.fixed = set(fixed)
        windows = dict.fromkeys(sources, occluder_windows(occluders))
        self.steps, self.refusals, self.step_costs = {}, {}, {}
        self.whole_costs = {node.name: self._whole_cost(node) for node in nodes}
        for node in nodes:
            rule = window_rule(node, shapes, self.fixed)
            if isinstance(rule, str):
                self.refusals[node.name] = f"{node.type_name} has no rule for windows, as {rule}"
            elif all(number in windows for number in self._changing_inputs(node)):
                step = WindowStep(node, rule, self._windows_above(node, rule, windows))
                self.steps[node.name] = step
                self.step_costs[node.name] = self._step_cost(step, windows)
                windows.update(dict.fromkeys(node.outputs, step.windows))

    def _changing_inputs(self, node):
        return [number for number in node.inputs if number not in self.fixed]

    def _windows_above(self, node, rule, windows):
        above = []
        inputs = self._changing_inputs(node)
        for axis in (0, 1):
            below = [windows[n][axis] for n in inputs]
            length = self.shapes[inputs[0]][1 + axis]
            joined = below[0] if len(below) == 1 else union(below, length)
            length_above = self.shapes[node.outputs[0]][1 + axis]
            reads = rule.reads and rule.reads[axis]
            above.append(joined.through(reads, length_above) if reads else joined)
        return tuple(above)

    def _step_cost(self, step, windows):
        node, rule = step.node, step.rule
        num_locations = step.windows[0].size * step.windows[1].size
        num_fetched = 0
        for number in self._changing_inputs(node):
            if rule.reads is not None:
                sizes = [r.num_read(w.size) for r, w in zip(rule.reads, step.windows, strict=True)]
            elif number in self.sources or not same_windows(windows[number], step.windows):
                sizes = [w.size for w in step.windows]
            else:
                continue
            num_fetched += sizes[0] * sizes[1] * self.shapes[number][3]
        return self._cost_of_locations(node, num_locations) + OPERATIONS_PER_VALUE * num_fetched

    def _cost_of_locations(self, node, num_locations):
        num_channels = self.shapes[node.outputs[0]][-1] or 1
        per_location = (
            num_operations_per_location(node, num_channels) + OPERATIONS_PER_VALUE * num_channels
        )
        return per_location * num_locations

    def _whole_cost(self, node):
        num_locations = num_values(self.shapes[node.outputs[0]][:-1])
        return self._cost_of_locations(node, num_locations)

    def best_cut(self):
        """The number of nodes, from the image on, to run on windows for the lowest cost."""
        counts = [self.cut(number)[2] for number in range(len(self.nodes) + 1)]
        return int(np.argmin(counts))

    def cut(self, number):
        """`(window steps, whole nodes, operations)` if the first `number` nodes may use windows."""
        steps, whole_nodes, in_windows = [], [], set(self.sources)
        operations, made_whole = 0, set()
        for position, node in enumerate(self.nodes):
            step = self.steps.get(node.name)
            if position < number and step and in_windows.issuperset(self._changing_inputs(node)):
                steps.append(step)
                in_windows.update(node.outputs)
                operations += self.step_costs[node.name]
            else:
                whole_nodes.append(node)
                made_whole.update(in_windows.intersection(node.inputs))
                operations += self.whole_costs[node.name]
        for tensor in made_whole.union(in_windows.intersection(self.watched)):
            operations += OPERATIONS_PER_VALUE * num_values(self.shapes[tensor])
        return steps, whole_nodes, operations

    def reason(self, number):
        """Why whole feature maps are computed from some node on."""
        steps, whole_nodes, _ = self.cut(number)
        if not whole_nodes:
            return "all on windows"
        first = whole_nodes[0]
        why = self.refusals.get(first.name)
        if why is None:
            why = "windows would cost as much" if steps else "windows would save nothing"
        return f"whole feature maps from {first.name!r} on: {why}"


def num_values(shape):
    """Number of values in a tensor of one image."""
    return int(np.prod([size for size in shape[1:] if size is not None]))


def same_windows(windows, others):
    """Whether two pairs of windows, of rows and columns, are the same locations."""
    return all(window.equals(other) for window, other in zip(windows, others, strict=True))


def occluder_windows(occluders):
    """The `AxisWindow`s of the occluder itself in the image: of rows and of columns."""
    axes = zip((occluders.rows, occluders.columns), occluders.image_size, strict=True)
    return tuple(AxisWindow.around(*intervals.T, length) for intervals, length in axes)
