"""The rules of one deconvnet: the user's, in front of the built-in ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from kerasvis.deconvnet.built_in_rules import RELAXED_RULES, RULE_SETS
from kerasvis.deconvnet.derivative import Derivative
from kerasvis.deconvnet.rectification import RECTIFICATIONS


def standardize_rules(rules: Any, named: Mapping[str, tuple] = RULE_SETS) -> tuple:
    """The user's rules as pairs `(key, rule)`.

    Args:
        rules: pairs, the name of a set of them (`"relaxed"`), or both in one list; None for none.
        named: `{name: pairs}`.

    Raises:
        ValueError: if there is no set of that name, or a rule is not a pair `(key, rule)`.
    """
    found: list[tuple] = []
    is_sequence = isinstance(rules, Sequence) and not isinstance(rules, str)
    for rule in rules if is_sequence else () if rules is None else (rules,):
        if isinstance(rule, str) and rule in named:
            found += named[rule]
        elif isinstance(rule, str):
            raise ValueError(
                f"There are no rules of this name: give {', '.join(map(repr, named))}, or pairs "
                f"(key, rule). Received: rules={rule!r}"
            )
        else:
            check_rule(rule)
            found.append(tuple(rule))
    return tuple(found)


def rule_names(rules: Any) -> list[str]:
    """What identifies rules in another process: the names of keys and rules, in order."""
    return [
        part if isinstance(part, str) else getattr(part, "__qualname__", type(part).__qualname__)
        for pair in standardize_rules(rules)
        for part in pair
    ]


class RuleTable(NamedTuple):
    """By what rules mirrors are found.

    Attributes:
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        own: the user's pairs, which come first.
        rest: the rule for what no other rule matches, or None to refuse it.
    """

    rectification: str
    own: tuple[tuple, ...]
    rest: Callable | None

    @property
    def derives(self) -> bool:
        """Whether layers pass their derivative rather than what the deconvnet does in its place."""
        return self.rectification != "deconvnet"


def rule_table(rectification: str, rules: str | Sequence[tuple] = ()) -> RuleTable:
    """The rules for one rectification, with the user's `rules` in front.

    Args:
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        rules: what `standardize_rules` takes.

    Raises:
        ValueError: if the rectification is unknown, or the rules are.
    """
    if rectification not in RECTIFICATIONS:
        raise ValueError(
            f"Give one of {', '.join(map(repr, RECTIFICATIONS))}. Received: "
            f"rectification={rectification!r}"
        )
    is_deconvnet = rectification == "deconvnet"
    pairs = [x for x in standardize_rules(rules) if is_deconvnet or x not in RELAXED_RULES]
    rest = [rule for key, rule in pairs if key is keras.Operation]
    own = tuple(pair for pair in pairs if pair[0] is not keras.Operation)
    return RuleTable(rectification, own, rest[0] if rest else None if is_deconvnet else Derivative)


def check_rule(pair):
    is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not is_pair or not callable(pair[1]):
        raise ValueError(
            "Give rules as pairs (key, rule), where the key is a layer type or an activation "
            "function, and rule(layer, signal, record) returns the projected signal. Received: "
            f"rules=[..., {pair!r}, ...]"
        )
