import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(ROOT.glob("hpo/**/*.py"))


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_code_is_ascii_but_for_the_tree_of_errors() -> None:
    names = [str(path.relative_to(ROOT)) for path in SOURCES if not path.read_bytes().isascii()]

    assert names == ["hpo/errors.py"]


def test_nothing_committed_names_a_path_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    one_machine = re.compile(rb"/(?:home|root|work|Users)/\w|/tmp/\w")

    files = [ROOT / name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]

    found = [str(path) for path in files if one_machine.search(path.read_bytes())]

    assert found == []
