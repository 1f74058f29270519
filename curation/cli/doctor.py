"""`curate doctor`: what is wrong, what it means, what to do."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import Any

import click

from curation.cli.common import emit_result, json_option
from curation.config import Workspace
from curation.doctor import Finding, count_findings, diagnose
from schemas.errors import CurationError

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_LEFT = 19


@click.command()
@click.option("-w", "--workspace", "folder", metavar="DIR", help="The workspace [default: as for every command; none is fine too].")
@click.option("--fix", is_flag=True, help="Repair what can be repaired.")
@json_option
def doctor(folder: str | None, fix: bool, as_json: bool) -> None:
    """Check this machine, and the workspace where there is one. Exits 1 if anything fails."""
    workspace, findings = _look_for_workspace(folder)
    if not as_json:
        click.echo(f"{'workspace ' + str(workspace.root) if workspace else 'no workspace here: checking the machine only'}\n")
        for finding in findings:
            _show(finding)

    def tell(line: str) -> None:
        click.secho(textwrap.indent(line, " " * _LEFT), dim=True, err=as_json)

    for finding in diagnose(workspace, fix=fix, tell=tell):
        findings.append(finding)
        if not as_json:
            _show(finding)
    _finish(workspace, findings, as_json=as_json, fix=fix)


def _look_for_workspace(folder: str | None) -> tuple[Workspace | None, list[Finding]]:
    """Return the workspace, if there is one; one that was named or is damaged, and cannot be opened, is a finding."""
    from curation.config import find_workspace
    from schemas.errors import WorkspaceError

    try:
        return find_workspace(folder), []
    except WorkspaceError as error:
        if not folder and not os.environ.get("CURATE_WORKSPACE"):
            return None, []
        reason = str(error)
    except CurationError as error:
        reason = str(error)
    return None, [Finding(area="workspace", status="fail", found=reason, advice="its catalogue and files were not looked at")]


def _show(finding: Finding) -> None:
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120)) - _LEFT
    mark = click.style(f"{finding.status:<5}", fg=_COLOURS[finding.status], bold=finding.status != "ok")
    lines = _wrap(finding.found, width)
    click.echo(f" {mark} {finding.area:<12}{lines[0]}")
    for line in lines[1:]:
        click.echo(" " * _LEFT + line)
    for number, line in enumerate(_wrap(_advise(finding), width - 2) if finding.advice else []):
        click.secho(" " * _LEFT + ("→ " if number == 0 else "  ") + line, dim=sys.stdout.isatty())


def _advise(finding: Finding) -> str:
    return finding.advice + (" (--fix repairs this)" if finding.repair else "")


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _finish(workspace: Workspace | None, findings: list[Finding], *, as_json: bool, fix: bool) -> None:
    counts = count_findings(findings)
    described = [finding.describe() for finding in findings]
    data: dict[str, Any] = {"workspace": str(workspace.root) if workspace else None, "findings": described}
    data |= {str(status): count for status, count in counts.items()}
    fixable = sum(finding.repair is not None for finding in findings)
    hint = f"; `curate doctor --fix` repairs {fixable}" if fixable and not fix else ""
    line = (
        "all is well"
        if counts["ok"] == len(findings)
        else f"{counts['ok']} ok, {counts['warn']} to know, {counts['fail']} broken{hint}"
    )
    if not as_json:
        click.echo()
    emit_result(f"doctor: {line}", data, as_json=as_json)
    if counts["fail"]:
        sys.exit(1)
