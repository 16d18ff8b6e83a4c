"""Servers of the tests' own: PostgreSQL, the wire to it, and an S3-compatible store."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
LONGEST_START_S = 30.0
SERVED = range(20_000, 32_000)
"""Ports for servers of tests."""


@dataclass(frozen=True)
class Postgres:
    """A cluster in a folder, which listens on a port of this machine."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return self.url_of()

    def url_of(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Of one of its databases, perhaps through another port."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def create(self, database: str) -> None:
        """One more database."""
        _as_postgres("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", database)

    def start(self) -> None:
        settings = f"-p {self.port} -k {self.folder} -c fsync=off -c shared_buffers=16MB"
        self._pg_ctl("start", "-o", settings, "-l", str(self.folder / "log"))

    def kill(self) -> None:
        """As a crash would; nothing is flushed."""
        self._pg_ctl("stop", "-m", "immediate")

    def _pg_ctl(self, *arguments: str) -> None:
        _as_postgres("pg_ctl", "-w", "-D", str(self.folder / "data"), *arguments)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Started; the test is skipped where PostgreSQL is not installed."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="hpo-postgres-") as name:
        folder = Path(name)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        _as_postgres("initdb", "-A", "trust", "-U", "postgres", "-N", "-D", str(folder / "data"))
        server = Postgres(folder, free_port())
        server.start()
        try:
            yield server
        finally:
            server.kill()


class Wire:
    """To a server on this machine; it breaks every so many commits, before or after it has passed one on."""

    def __init__(self, port: int, *, is_late: bool) -> None:
        self.every = sys.maxsize
        self._server_port = port
        self._is_late = is_late
        self._num_commits = 0
        self.num_breaks = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self._num_commits += b"COMMIT" in data
                is_broken = b"COMMIT" in data and self._num_commits % self.every == 0
                if is_broken:
                    self.num_breaks += 1
                    client.shutdown(socket.SHUT_RDWR)
                if not is_broken or self._is_late:
                    server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with closing(server), closing(client):
            while data := server.recv(65536):
                with suppress(OSError):
                    client.sendall(data)


@contextmanager
def s3(*buckets: str, host: str = "127.0.0.1") -> Iterator[Mapping[str, str]]:
    """An S3-compatible server with some buckets, and the environment with which clients find it."""
    address = f"http://{host}:{free_port()}"
    command = [sys.executable, "-m", "moto.server", "--host", host, "--port", address.rpartition(":")[2]]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for bucket in buckets:
            _make_bucket(f"{address}/{bucket}")
        yield {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret"}
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """One that nobody takes by chance meanwhile: the system gives higher ones away, and Ray its workers lower ones."""
    while True:
        port = SERVED.start + secrets.randbelow(len(SERVED))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _as_postgres(program: str, *arguments: str) -> None:
    """PostgreSQL refuses to run as root."""
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    command = [*user, str(BINARIES[-1] / program), *arguments]
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
    assert done.returncode == 0, done.stderr


def _make_bucket(address: str) -> None:
    started_s = time.monotonic()
    while True:
        try:
            urlopen(Request(address, method="PUT"), timeout=5).close()
        except URLError:
            assert time.monotonic() - started_s < LONGEST_START_S, "the S3 server does not start"
            time.sleep(0.05)
        else:
            return
