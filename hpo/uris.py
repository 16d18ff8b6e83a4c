"""Addresses of stores: they name secrets, and hold none."""

import os
import re
from urllib.parse import quote

from hpo.errors import UriError

_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)(?=@)")
_SETTING = re.compile(r"(?i)(?<=[?&])((?:password|passwd|pwd|token|secret|api_?key)=)([^&\s'\")]+)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
MASK = "***"


def masked(text: str) -> str:
    """`text`, every password in an address replaced by three stars."""
    return _SETTING.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1:{MASK}", text))


def holds_password(uri: str) -> bool:
    """Whether a password stands in `uri` itself; one that `${NAME}` stands for does not."""
    named = _VARIABLE.sub("", uri)
    return masked(named) != named


def filled_in(uri: str) -> str:
    """`uri` with the environment's values for each `${NAME}`, to connect with and to show nobody.

    Values are percent-encoded, as parts of an address must be, unless the address is nothing else.

    Raises:
        UriError: if a variable is not set.
    """
    is_all = _VARIABLE.fullmatch(uri) is not None
    return _VARIABLE.sub(lambda found: _value(found[1], uri) if is_all else quote(_value(found[1], uri), safe=""), uri)


def _value(name: str, uri: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UriError(f"{uri}: the environment must set {name}, but does not. Export it, or write another uri.")
    return value
