"""Pages as a browser shows them, once their scripts have run."""

import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium")
LONGEST_S = 300


def looked_at(url: str, picture: Path, *, wait_ms: int = 30_000, size: str = "1600,1000") -> str:
    """What stands on a page, as HTML; a picture of it is left at `picture`."""
    assert CHROMIUM is not None, "a browser is needed: apt-get install chromium"
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={picture.parent / 'browser'}", f"--window-size={size}"]
    command += ["--hide-scrollbars", f"--virtual-time-budget={wait_ms}"]
    for how in (f"--screenshot={picture}", "--dump-dom"):
        done = subprocess.run([*command, how, url], capture_output=True, text=True, check=True, timeout=LONGEST_S)
    return done.stdout
