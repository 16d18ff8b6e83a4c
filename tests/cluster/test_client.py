"""Doors of clusters that do not open."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hpo.cluster.client import connect
from hpo.errors import ClusterError


@contextmanager
def server(certificate: Path | None = None) -> Iterator[str]:
    """That knows nothing of Ray; `certificate` holds its key, too."""
    listening = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Signed by itself."""
    key, signed, both = (tmp_path / name for name in ("key", "signed", "both"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", signed], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + signed.read_bytes())
    return both


def test_a_certificate_that_nobody_knows_is_told_as_one(certificate: Path) -> None:
    with server(certificate) as address, pytest.raises(ClusterError) as refused:
        connect(f"https://{address}")

    assert "its certificate must be signed by someone known here, but is not" in str(refused.value)
    assert str(refused.value).endswith("Name the file of certificates in REQUESTS_CA_BUNDLE.")


def test_a_door_that_speaks_no_tls_is_told_as_one() -> None:
    with server() as address, pytest.raises(ClusterError) as refused:
        connect(f"https://{address}")

    assert "must speak TLS, but does not" in str(refused.value)
    assert f"Is it http://{address}?" in str(refused.value)


def test_a_server_that_is_no_dashboard_is_told_as_one() -> None:
    with server() as address, pytest.raises(ClusterError, match="must do as a Ray dashboard does, but"):
        connect(f"http://{address}")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ClusterError, match=r"ray://head:10001: the address must be that of the cluster's dashboard"):
        connect("ray://head:10001")
