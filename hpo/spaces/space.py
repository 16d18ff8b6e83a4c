"""The search space: which fields of the recipe are searched, and where."""

import json
from collections.abc import Mapping

from pydantic import TypeAdapter

from hpo.config import JsonTree
from hpo.spaces.shorthand import WrittenDomain

Space = Mapping[str, WrittenDomain]
"""Dotted recipe path, or effective coordinate, -> domain."""

_ADAPTER: TypeAdapter[Space] = TypeAdapter(Space)


def parse_space(tree: JsonTree) -> Space:
    """The space that a tree of short and long forms describes.

    Raises:
        pydantic.ValidationError: if a domain is wrong; a `ValueError` that names every path.
    """
    return _ADAPTER.validate_json(json.dumps(tree))
