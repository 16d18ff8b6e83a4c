"""Sizes of files, as people write them: in powers of 1000."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_TEXT = r"(\d+(?:\.\d+)?)\s*([kKMGT]?B)"


def parse_size(value: object) -> object:
    """Bytes, of a text such as 500MB or of a whole number; anything else is returned as it is.

    Raises:
        ValueError: if a text is no size.
    """
    match value:
        case float() if value.is_integer():
            return int(value)
        case str() if match := re.fullmatch(_TEXT, value.strip()):
            return round(float(match[1]) * UNITS[match[2].upper()])
        case str():
            raise ValueError(f"must be bytes, or a number with a unit such as 500MB, 2GB or 1TB, but got {value!r}.")
        case _:
            return value


def size_text(num_bytes: float) -> str:
    """In the largest unit of which there is one, to three digits."""
    unit = next((unit for unit in reversed(UNITS) if num_bytes >= UNITS[unit]), "B")
    return f"{num_bytes / UNITS[unit]:.3g} {unit}"


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(gt=0),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{_TEXT}$"}]}),
]
"""Bytes, which a file may write with a unit."""
