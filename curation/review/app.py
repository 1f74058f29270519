"""FiftyOne's app on one workspace: ``python -m curation.review.app --workspace DIR --port P``. Runs until SIGTERM or Ctrl-C.

Its ``/media`` address serves to anyone who reaches the port: only copies (`curation.review.confine`), and on 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

from attrs import frozen

from curation.config import Workspace, open_workspace
from curation.review.confine import ConfineMedia
from curation.review.looks import FIRST_VIEW, WORKSPACE
from curation.review.order import AnswerInOrder
from curation.review.page import HastenPage
from schemas.errors import CurationError, ServerError

__all__ = ["ADDRESS", "Built", "StayLocal", "build_review", "check_port", "find_page", "hash_root", "is_running", "main", "run_app"]

ADDRESS = "127.0.0.1"
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"
"""Nothing in the page may come from, or go to, another host: FiftyOne asks for fonts on the internet; the page shows children."""

WORKSPACE_HEADER = "x-curate-workspace"

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class Built:
    """A review that has been built: name of the dataset, how many labels it shows, and {clip id: reason} for those left out."""

    name: str
    n_samples: int
    problems: dict[str, str]


class StayLocal:
    """ASGI middleware: tells the browser to load nothing from, and send nothing to, any other host; says whose app it is."""

    def __init__(self, app: Callable[..., Awaitable[None]], workspace: str) -> None:
        self.app = app
        self.headers = [(b"content-security-policy", POLICY.encode()), (WORKSPACE_HEADER.encode(), workspace.encode())]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Pass the request on, and add the header to the response."""

        async def send_with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self.headers]}
            await send(message)

        await self.app(scope, receive, send_with_policy)


def check_port(port: int) -> None:
    """Check that nothing listens on a loopback port.

    Raises:
        ServerError: if something does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise ServerError("FiftyOne", f"http://{ADDRESS}:{port}", f"the port is in use ({error.strerror})") from error


def find_page(name: str, port: int) -> str:
    """Return the address of a dataset's page: the most suspect label first, with the review's panel beside."""
    return f"http://{ADDRESS}:{port}/datasets/{quote(name)}?view={FIRST_VIEW}&workspace={WORKSPACE}"


def is_running(workspace: Workspace, port: int) -> bool:
    """Say whether this workspace's app answers on a port.

    Raises:
        ServerError: if something else listens there.
    """
    import httpx

    url = f"http://{ADDRESS}:{port}"
    try:
        root = httpx.get(f"{url}/fiftyone", timeout=10).headers.get(WORKSPACE_HEADER)
    except httpx.ConnectError:
        return False
    except httpx.HTTPError:
        root = None
    if root != hash_root(workspace):
        raise ServerError("FiftyOne", url, "the port is in use by something else; choose another with --port or in curate.toml")
    return True


def hash_root(workspace: Workspace) -> str:
    """Return what an app says of whose it is: not the path itself."""
    return hashlib.sha256(str(workspace.root).encode()).hexdigest()[:16]


def build_review(workspace: Workspace, axis: str | None = None) -> Built:
    """Build the review of an axis from the catalogue; see `curation.review.dataset.build_dataset`."""
    from curation.review.dataset import build_dataset
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue:
        dataset = build_dataset(workspace, catalogue, ArrayStore(workspace.folder("arrays")), axis=axis)
    return Built(name=str(dataset.name), n_samples=len(dataset), problems=dict(dataset.info["curate"]["problems"]))


def run_app(workspace: Workspace, port: int, *, axis: str | None = None, browser: bool = False, built: str | None = None) -> None:
    """Serve FiftyOne's app until SIGTERM or Ctrl-C; a review that is missing is built first, one that is there gets all verdicts.

    Args:
        workspace: whose labels are reviewed.
        port: on 127.0.0.1.
        axis: which labels; by default those of the taxonomy's first axis.
        browser: open the page in a browser.
        built: name of the review's dataset, where it has been built just now.

    Raises:
        ServerError: if the port is in use, or MongoDB does not start.
        WorkspaceError: if the catalogue cannot be read.
    """
    check_port(port)
    name = _find_review(workspace, axis, built)
    os.environ["FIFTYONE_SERVER"] = "1"
    import fiftyone.server
    from fiftyone.server.app import app, schema
    from fiftyone.server.main import start_server
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from strawberry.extensions import ParserCache, ValidationCache

    schema.extensions = [*schema.extensions, partial(ParserCache, 100), partial(ValidationCache, 100)]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"])
    app.add_middleware(StayLocal, workspace=hash_root(workspace))
    app.add_middleware(ConfineMedia, folder=workspace.root / "crops")
    app.add_middleware(AnswerInOrder)
    app.add_middleware(HastenPage, assets=Path(fiftyone.server.__file__).parent / "static" / "assets")
    page = find_page(name, port)
    _log.info("review at %s", page)
    if browser:
        webbrowser.open(page)
    start_server(port=port, address=ADDRESS)


def _find_review(workspace: Workspace, axis: str | None, built: str | None) -> str:
    """Return the review's name, up to date; what the first visitor would wait for is loaded by then."""
    from curation.review.dataset import find_dataset
    from curation.review.decide import read_link, sync_verdicts
    from curation.review.environment import prepare_fiftyone
    from curation.store import Catalogue

    prepare_fiftyone(workspace)
    from fiftyone import load_dataset
    from fiftyone.operators.registry import OperatorRegistry

    dataset = find_dataset(workspace, axis) if built is None else load_dataset(built)
    if dataset is None or not len(dataset):
        dataset = load_dataset(build_review(workspace, axis).name)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        sync_verdicts(dataset, catalogue, read_link(dataset).axis.id)
    OperatorRegistry().list_operators()
    return str(dataset.name)


def main(arguments: list[str] | None = None) -> int:
    """Run the app; return 0 when it is stopped, 1 with one line on stderr if it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m curation.review.app", description=__doc__)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--port", type=int, help="default: the workspace's")
    parser.add_argument("--axis")
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    signal.signal(signal.SIGTERM, _leave)
    try:
        workspace = open_workspace(options.workspace)
        port = options.port or workspace.config.ports.fiftyone
        run_app(workspace, port, axis=options.axis, browser=not options.no_browser)
    except CurationError as error:
        sys.stderr.write(f"curate: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        pass
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
