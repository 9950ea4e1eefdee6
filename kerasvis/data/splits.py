"""Tells a data set's split folders from its class folders."""

import collections
import re
from collections.abc import Collection, Mapping, Sequence

TRAINING = "training"
VALIDATION_ROLES = ("validation", "evaluation", "holdout", "test")  # in order of preference
_WORDS = {
    TRAINING: "train|training|trn|trainval|trainvalid|trainvalidation|traindev",
    "validation": "val|valid|validate|validating|validation|minival|dev|development",
    "evaluation": "eval|evaluate|evaluating|evaluation",
    "holdout": "holdout|heldout",
    "test": "test|testing|tests|tst",
}
_FILLERS = (
    "(?:sets?|subset|data|dataset|images?|imgs?|photos?|pictures?|split|folder|files|seg|public|"
    "private|final)*"
)
_BETWEEN_WORDS = re.compile(r"[-_.\s]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PATTERNS = {
    role: re.compile(f"{_FILLERS}(?:{words}){_FILLERS}(?:(?:19|20)[0-9]{{2}})?")
    for role, words in _WORDS.items()
}


def role_of(name: str) -> str | None:
    """The role of a folder by its name: `TRAINING`, one of `VALIDATION_ROLES`, or None.

    Case, hyphens, underscores and spaces do not matter, nor additions as in `training_set`,
    `Test images` or `val2017`.

    Example:
        >>> from kerasvis.data.splits import role_of
        >>> role_of("Training-Set"), role_of("test tube")
        ('training', None)
    """
    letters = re.sub(r"[-_.\s]+", "", name.casefold())
    return next((role for role, words in _PATTERNS.items() if words.fullmatch(letters)), None)


def roles_of(names: Collection[str]) -> dict[str, str]:
    """The roles of the names that are splits, among all names of a data set.

    These are the names that `role_of` recognises, and names that differ only in such a word, if one
    of them is for training: `cars_train` and `cars_test`.
    """
    alike: dict[tuple, dict[str, str]] = collections.defaultdict(dict)
    for name in names:
        words = [word.casefold() for word in _BETWEEN_WORDS.split(name)]
        for place, word in enumerate(words):
            if role := role_of(word):
                alike[*words[:place], None, *words[place + 1 :]][name] = role
    splits: dict[str, str] = {}
    for roles in alike.values():
        if TRAINING in roles.values() and len(set(roles.values())) > 1:
            splits |= roles
    return splits | {name: role for name in names if (role := role_of(name))}


def find_splits(is_nested: Mapping[str, bool]) -> dict[str, str]:
    """Finds the folders of a data set that are splits.

    Classes may have names of splits. If there are folders with other names, folders count as splits
    only if there are several, and one of them contains folders.

    Args:
        is_nested: `{folder: whether it contains folders of photographs}`, for all with photographs.

    Returns:
        `{folder: its role}`; empty if all are classes.
    """
    splits = roles_of(is_nested)
    has_others = len(splits) < len(is_nested)
    if has_others and (len(splits) == 1 or not any(is_nested[name] for name in splits)):
        return {}
    return splits


def validation_split(splits: Mapping[str, str]) -> str | None:
    """The split for validation among `{split: its role}`: `test` only if there is no other."""
    ranked = [
        (VALIDATION_ROLES.index(role), role != name, name)
        for name, role in splits.items()
        if role in VALIDATION_ROLES
    ]
    return min(ranked)[2] if ranked else None


def repeats_split(name: str, inside: Collection[str]) -> bool:
    """Whether a split contains only itself again, as in `training_set/training_set/<class>`."""
    if len(inside) != 1:
        return False
    (inner,) = inside
    return inner == name or role_of(inner) == role_of(name) is not None


def without_splits(folders: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The folders of photographs, without those that are splits.

    Args:
        folders: for each photograph the names of its folders, starting with the outermost.

    Example:
        >>> from kerasvis.data.splits import without_splits
        >>> without_splits([("Training", "cat"), ("Testing", "dog")])
        [('cat',), ('dog',)]
    """
    inside = collections.defaultdict(set)
    for names in folders:
        inside[names[:1]].add(names[1:])
    inside.pop((), None)
    splits = find_splits({name: inner != {()} for (name,), inner in inside.items()})
    depths: dict[tuple[str, ...], int] = {
        (name,): 1 + _is_repeated(name, inside[name,]) for name in splits
    }
    return [names[depths.get(names[:1], 0) :] for names in folders]


def _is_repeated(name, inside):
    """Whether the folders inside a split are like `training_set/training_set/<class>`."""
    names = {folders[0] for folders in inside if folders}
    return repeats_split(name, names) and all(len(folders) > 1 for folders in inside)
