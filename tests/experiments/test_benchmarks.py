"""The benchmarks run; their figures mean nothing here."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.mark.slow
def test_the_benchmark_of_lanes_writes_the_table_that_it_prints(tmp_path: Path) -> None:
    table = tmp_path / "lanes.md"
    nets = ("MLP 64-128-10", "ResNet-8 (a user's)")
    command = [sys.executable, str(BENCHMARKS / "lanes.py"), "--quick", "--nets", *nets, "--batch-sizes", "32"]

    done = subprocess.run([*command, "--out", str(table)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    rows = [line for line in table.read_text().splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| net", *(f"| {net}" for net in nets)]
    assert "2 lanes" in rows[0]
    assert "MLP" in done.stdout
