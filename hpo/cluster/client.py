"""The door of a cluster: its dashboard, which takes jobs."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from hpo.errors import ClusterError
from hpo.uris import masked

Client = JobSubmissionClient
RAY_ADDRESS = "RAY_API_SERVER_ADDRESS"
"""Ray's, which to Ray would win over any address."""
HEADERS, CERTIFICATES = "RAY_JOB_HEADERS", "REQUESTS_CA_BUNDLE"
"""Ray's variable for headers of every request, as JSON; and that of its HTTP library for trusted certificates."""
TOKEN = "Export RAY_AUTH_MODE=token, and the cluster's token as RAY_AUTH_TOKEN or its file as RAY_AUTH_TOKEN_PATH."


def connect(address: str) -> Client:
    """A client of the cluster whose dashboard is at `address`.

    Raises:
        ClusterError: if nobody answers there, somebody else does, or they do not let us in.
    """
    if find_spec("aiohttp") is None:
        raise ClusterError(
            "a cluster is spoken to through Ray's client, which is not installed: pip install hpo[cluster]"
        )
    url = address if "://" in address else f"http://{address}"
    if not url.startswith(("http://", "https://")):
        raise ClusterError(
            f"{masked(address)}: the address must be that of the cluster's dashboard, as http://head:8265. Change it."
        )
    for name in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
    with told(url), _only_address(url):
        return Client(url, headers=_headers(), verify=os.environ.get(CERTIFICATES) or True)


@contextmanager
def told(address: str) -> Iterator[None]:
    """Errors of Ray's client become ours.

    Raises:
        ClusterError: instead of them.
    """
    where = masked(address)
    try:
        yield
    except AuthenticationError as error:
        problem = str(error).partition("\n")[0].rstrip(".")
        raise ClusterError(f"{where}: the cluster must know who asks, but: {problem}. {TOKEN}") from error
    except OSError as error:  # those of HTTP libraries, too
        raise ClusterError(f"{where}: {_unanswered(error, where)}") from error
    except (RuntimeError, ValueError, KeyError) as error:
        raise ClusterError(f"{where}: must do as a Ray dashboard does, but: {error}") from error


def _unanswered(error: OSError, where: str) -> str:
    """What is wrong, and what to do."""
    why = str(error.__context__)
    if getattr(error, "response", None) is not None:
        return f"must do as a Ray dashboard does, but: {error}. Is the address that of another server?"
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return (
            f"its certificate must be signed by someone known here, but is not ({why}). "
            f"Name the file of certificates in {CERTIFICATES}."
        )
    if type(error.__context__).__name__ == "SSLError":
        return f"must speak TLS, but does not ({why}). Is it {where.replace('https:', 'http:', 1)}?"
    return (
        f"the cluster's dashboard must answer, but does not ({error}). Is it up? Its port is 8265; "
        "through SSH: ssh -L 8265:localhost:8265 HEAD, then http://localhost:8265."
    )


@contextmanager
def _only_address(url: str) -> Iterator[None]:
    """Ray takes the address from the environment, whatever it is told."""
    before = os.environ.get(RAY_ADDRESS)
    os.environ[RAY_ADDRESS] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[RAY_ADDRESS]
        else:
            os.environ[RAY_ADDRESS] = before


def _headers() -> dict[str, str]:
    try:
        headers = json.loads(os.environ.get(HEADERS, "{}"))
    except ValueError:
        headers = None
    if not isinstance(headers, dict):
        raise ClusterError(f"{HEADERS}: must be a JSON mapping of headers, but is something else. Change it.")
    return headers
