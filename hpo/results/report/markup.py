"""HTML from text that may hold anything; well-formed, so that it can be read as XML, too."""

import re
from collections.abc import Iterable, Sequence
from html import escape

VOID = {"meta", "wbr"}
"""Elements without an end tag."""


class Markup(str):
    """HTML: it is not escaped again."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Markup:
    """An element; text in it is escaped. `class_` is written `class`."""
    given = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """One after the other."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child, quote=False) for child in children))


def foldable(text: str) -> Markup:
    """A name that may be folded after each of its parts."""
    return Markup(re.sub(r"([_.](?=[a-z]))", rf"\1{element('wbr')}", escape(text, quote=False)))


def table(rows: Iterable[Sequence[str]], header: Sequence[str], class_: str = "") -> Markup:
    """The first cell of every row is its name."""
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in header)))
    lines = (
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))
        for first, *cells in rows
    )
    return element("div", element("table", head, element("tbody", *lines), class_=class_), class_="wide")
