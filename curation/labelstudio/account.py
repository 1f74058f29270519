"""Who we are at Label Studio: address, user, password and token, in a file of the workspace that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path

from attrs import asdict, frozen

from curation.config import Workspace
from schemas.errors import FormatError, ServerError

__all__ = ["Account", "find_account", "load_account", "make_account", "save_account"]

USER = "annotator@curate.local"


@frozen(kw_only=True, repr=False)
class Account:
    """`document_root` is the folder whose subfolders the server may show to annotators. Not shown by repr: it holds secrets."""

    url: str
    user: str
    password: str
    token: str
    document_root: str


def make_account(url: str, document_root: Path) -> Account:
    """Return a new account with a password and a token of its own."""
    return Account(
        url=url, user=USER, password=secrets.token_urlsafe(12), token=secrets.token_hex(20), document_root=str(document_root)
    )


def save_account(workspace: Workspace, account: Account) -> None:
    """Write the account for the workspace's owner only (mode 0600), whole or not at all."""
    path = _path(workspace)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(asdict(account), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def find_account(workspace: Workspace) -> Account | None:
    """Return the workspace's account, or None where there is none yet.

    Raises:
        FormatError: if the file is damaged.
    """
    path = _path(workspace)
    try:
        fields = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FormatError(path, "file", "JSON") from error
    try:
        return Account(**{name: str(value) for name, value in fields.items()})
    except (TypeError, AttributeError) as error:
        raise FormatError(path, "file", "url, user, password, token and document_root") from error


def load_account(workspace: Workspace) -> Account:
    """Return the account to use; CURATE_LABEL_STUDIO_TOKEN replaces its token.

    Raises:
        ServerError: if Label Studio was never started for this workspace.
    """
    account = find_account(workspace)
    if account is None:
        url = f"http://127.0.0.1:{workspace.config.ports.label_studio}"
        raise ServerError("label-studio", url, "was never started for this workspace; run `curate up`")
    token = os.environ.get("CURATE_LABEL_STUDIO_TOKEN")
    return account if token is None else Account(**{**asdict(account), "token": token})


def _path(workspace: Workspace) -> Path:
    return workspace.folder("servers") / "label-studio.account.json"
