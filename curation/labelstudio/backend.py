"""The ML backend of one workspace: proposals from the catalogue by task key, models for any other picture in the workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curation.config import Workspace
from curation.labelstudio.account import find_account

__all__ = ["make_lookup", "serve_backend"]


def make_lookup(workspace: Workspace) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    """Return a function from a Label Studio task to the newest proposals for its window; None for a window that is not here."""

    def lookup(task: Mapping[str, Any]) -> dict[str, Any] | None:
        from curation.labelstudio.push import collect_proposals
        from curation.labelstudio.tasks import build_task, load_tracks, plan_tasks
        from curation.store import ArrayStore, Catalogue

        data = task.get("data")
        key = data.get("key") if isinstance(data, Mapping) else None
        with Catalogue.open(workspace.catalogue_url) as catalogue:
            plan = next((plan for plan in plan_tasks(workspace, catalogue) if plan.key == key), None)
            if plan is None:
                return None
            tracks = load_tracks(ArrayStore(workspace.folder("arrays")), plan, {})
            found = build_task(workspace, plan, tracks, collect_proposals(workspace, catalogue), str(workspace.root / "crops"))
        return dict(found["predictions"][0])

    return lookup


def serve_backend(workspace: Workspace, port: int) -> None:
    """Serve the ML backend on loopback until SIGTERM or Ctrl-C.

    Raises:
        ServerError: if the port is in use.
    """
    import uvicorn

    from backends.server.app import create_app
    from curation.processes import HOST, check_port

    check_port("backend", port)
    account = find_account(workspace)
    root = Path(account.document_root) if account else workspace.folder("crops")
    app = create_app(lookup=make_lookup(workspace), media_root=root)
    uvicorn.run(app, host=HOST, port=port, log_level="warning", access_log=False)
