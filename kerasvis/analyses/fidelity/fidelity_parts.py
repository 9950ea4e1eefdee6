"""The parts of a fidelity report, one per check and method, so that an interrupted run resumes."""

import re
from collections.abc import Callable
from typing import Any

from kerasvis.analyses.fidelity.chosen_units import ChosenUnits
from kerasvis.analyses.fidelity.unit_maps import RectifiedProjection
from kerasvis.deconvnet.rule_table import rule_names
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.reading import nodes_up_to
from kerasvis.storage.fingerprints import digest


def computed_from(units: ChosenUnits) -> dict[str, Any]:
    """Everything that the parts depend on besides check, settings and method.

    The user's functions and rules are identified by their names alone.

    Args:
        units: the `ChosenUnits`. Layers of the model above their layer do not count.
    """
    nodes = nodes_up_to(units.model, [units.layer])
    return {
        "model": model_fingerprint(nodes),
        "names of layers": [node.name for node in nodes],  # which seed the random weights
        "images": units.images,
        "layer": units.layer,
        "features": units.features,
        "positions": units.positions,
        "rules": rule_names(units.rules),
    }


def part_name(check: str, name: str, method: Callable) -> str:
    """The file name of the part for a check and a method, which the user calls `name`."""
    short_digest = digest([name, stable_name(method)])[:8]
    return f"{check}-{re.sub(r'[^0-9A-Za-z_]+', '_', name)}-{short_digest}.npz"


def stable_name(method: Callable) -> str:
    """A name that identifies a method in another process as well."""
    if isinstance(method, RectifiedProjection):
        return method.rectification
    return getattr(method, "__qualname__", type(method).__qualname__)
