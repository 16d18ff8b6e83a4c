"""What of a folder is sent, and what is not."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from hpo.cluster.package import packed
from hpo.errors import ClusterError

MANY = 10_000_000


def write(folder: Path, *names: str, size: int = 3) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)


def sent(folder: Path, exclude: Sequence[str] = ()) -> set[str]:
    with packed(folder, exclude, MANY) as package:
        return set(package.sizes)


def test_what_is_made_anew_what_sweeps_leave_and_what_holds_secrets_is_not_sent(tmp_path: Path) -> None:
    write(tmp_path, "sweep.yaml", "nets/__init__.py", "nets/runs/kept.py", ".hidden.yaml")
    write(tmp_path, ".env", "venv/bin/python", ".git/HEAD", "nets/__pycache__/a.pyc", ".ruff_cache/a", "mlflow.db-wal")
    write(tmp_path, "runs/one/study.db", "mlruns/a", "last.ckpt")

    assert sent(tmp_path) == {"sweep.yaml", "nets/__init__.py", "nets/runs/kept.py", ".hidden.yaml"}


def test_gitignore_rayignore_and_the_sweep_file_leave_out_more(tmp_path: Path) -> None:
    write(tmp_path, "sweep.yaml", "a.npz", "b.npz", "b.keep.npz", "notes/c.txt", "d.log")
    (tmp_path / ".gitignore").write_text("*.npz\n!b.keep.npz\n")
    (tmp_path / ".rayignore").write_text("notes/\n")

    assert sent(tmp_path, ["*.log"]) == {"sweep.yaml", "b.keep.npz", ".gitignore", ".rayignore"}


def test_too_much_is_refused_and_the_largest_files_are_named(tmp_path: Path) -> None:
    for number in range(7):
        write(tmp_path, f"file{number}", size=1000 * (number + 1))

    with pytest.raises(ClusterError) as refused, packed(tmp_path, (), 10_000):
        pass

    said = str(refused.value)
    assert "at most 10 KB are sent, but it holds 28 KB" in said
    assert "The largest: file6 (7 KB), file5 (6 KB), file4 (5 KB), file3 (4 KB), file2 (3 KB)." in said
    assert "cluster.max_upload" in said


def test_a_sweep_file_that_is_left_out_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "sweep.yaml")

    with (
        packed(tmp_path, ["*.yaml"], MANY) as package,
        pytest.raises(ClusterError, match="must be sent with the sweep"),
    ):
        package.check_holds(Path("sweep.yaml"))
