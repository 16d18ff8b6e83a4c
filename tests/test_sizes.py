from pathlib import Path

import pytest

from hpo.sizes import parse_size, size_text
from hpo.sweep import dump_resolved, load_sweep
from tests.sweep.test_mistakes import SWEEP, find_mistakes


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("12B", 12),
        ("500MB", 500_000_000),
        ("1.5 kB", 1500),
        ("2GB", 2_000_000_000),
        ("1TB", 10**12),
        (123, 123),
        (2e9, 2_000_000_000),
    ],
)
def test_units_are_powers_of_1000(text: object, num_bytes: int) -> None:
    assert parse_size(text) == num_bytes


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2.5e8, "250 MB"), (3e15, "3e+03 TB")]
)
def test_a_size_is_told_in_the_largest_unit_of_which_there_is_one(num_bytes: float, text: str) -> None:
    assert size_text(num_bytes) == text


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("2GiB", "must be bytes, or a number with a unit such as 500MB, 2GB or 1TB, but got '2GiB'."),
        ("-1GB", "must be bytes, or a number with a unit such as 500MB, 2GB or 1TB, but got '-1GB'."),
        ("0", "must be above 0, but got 0. Raise it."),
        ("0MB", 'must be above 0, but got "0MB". Raise it.'),
        ("1.5", "must be a whole number, but got 1.5."),
        ("yes please", "must be bytes, or a number with a unit"),
    ],
)
def test_a_quota_that_is_no_size_is_refused(tmp_path: Path, keep: str, message: str) -> None:
    told = find_mistakes(tmp_path, f"{SWEEP}storage: {{keep: {keep}}}\n")

    assert f"storage.keep: {message}" in told


def test_a_quota_is_written_down_in_bytes_and_read_again(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(f"{SWEEP}storage: {{keep: 2GB}}\n")
    sweep = load_sweep(tmp_path / "sweep.yaml")
    (tmp_path / "resolved.yaml").write_text(dump_resolved(sweep))

    assert "keep: 2000000000" in dump_resolved(sweep)
    assert load_sweep(tmp_path / "resolved.yaml").storage.keep == 2_000_000_000
