"""Label Studio itself: the real server on SQLite, on loopback, with its data in the workspace and nothing sent anywhere."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from attrs import evolve

from curation.config import Workspace
from curation.labelstudio.account import Account, find_account, make_account, save_account
from curation.processes import HOST, ServerRecord, find_server, launch_server, stop_server, wait_until
from schemas.errors import ServerError, StorageError

__all__ = ["FRAMES", "NAME", "build_environment", "is_healthy", "plan_banned_subnets", "prepare_database", "start_label_studio"]

NAME = "label-studio"
FRAMES = "frames"
"""Subfolder of the workspace's ``crops`` that annotators see."""

_START_SECONDS = 300.0
_DATABASE = "label_studio.sqlite3"
_RESERVED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "233.252.0.0/24",
    "240.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48",
    "100::/64", "2001:0000::/32", "2001:20::/28", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8",
)  # fmt: skip
"""The private and reserved networks that Label Studio refuses to call (its own default list)."""

_SILENT = {
    "COLLECT_ANALYTICS": "false",
    "FEATURE_FLAGS_OFFLINE": "true",
    "FRONTEND_SENTRY_DSN": "",
    "FRONTEND_SENTRY_RATE": "0",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "SENTRY_RATE": "0",
}
"""Everything in Label Studio that would speak to the internet, switched off."""


def start_label_studio(workspace: Workspace, *, progress: Callable[[str], None] = lambda line: None) -> ServerRecord:
    """Start Label Studio for this workspace, or find it running; wait until it answers and takes our token.

    The first start on a machine builds an empty database (40–60 s) that later workspaces copy. User, password and token are made by
    chance, written with mode 0600, and handed to the server through its environment, which `ps` does not show.

    Raises:
        ServerError: if the port is in use or the server does not come up; nothing is left running then.
        AuthError: if a database from before does not know our token.
    """
    from curation.labelstudio.client import Client

    running = find_server(workspace, NAME)
    if running is not None:
        return running
    port = workspace.config.ports.label_studio
    url = f"http://{HOST}:{port}"
    workspace.folder(f"crops/{FRAMES}")
    account = evolve(find_account(workspace) or make_account(url, workspace.folder("crops")), url=url)
    data = workspace.folder(f"servers/{NAME}")
    from curation.processes import check_port

    check_port(NAME, port)
    prepare_database(data, progress=progress)
    save_account(workspace, account)
    command = [sys.executable, "-m", "label_studio.server", "start", "--no-browser", "--internal-host", HOST, "--port", str(port)]
    record = launch_server(workspace, NAME, command, port=port, env=build_environment(data, account))
    wait_until(workspace, record, lambda: is_healthy(url), seconds=_START_SECONDS, progress=progress)
    try:
        Client(account).check_token()
    except BaseException:
        stop_server(workspace, NAME)
        raise
    return record


def is_healthy(url: str) -> bool:
    """Say whether a Label Studio answers at `url`."""
    import httpx

    try:
        return httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def build_environment(data: Path, account: Account | None = None) -> dict[str, str]:
    """Return the server's whole environment: ours, without any Label Studio setting that the user's shell may hold."""
    foreign = ("LABEL_STUDIO_", "HEARTEX_", "DJANGO_", "FIFTYONE_", "CURATE_")
    plain = {"HOST", "PORT", "DEBUG", "USERNAME", "PASSWORD", "USER_TOKEN", "BASE_DATA_DIR", "DATABASE_NAME", "LOG_LEVEL"}
    ours = {k: v for k, v in os.environ.items() if not k.startswith(foreign) and k not in plain}
    settings = {
        **_SILENT,
        "BASE_DATA_DIR": str(data),
        "DATABASE_NAME": str(data / _DATABASE),
        "DEBUG": "false",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "ENABLE_LEGACY_API_TOKEN": "true",
        "HOST": "",
        "LOG_LEVEL": "WARNING",
        "SSRF_PROTECTION_ENABLED": "true",
        "ML_BLOCK_LOCAL_IP": "true",
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": ",".join(plan_banned_subnets()),
    }
    if account is not None:
        settings |= {
            "LOCAL_FILES_SERVING_ENABLED": "true",
            "LOCAL_FILES_DOCUMENT_ROOT": account.document_root,
            "USERNAME": account.user,
            "PASSWORD": account.password,
            "USER_TOKEN": account.token,
        }
    return ours | {f"LABEL_STUDIO_{name}": value for name, value in settings.items()} | {"PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}


def plan_banned_subnets() -> list[str]:
    """Return the networks that Label Studio may not call: all reserved ones, but for the one address of our ML backend."""
    backend = ipaddress.IPv4Network(f"{HOST}/32")
    out: list[str] = []
    for text in _RESERVED:
        network = ipaddress.ip_network(text)
        if isinstance(network, ipaddress.IPv4Network) and backend.subnet_of(network):
            out += sorted(str(part) for part in network.address_exclude(backend))
        else:
            out.append(text)
    return out


def prepare_database(data: Path, *, progress: Callable[[str], None] = lambda line: None) -> None:
    """Give a workspace without a Label Studio database a copy of the empty, migrated one; build that once per version.

    Raises:
        ServerError: if Label Studio cannot build it.
        StorageError: if the disk is full.
    """
    target = data / _DATABASE
    if target.exists():
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate"
    template = cache / f"label-studio-{version('label-studio')}.sqlite3"
    if not template.exists():
        _build_template(template, progress)
    try:
        with tempfile.TemporaryDirectory(dir=data) as folder:
            os.replace(shutil.copyfile(template, Path(folder) / _DATABASE), target)
    except OSError as error:
        raise StorageError(target, error.strerror or str(error)) from error


def _build_template(template: Path, progress: Callable[[str], None]) -> None:
    progress("label-studio: building its database, once per machine and version (about a minute) …")
    template.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=template.parent) as folder:
        command = [sys.executable, "-m", "label_studio.server", "version"]
        done = subprocess.run(command, env=build_environment(Path(folder)), cwd=folder, capture_output=True, text=True, check=False)
        built = Path(folder) / _DATABASE
        if done.returncode or not built.exists():
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise ServerError(NAME, str(template), f"could not build its database: {lines[-1] if lines else done.returncode}")
        os.replace(built, template)
