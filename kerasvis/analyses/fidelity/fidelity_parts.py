"""The parts of a fidelity report, one for each check of each method: an interrupted run resumes."""

import re
from collections.abc import Callable
from typing import Any

from kerasvis.analyses.fidelity.chosen_units import ChosenUnits
from kerasvis.analyses.fidelity.unit_maps import RectifiedProjection
from kerasvis.deconvnet.rules import rule_names
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.nodes import nodes_up_to
from kerasvis.storage.fingerprints import digest


def computed_from(units: ChosenUnits) -> dict[str, Any]:
    """All that the parts depend on besides check, settings and method.

    A function of the user's, or a rule, is known by its name alone.

    Args:
        units: the `ChosenUnits`; of their model the layers up to them count.
    """
    nodes = nodes_up_to(units.model, [units.layer])
    return {
        "model": model_fingerprint(nodes),
        "names of layers": [node.name for node in nodes],  # by which random weights are drawn
        "images": units.images,
        "layer": units.layer,
        "features": units.features,
        "positions": units.positions,
        "rules": rule_names(units.rules),
    }


def part_name(check: str, name: str, method: Callable) -> str:
    """The name of the part of a check and of a method, which has a name of its own, too."""
    known = digest([name, known_name(method)])[:8]
    return f"{check}-{re.sub(r'[^0-9A-Za-z_]+', '_', name)}-{known}.npz"


def known_name(method: Callable) -> str:
    """By what a method is known again in another process."""
    if isinstance(method, RectifiedProjection):
        return method.rectification
    return getattr(method, "__qualname__", type(method).__qualname__)
