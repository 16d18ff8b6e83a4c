"""What a sweep file does not wait for."""

import subprocess
import sys


def test_samplers_are_named_without_waiting_for_scipy() -> None:
    code = "import sys, hpo.search.samplers; print([name for name in sys.modules if name.partition('.')[0] == 'scipy'])"

    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert said == "[]\n"
