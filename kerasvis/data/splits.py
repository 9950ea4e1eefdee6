"""Which folders are the splits of a data set, and which its classes."""

import collections
import re
from collections.abc import Collection, Mapping, Sequence

TRAINING = "training"
VALIDATION_ROLES = ("validation", "evaluation", "holdout", "test")  # the first that is there counts
_WORDS = {
    TRAINING: "train|training|trn",
    "validation": "val|valid|validate|validating|validation|dev|development",
    "evaluation": "eval|evaluate|evaluating|evaluation",
    "holdout": "holdout|heldout",
    "test": "test|testing|tests|tst",
}
_FILLERS = "(?:sets?|subset|data|dataset|images?|imgs?|photos?|pictures?|split|folder|files|seg)*"
_PATTERNS = {
    role: re.compile(f"{_FILLERS}(?:{words}){_FILLERS}(?:(?:19|20)[0-9]{{2}})?")
    for role, words in _WORDS.items()
}


def role_of(name: str) -> str | None:
    """What a folder of this name is for: `TRAINING`, one of `VALIDATION_ROLES`, or None.

    Case, hyphens, underscores and spaces do not matter, nor words as in `training_set`,
    `Test images` or `val2017`.

    Example:
        >>> role_of("Training-Set"), role_of("test tube")
        ('training', None)
    """
    letters = re.sub(r"[-_.\s]+", "", name.casefold())
    return next((role for role, words in _PATTERNS.items() if words.fullmatch(letters)), None)


def find_splits(is_nested: Mapping[str, bool]) -> dict[str, str]:
    """Which of the folders of a data set are splits.

    Folders may be called like splits and be classes: where folders of other names stand beside
    them, they are splits only if there are several, and one of them holds folders.

    Args:
        is_nested: `{folder: whether it holds folders of photographs}`, of all that hold any.

    Returns:
        `{folder: its role}`; empty if all are classes.
    """
    splits = {name: role for name in is_nested if (role := role_of(name))}
    has_others = len(splits) < len(is_nested)
    if has_others and (len(splits) == 1 or not any(is_nested[name] for name in splits)):
        return {}
    return splits


def validation_split(names: Collection[str]) -> str | None:
    """The one of some splits that is for validation: `test` only where there is no other."""
    ranked = [
        (VALIDATION_ROLES.index(role), role != name, name)
        for name in names
        if (role := role_of(name)) in VALIDATION_ROLES
    ]
    return min(ranked)[2] if ranked else None


def repeats_split(name: str, inside: Collection[str]) -> bool:
    """Whether a split holds only itself again, as in `training_set/training_set/<class>`."""
    return len(inside) == 1 and role_of(next(iter(inside))) == role_of(name)


def without_splits(folders: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The folders in which photographs lie, without those that are splits.

    Args:
        folders: for each photograph the names of its folders, from the outermost.

    Example:
        >>> without_splits([("Training", "cat"), ("Testing", "dog")])
        [('cat',), ('dog',)]
    """
    inside = collections.defaultdict(set)
    for names in folders:
        inside[names[:1]].add(names[1:])
    inside.pop((), None)
    splits = find_splits({name: inner != {()} for (name,), inner in inside.items()})
    depths = {(name,): 1 + _is_repeated(name, inside[name,]) for name in splits}
    return [names[depths.get(names[:1], 0) :] for names in folders]


def _is_repeated(name, inside):
    """Whether the folders inside a split are those of `training_set/training_set/<class>`."""
    names = {folders[0] for folders in inside if folders}
    return repeats_split(name, names) and all(len(folders) > 1 for folders in inside)
