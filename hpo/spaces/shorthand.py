"""How a sweep file writes a domain: `loguniform(1e-4, 1)`, or long, `{distribution: loguniform, min: 1e-4, max: 1}`."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from hpo.config import Config
from hpo.errors import SpaceError
from hpo.spaces.domain import Domain
from hpo.spaces.spelling import did_you_mean
from hpo.spaces.values import shown
from hpo.spaces.yaml_tree import read_yaml

_ARGUMENTS = {
    "uniform": ("min", "max"),
    "loguniform": ("min", "max"),
    "quniform": ("min", "max", "q"),
    "qloguniform": ("min", "max", "q"),
    "randint": ("min", "max"),
    "lograndint": ("min", "max"),
    "qrandint": ("min", "max", "q"),
    "choice": (),
    "ordinal": (),
    "constant": ("value",),
}
SHORT_FORM = rf"^\s*({'|'.join(_ARGUMENTS)})\s*\((.*)\)\s*$"
"""What the short form of a domain matches."""


def lengthen(written: object) -> object:
    """The long form of a short one; anything else as it is.

    Raises:
        SpaceError: if it is neither.
    """
    if isinstance(written, Mapping | Config):
        return written
    if isinstance(written, list):
        raise SpaceError(
            "a path has one domain, but got a list. Search the widest of them, and bind it by "
            "constraints where it should be narrower, such as optimizer.kind == sgd or optimizer.lr <= 1e-2."
        )
    match = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", str(written), re.DOTALL)
    if match is None:
        is_cut = re.fullmatch(r"\s*\w+\s*\([^)]*", str(written)) is not None
        advice = " Within braces it needs quotes, for a comma there ends a value." if is_cut else ""
        message = f"a domain is written like loguniform(1e-4, 1) or choice(32, 64), but got {shown(written)}.{advice}"
        raise SpaceError(message)
    name, arguments = match[1], read_yaml(f"[{match[2]}]")
    if name not in _ARGUMENTS:
        known = ", ".join(_ARGUMENTS)
        raise SpaceError(f"must be one of {known}, but got {name}.{did_you_mean(name, _ARGUMENTS)}")
    if arguments.problems or not isinstance(arguments.value, list):
        raise SpaceError(f"the values of a domain are separated by commas, as in choice(32, 64), but got {written}.")
    if not _ARGUMENTS[name]:
        return {"distribution": name, "values": arguments.value}
    fields = _ARGUMENTS[name]
    if len(arguments.value) != len(fields):
        raise SpaceError(f"{name} is written {name}({', '.join(fields)}), but got {written}.")
    return {"distribution": name} | dict(zip(fields, arguments.value, strict=True))


WrittenDomain = Annotated[Domain, Field(discriminator="distribution"), BeforeValidator(lengthen)]
"""A domain, in either form."""
