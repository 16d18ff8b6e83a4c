"""What of a folder is sent to a cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from ray._private.runtime_env.packaging import create_package

from hpo.errors import ClusterError
from hpo.sizes import size_text

EXCLUDED = (
    *(".git", ".venv", "venv", "__pycache__", ".env", ".*_cache", ".ipynb_checkpoints", "node_modules"),
    *("/runs", "/mlruns", "mlflow.db*", "*.ckpt"),
)
"""Never sent, in the words of a `.gitignore`: what is made anew, what sweeps leave, and what holds secrets."""
NUM_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Package:
    """A folder as it is sent."""

    archive: Path
    sizes: dict[str, int]
    """In bytes, by path in the folder."""

    @property
    def num_bytes(self) -> int:
        """Of all files; they are not compressed."""
        return sum(self.sizes.values())

    def check_holds(self, file: Path) -> None:
        """See that a file of the folder is sent, by its path there.

        Raises:
            ClusterError: if it is not.
        """
        if file.as_posix() not in self.sizes:
            raise ClusterError(
                f"{file}: must be sent with the sweep, but .gitignore, .rayignore, cluster.exclude or hpo leaves it "
                "out. Move it, or change that."
            )


@contextmanager
def packed(folder: Path, exclude: Sequence[str], max_bytes: int) -> Iterator[Package]:
    """What is sent of a folder, as an archive that is gone afterwards; `.gitignore` and `.rayignore` are followed.

    Raises:
        ClusterError: if it is more than `max_bytes`.
    """
    quiet = getLogger(f"{__name__}.ray")
    quiet.disabled = True  # it speaks of each large file: we do, where it matters
    with TemporaryDirectory() as scratch:
        archive = Path(scratch) / "code.zip"
        excluded = [*EXCLUDED, *exclude]
        create_package(str(folder), archive, include_gitignore=True, excludes=excluded, logger=quiet)
        with ZipFile(archive) as opened:
            sizes = {entry.filename: entry.file_size for entry in opened.infolist() if not entry.is_dir()}
        package = Package(archive=archive, sizes=sizes)
        if package.num_bytes > max_bytes:
            largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:NUM_NAMED]
            named = ", ".join(f"{name} ({size_text(sizes[name])})" for name in largest)
            raise ClusterError(
                f"{folder}: at most {size_text(max_bytes)} are sent, but it holds {size_text(package.num_bytes)}. "
                f"The largest: {named}. List what is not needed in .gitignore or cluster.exclude, put data where the "
                "cluster can read them, or raise cluster.max_upload."
            )
        yield package
