"""Finalists as they are left with a sweep: who asks for them later needs no data."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hpo.errors import HpoError
from hpo.paths import written_beside
from hpo.results.finalists import Finalist


def write_finals(path: Path, finalists: Sequence[Finalist]) -> None:
    """Leave them with the sweep."""
    with written_beside(path) as beside:
        text = json.dumps([asdict(each) for each in finalists], indent=2, allow_nan=False)
        beside.write_text(text + "\n", encoding="utf-8")


def read_finals(path: Path, judged: Sequence[Finalist]) -> Sequence[Finalist]:
    """What was left there, if it is of the same repetitions; else what they were judged by their seeds alone.

    Raises:
        HpoError: if the file is damaged.
    """
    if not path.exists():
        return judged
    try:
        left = TypeAdapter(list[Finalist]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise HpoError(f"{path}: must be finalists as hpo leaves them, but are not. Delete it.\n{error}") from error
    return left if _values(left) == _values(judged) else judged


def _values(finalists: Sequence[Finalist]) -> list[tuple[int, tuple[float | None, ...]]]:
    return [(each.trial_id, each.values) for each in finalists]
