"""How what a command writes on a cluster is told from what Ray writes: its log holds both, on one stream."""

from typing import NamedTuple

OUT, ERR = "hpo| ", "hpo! "


class Line(NamedTuple):
    """Of a job's log."""

    mark: str | None
    """`OUT` or `ERR`, by the stream that a command wrote it to; none: Ray wrote it, or a process that it has begun."""
    text: str


def read_line(written: str) -> Line:
    """A line as it stands in the log."""
    mark = next((mark for mark in (OUT, ERR) if written.startswith(mark)), None)
    return Line(mark, written.removeprefix(mark or ""))
