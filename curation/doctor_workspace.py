"""The doctor's checks of a workspace."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from curation.config import Workspace
from curation.doctor import Finding, Repair
from curation.doctor_machine import judge_space, name_some
from schemas.errors import AuthError, CurationError, ServerError, StorageError

if TYPE_CHECKING:
    from curation.processes import ServerRecord

__all__ = ["check_catalogue", "check_disk", "check_files", "check_leftovers", "check_ports", "check_servers", "check_taxonomy"]

_STALE_SECONDS = 600.0


def check_disk(workspace: Workspace) -> list[Finding]:
    """Room for the workspace."""
    return [judge_space(workspace.root)]


def check_catalogue(workspace: Workspace) -> list[Finding]:
    """The catalogue: there, whole, of this schema."""
    from curation.store import Catalogue
    from curation.store.health import inspect_catalogue

    def bring_up(what: str) -> Repair:
        return Repair(what=what, run=lambda tell: Catalogue.open(workspace.catalogue_url).close())

    if (
        workspace.catalogue_url.startswith("sqlite:///")
        and not (workspace.root / "catalogue.db").exists()
        and not workspace.config.catalogue
    ):
        return [_judge_missing_catalogue(workspace, bring_up("making an empty catalogue"))]
    try:
        health = inspect_catalogue(workspace.catalogue_url)
    except CurationError as error:
        return [
            Finding(
                area="catalogue", status="fail", found=str(error), advice="nothing can be done in this workspace until it opens"
            )
        ]
    if health.is_old or health.revision is None:
        found = f"{health.where} has schema {health.revision or 'none'}"
        advice = "any command that writes would bring it to the newest first"
        return [Finding(area="catalogue", status="warn", found=found, advice=advice, repair=bring_up("migrating the catalogue"))]
    if health.problems:
        advice = "put back a copy; do not go on writing to it"
        return [Finding(area="catalogue", status="fail", found=f"damaged: {'; '.join(health.problems)}", advice=advice)]
    counts = ", ".join(f"{health.rows[name]} {name}" for name in ("clips", "tubelets", "annotations", "verdicts"))
    return [Finding(area="catalogue", status="ok", found=f"whole: {counts}")]


def check_taxonomy(workspace: Workspace) -> list[Finding]:
    """The vocabulary that curate.toml names."""
    try:
        taxonomy = workspace.taxonomy
    except CurationError as error:
        advice = "put the file back, or name another one as `taxonomy` in curate.toml"
        return [Finding(area="taxonomy", status="fail", found=str(error), advice=advice)]
    axes = ", ".join(f"{axis.id} ({len(axis.values)})" for axis in taxonomy.axes)
    return [Finding(area="taxonomy", status="ok", found=f"{taxonomy.id}, version {taxonomy.version}: {axes}")]


def check_files(workspace: Workspace) -> list[Finding]:
    """The arrays and the media that the catalogue speaks of."""
    from curation.store import ArrayStore, Catalogue
    from curation.store.health import is_current

    try:
        if not is_current(workspace.catalogue_url):
            return []  # opening would migrate it
        with Catalogue.open(workspace.catalogue_url, create=False) as catalogue:
            clips = catalogue.list_clips()
            wanted = {track.clip_id for track in catalogue.list_tracks()}
        arrays = ArrayStore(workspace.folder("arrays"))
        lost = sorted(clip_id for clip_id in wanted if not arrays.has_tracks(clip_id))
    except CurationError:
        return []  # the catalogue's own finding says why
    findings = []
    if lost:
        advice = "their boxes and poses are gone; put back a copy of arrays/"
        findings.append(Finding(area="arrays", status="fail", found=f"missing for {name_some(lost)}", advice=advice))
    else:
        findings.append(Finding(area="arrays", status="ok", found=f"boxes and poses of {len(wanted)} clips"))
    gone = [clip.uri for clip in clips if "://" not in clip.uri and not Path(clip.uri).exists()]
    if gone:
        advice = "crops and frames cannot be cut from them; put them back where they were"
        findings.append(Finding(area="media", status="warn", found=f"not there: {name_some(gone)}", advice=advice))
    else:
        findings.append(Finding(area="media", status="ok", found=f"all {len(clips)} files are there"))
    return findings


def check_leftovers(workspace: Workspace) -> list[Finding]:
    """Temporary files of writes that were cut off."""
    stale = _find_stale(workspace.root)
    if not stale:
        return [Finding(area="leftovers", status="ok", found="no half-written files")]
    names = name_some([str(path.relative_to(workspace.root)) for path in stale])
    repair = Repair(what=f"removing {len(stale)} half-written files", run=lambda tell: _remove(stale))
    advice = "from writes that were cut off; nothing reads them"
    return [Finding(area="leftovers", status="warn", found=names, advice=advice, repair=repair)]


def check_ports(workspace: Workspace) -> list[Finding]:
    """Each server's port: free, or held by our own server."""
    from curation.processes import check_port

    ours = {record.port: record.name for record in _list_running(workspace)}
    findings = []
    free = []
    for name, port in workspace.config.ports.model_dump().items():
        if port in ours:
            findings.append(Finding(area="ports", status="ok", found=f"{port}: our {ours[port]} runs there"))
            continue
        try:
            check_port(name, port)
            free.append(f"{port} ({name.replace('_', '-')})")
        except ServerError as error:
            reason, _, advice = error.reason.partition("; ")
            findings.append(Finding(area="ports", status="fail", found=f"{name.replace('_', '-')}: {reason}", advice=advice))
    if free:
        findings.append(Finding(area="ports", status="ok", found=f"free: {', '.join(free)}"))
    return findings


def check_servers(workspace: Workspace) -> list[Finding]:
    """Records of servers that are gone, and the token at Label Studio."""
    findings = []
    records = [path for path in sorted((workspace.root / "servers").glob("*.json")) if not path.name.endswith(".account.json")]
    running = {record.name for record in _list_running(workspace)}
    stale = [path for path in records if path.stem not in running]
    if stale:
        repair = Repair(what="forgetting servers that are gone", run=lambda tell: _remove(stale))
        found = f"recorded as running, but gone: {', '.join(path.stem for path in stale)}"
        advice = "they were killed or the machine was restarted; `curate up` starts them again"
        findings.append(Finding(area="servers", status="warn", found=found, advice=advice, repair=repair))
    return [*findings, _check_token(workspace, is_up="label-studio" in running)]


def _judge_missing_catalogue(workspace: Workspace, repair: Repair) -> Finding:
    arrays = workspace.root / "arrays"
    if arrays.is_dir() and any(arrays.glob("*.parquet")):
        advice = "labels and verdicts were in it; put back a copy of catalogue.db"
        return Finding(area="catalogue", status="fail", found="gone, though there are arrays", advice=advice)
    return Finding(
        area="catalogue", status="warn", found="none yet", advice="the first command that writes makes it", repair=repair
    )


def _check_token(workspace: Workspace, *, is_up: bool) -> Finding:
    from curation.labelstudio.account import find_account, load_account
    from curation.labelstudio.client import Client

    try:
        if find_account(workspace) is None:
            return Finding(area="token", status="ok", found="none yet; the first `curate up` makes one for Label Studio")
        if not is_up:
            return Finding(area="token", status="ok", found="there; it can be tried while Label Studio runs (`curate up`)")
        Client(load_account(workspace)).check_token()
    except AuthError as error:
        advice = "`label push` and `label pull` cannot work; unset CURATE_LABEL_STUDIO_TOKEN, or run `curate down` and `curate up`"
        return Finding(area="token", status="fail", found=str(error), advice=advice)
    except CurationError as error:
        return Finding(area="token", status="fail", found=str(error), advice="run `curate down` and `curate up`")
    return Finding(area="token", status="ok", found="Label Studio takes it")


def _list_running(workspace: Workspace) -> list[ServerRecord]:
    from curation.processes import find_server

    names = (path.stem for path in sorted((workspace.root / "servers").glob("*.json")))
    return [record for name in names if (record := find_server(workspace, name)) is not None]


def _find_stale(root: Path) -> list[Path]:
    now = time.time()
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            if name.startswith(".") and name.removesuffix("-wal").removesuffix("-shm").endswith(".tmp"):
                try:
                    if now - path.stat().st_mtime > _STALE_SECONDS:
                        found.append(path)
                except OSError:
                    continue
    return sorted(found)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(path, error.strerror or str(error)) from error
