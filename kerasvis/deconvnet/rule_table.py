"""The rules of one deconvnet that precede the built-in ones."""

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
    """The names of keys and rules, in order, which identify rules across processes."""
    return [
        part if isinstance(part, str) else getattr(part, "__qualname__", type(part).__qualname__)
        for pair in standardize_rules(rules)
        for part in pair
    ]


class RuleTable(NamedTuple):
    """The rules by which the mirrors of a deconvnet are found.

    Attributes:
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        users: the user's pairs `(key, rule)`, which precede the built-in rules.
        fallback: the rule for calls that no other rule matches, or None to raise an error.
    """

    rectification: str
    users: tuple[tuple, ...]
    fallback: Callable | None

    @property
    def derives(self) -> bool:
        """Whether mirrors use derivatives wherever the deconvnet departs from them."""
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
    users = tuple(pair for pair in pairs if pair[0] is not keras.Operation)
    fallbacks = [rule for key, rule in pairs if key is keras.Operation]
    fallbacks.append(None if is_deconvnet else Derivative)
    return RuleTable(rectification, users, fallbacks[0])


def check_rule(pair):
    """Raises a ValueError unless it is a pair `(key, rule)`."""
    is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not is_pair or not callable(pair[1]):
        raise ValueError(
            "Give rules as pairs (key, rule), where the key is a layer type or an activation "
            "function, and rule(layer, signal, record) returns the projected signal. Received: "
            f"rules=[..., {pair!r}, ...]"
        )
