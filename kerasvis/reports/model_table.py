"""A table of a model's layers, with a drawing of the graph next to it.

The graph is drawn in lanes, like the history of a version control system: a layer is a dot in its
row and occupies its lane down to the last layer that needs it.
"""

from typing import NamedTuple

from kerasvis.graph import read_graph
from kerasvis.graph.receptive_fields import as_receptive_field, receptive_spans
from kerasvis.graph.shapes import infer_shapes


class ModelRow(NamedTuple):
    """One call of a layer.

    Attributes:
        name: name of the layer.
        type_name: name of its type.
        shape: shape of its first output, without the batch axis.
        num_parameters: number of parameters; 0 if the layer was called before.
        receptive_field: its `ReceptiveField`; None if it does not depend on the image.
        sources: rows of its inputs.
        lane: lane of its dot, from 0.
    """

    name: str
    type_name: str
    shape: tuple
    num_parameters: int
    receptive_field: object
    sources: tuple[int, ...]
    lane: int


def model_table(model, image_size):
    """The rows of a model, the image first.

    Args:
        model: a functional or Sequential `keras.Model` with one input of images.
        image_size: `(height, width)` in pixels.

    Returns:
        Tuple of `ModelRow`.
    """
    graph = read_graph(model)
    shapes = infer_shapes(graph, graph.nodes, model, image_size)
    spans = receptive_spans(graph.inputs[0], graph.nodes, shapes)
    made_in = dict.fromkeys(graph.inputs, 0)
    made_in |= {n: row for row, node in enumerate(graph.nodes, 1) for n in node.outputs}
    sources = [(), *(tuple({made_in[n]: None for n in node.inputs}) for node in graph.nodes)]
    all_lanes = lanes(sources)
    (image,) = graph.inputs
    rows = [ModelRow("image", "Input", shapes[image][1:], 0, None, (), all_lanes[0])]
    seen = set()
    for row, node in enumerate(graph.nodes, 1):
        output = node.outputs[0]
        field = spans.get(output)
        is_new = id(node.layer) not in seen and hasattr(node.layer, "count_params")
        seen.add(id(node.layer))
        rows.append(
            ModelRow(
                node.name,
                node.type_name,
                shapes[output][1:],
                node.layer.count_params() if is_new else 0,
                field and as_receptive_field(field, image_size),
                sources[row],
                all_lanes[row],
            )
        )
    return tuple(rows)


def lanes(sources):
    """The lane of every row, such that no dot lies on a lane that is still in use.

    Args:
        sources: for every row, the earlier rows that are its inputs.

    Returns:
        List of numbers from 0; if possible, a row takes over the lane of one of its inputs.

    Example:
        >>> from kerasvis.reports.model_table import lanes
        >>> lanes([(), (0,), (0,), (1, 2)])
        [0, 1, 0, 0]
    """
    needed_until = list(range(len(sources)))
    for row, earlier in enumerate(sources):
        for source in earlier:
            needed_until[source] = row
    taken, found = {}, []  # lane → the row that occupies it
    for row, earlier in enumerate(sources):
        free = {lane for lane, holder in taken.items() if needed_until[holder] <= row}
        own = [found[source] for source in earlier if found[source] in free]
        new = next(n for n in range(len(taken) + 1) if n in free or n not in taken)
        found.append(min(own) if own else new)
        taken[found[-1]] = row
    return found


def edges(rows):
    """`(source row, row)` of every connection, in order."""
    return [(source, row) for row, entry in enumerate(rows) for source in entry.sources]
