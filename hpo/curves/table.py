"""Learning curves that were measured: a table with a row for each trial."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpo.config import Config
from hpo.errors import DataError
from hpo.records import Curve, Params, ParamValue
from hpo.spaces.values import shown
from hpo.training.data.npz import read_npz

EPOCH = "epoch_"
"""Begins the names of a `.csv` file's columns of values."""
SECONDS = "seconds"
EXACT = 1e-9
"""Share of a param's range within which two numbers are the same: a file's decimals are rounded."""

_Numbers = NDArray[np.float64]


class Table(Config):
    """Curves of the metric, from a `.csv` or `.npz` file; values that are not finite mean that a trial diverged.

    A `.csv` has a column for each param, by name, and `epoch_1`, `epoch_2`, ... for the values. A `.npz` has `names`
    [d], `params` [n, d] (numbers or text) and `curves` [n, epochs]. Either may say in `seconds` how long a row's
    epochs take.
    """

    kind: Literal["table"] = "table"
    path: Annotated[Path, Field(strict=False)]
    """The file."""
    lookup: Literal["nearest", "exact"] = "nearest"
    """nearest: the row least away, by the distances over each param's range; exact: a row must have the very params."""
    log: tuple[str, ...] = ()
    """Params whose distance is that of their logarithms."""

    def load(self, metric: str) -> "TableCurves":
        """Read the file; its values are of `metric`.

        Raises:
            DataError: if it is missing, or is no such table.
        """
        rows = _read_csv(self.path) if self.path.suffix == ".csv" else _read_npz(self.path)
        columns = {name: _as_column(rows.params[:, k]) for k, name in enumerate(rows.names)}
        for name in self.log:
            values = columns.get(name)
            if values is None or values.dtype.kind != "f" or values.min() <= 0:
                raise DataError(f"{self.path}: log may name params above 0, but got {name}. Take it out of log.")
        return TableCurves(self, metric, columns, rows)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table as it was read."""

    names: Sequence[str]
    params: NDArray[np.str_]
    """[n, d], as text."""
    curves: _Numbers
    """[n, epochs]."""
    seconds: _Numbers | None
    """[n], of one epoch."""


class TableCurves:
    """The curves of one table."""

    def __init__(self, table: Table, metric: str, columns: dict[str, NDArray[Any]], rows: Rows) -> None:
        self.names = tuple(rows.names)
        self.num_epochs = rows.curves.shape[1]
        self._table = table
        self._metric = metric
        self._columns = columns
        self._rows = rows

    def curve(self, params: Params) -> Curve:
        """See `Curves.curve`."""
        distances = np.sum([self._distances(name, params[name]) ** 2 for name in self.names], axis=0)
        row = int(np.argmin(distances))
        if not np.isfinite(distances[row]):
            raise DataError(f"{self._table.path}: params in `log` must be above 0, but got {dict(params)}.")
        if self._table.lookup == "exact" and distances[row] > EXACT**2:
            raise DataError(
                f"{self._table.path}: lookup: exact needs a row of these params, but there is none: {dict(params)}. "
                "Search only what is in the table, or use lookup: nearest."
            )
        seconds = {} if self._rows.seconds is None else {SECONDS: float(self._rows.seconds[row])}
        return [{self._metric: float(value), **seconds} for value in self._rows.curves[row]]

    def _distances(self, name: str, value: ParamValue) -> _Numbers:
        """Of `value` from each row, over the range of the param; of words, 0 to the same and 1 to others."""
        column = self._columns[name]
        if column.dtype.kind != "f":
            return np.asarray(column != shown(value), dtype=np.float64)
        numbers = np.array([*column, value], dtype=np.float64)
        places = np.log(numbers) if name in self._table.log else numbers
        width = np.ptp(places[:-1]) or 1.0
        distances: _Numbers = np.abs(places[:-1] - places[-1]) / width
        return distances


def _read_csv(path: Path) -> Rows:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header, *lines = reader
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Check the path.") from None
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DataError(f"{path}: must be a .csv table with a line of names, but {error}.") from error
    misfits = [number for number, line in enumerate(lines, start=2) if len(line) != len(header)]
    if misfits:
        raise DataError(f"{path}:{misfits[0]}: a line must have {len(header)} values, as the first has. Mend it.")
    cells = np.array(lines, dtype=np.str_).reshape(len(lines), len(header))
    is_epoch = np.array([name.startswith(EPOCH) for name in header])
    is_param = ~is_epoch & (np.array(header) != SECONDS)
    seconds = cells[:, header.index(SECONDS)] if SECONDS in header else None
    return _checked(path, np.array(header)[is_param].tolist(), cells[:, is_param], cells[:, is_epoch], seconds)


def _read_npz(path: Path) -> Rows:
    arrays = read_npz(path)
    missing = {"names", "params", "curves"} - arrays.keys()
    if missing:
        raise DataError(f"{path}: must hold names, params and curves, but has no {', '.join(sorted(missing))}. Add it.")
    return _checked(path, arrays["names"].tolist(), arrays["params"], arrays["curves"], arrays.get(SECONDS))


def _checked(
    path: Path, names: list[str], params: NDArray[Any], curves: NDArray[Any], seconds: NDArray[Any] | None
) -> Rows:
    if params.ndim != 2 or curves.ndim != 2 or params.shape != (len(curves), len(names)) or 0 in curves.shape:
        raise DataError(
            f"{path}: {len(names)} names, params [n, {len(names)}] and curves [n, epochs] must belong together, but "
            f"params are {list(params.shape)} and curves {list(curves.shape)}."
        )
    if seconds is not None and seconds.shape != curves.shape[:1]:
        raise DataError(f"{path}: seconds must be one for each of {len(curves)} rows, but are {list(seconds.shape)}.")
    return Rows(
        names=names,
        params=params.astype(np.str_),
        curves=_as_numbers(path, curves),
        seconds=None if seconds is None else _as_numbers(path, seconds),
    )


def _as_numbers(path: Path, values: NDArray[Any]) -> _Numbers:
    """Numbers; an empty cell is one that is missing, as after a trial has diverged."""
    try:
        return np.where(values == "", "nan", values).astype(np.float64) if values.dtype.kind == "U" else values * 1.0
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: values and seconds must be numbers, but {error}.") from error


def _as_column(cells: NDArray[np.str_]) -> NDArray[Any]:
    """Numbers, where all cells are; text otherwise."""
    try:
        numbers = cells.astype(np.float64)
    except ValueError:
        return cells
    return numbers if np.isfinite(numbers).all() else cells
