"""Programs as real processes: none outlives whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpo.programs import process
from hpo.programs.process import Output, ended_by, running

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
FAMILY = """
import os, signal, subprocess, sys, time
child = "import time; time.sleep(600)"
known = [os.getpid(), subprocess.Popen([sys.executable, "-c", child]).pid]
known.append(subprocess.Popen([sys.executable, "-c", child], start_new_session=True).pid)
print(*known, flush=True)
"""


def output(folder: Path) -> Output:
    return Output.begun(folder, "title")


def run_to_its_end(words: list[str], folder: Path) -> tuple[int, Output]:
    said = output(folder)
    with running(words, folder, os.environ, said) as wait:
        code = wait(PATIENCE_S)
    assert code is not None
    return code, said


def until_gone(pids: list[int]) -> list[int]:
    """Those that are still there after a long time."""
    give_up_s = time.monotonic() + PATIENCE_S
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < give_up_s:
        time.sleep(0.05)
    return left


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids_in(file: Path) -> list[int]:
    """What the family says of itself, as soon as it does."""
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        lines = file.read_text().splitlines() if file.exists() else []
        if lines and len(lines[-1].split()) == 3:
            return [int(word) for word in lines[-1].split()]
        time.sleep(0.05)
    raise TimeoutError(file)


def test_a_program_tells_its_exit_code_and_what_it_has_printed(tmp_path: Path) -> None:
    code, said = run_to_its_end(["sh", "-c", "echo out; echo err >&2; exit 7"], tmp_path)

    assert code == 7
    assert said.stdout.read_text() == "title\nout\n"
    assert said.tail() == "err"


def test_a_signal_is_told_by_its_name(tmp_path: Path) -> None:
    code, _ = run_to_its_end(["sh", "-c", "kill -SEGV $$"], tmp_path)

    assert ended_by(code) == "signal SIGSEGV"
    assert ended_by(3) == "exit code 3"


def test_a_program_that_is_not_there_ends_as_in_a_shell(tmp_path: Path) -> None:
    code, said = run_to_its_end(["no_such_program"], tmp_path)

    assert code == 127
    assert "No such file" in said.tail()


def test_whom_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    code, said = run_to_its_end([sys.executable, "-c", FAMILY], tmp_path)

    assert code == 0
    assert until_gone(pids_in(said.stdout)) == []


def test_a_program_that_will_not_end_is_killed_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    said = output(tmp_path)
    stubborn = f"{FAMILY}signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(*known, flush=True)\ntime.sleep(600)"

    with running([sys.executable, "-c", stubborn], tmp_path, os.environ, said):
        pids = pids_in(said.stdout)

    assert until_gone(pids) == []


def test_a_program_ends_with_whoever_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    starter = (
        "import os, sys, time; from pathlib import Path; from hpo.programs.process import Output, running\n"
        f"with running([sys.executable, '-c', {FAMILY + 'time.sleep(600)'!r}], Path(), os.environ,"
        " Output.begun(Path(), 'title')): time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, "-c", starter], cwd=tmp_path, env=environment)
    pids = pids_in(tmp_path / "stdout.log")

    were_alive = [is_alive(pid) for pid in pids]
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()

    assert were_alive == [True, True, True]
    assert until_gone(pids) == []


def test_the_guard_is_no_child_of_the_worker_which_ray_would_kill(tmp_path: Path) -> None:
    said = output(tmp_path)

    with running([sys.executable, "-c", FAMILY + "time.sleep(600)"], tmp_path, os.environ, said):
        program, _, _ = pids_in(said.stdout)
        guard = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
        of_guard = int(Path(f"/proc/{guard}/stat").read_text().rpartition(")")[2].split()[1])

    assert of_guard != os.getpid()


def test_what_a_program_prints_is_cut_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_BYTES", 100)
    said = output(tmp_path)
    said.stdout.write_text("".join(f"{number:09d}\n" for number in range(20)))

    said.trim()

    assert said.stdout.read_text().split() == [f"{number:09d}" for number in range(15, 20)]
