"""Guesses at what was meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question that names the closest of `known`, with a leading space; empty when none is close.

    Of dotted paths, one that ends in `word` counts as closest: `lr` means `optimizer.lr`, and `optimizer` its kind.
    """
    names = sorted(known)
    related = [name for name in names if name.endswith(f".{word}") or name == f"{word}.kind"]
    closest = related or difflib.get_close_matches(word, names, n=1)
    return f" Did you mean `{closest[0]}`?" if closest else ""
