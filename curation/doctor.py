"""What is wrong with this machine or workspace, what it means, and how to repair it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

from attrs import field, frozen

from curation.config import Workspace
from schemas.errors import CurationError, WorkspaceError

__all__ = ["Finding", "Repair", "count_findings", "diagnose", "install_package"]

Status = Literal["ok", "warn", "fail"]
Tell = Callable[[str], None]


@frozen(kw_only=True)
class Repair:
    """One thing that `--fix` can do: `what` in the words of a person, `run` does it or raises a `CurationError`."""

    what: str
    run: Callable[[Tell], object]


@frozen(kw_only=True)
class Finding:
    """One line of the report: `found` is how it is, `advice` what it means and what to do ("" when all is well)."""

    area: str
    status: Status
    found: str
    advice: str = ""
    repair: Repair | None = field(default=None, eq=False)

    def describe(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        fixable = self.repair is not None
        return {"area": self.area, "status": self.status, "found": self.found, "advice": self.advice, "fixable": fixable}


Check = Callable[[], list[Finding]]


def diagnose(workspace: Workspace | None, *, fix: bool = False, tell: Tell = lambda line: None) -> Iterator[Finding]:
    """Look at the machine, and at the workspace where there is one; yield what is found, one finding at a time.

    Args:
        workspace: None = the machine only.
        fix: repair what can be repaired first, and report how things are after that.
        tell: is called with one line per repair.
    """
    for check in _list_checks(workspace):
        findings = check()
        repairs = [finding.repair for finding in findings if finding.repair is not None]
        if fix and repairs:
            failures = [problem for repair in repairs if (problem := _try_repair(repair, tell)) is not None]
            findings = [*check(), *failures]
        yield from findings


def count_findings(findings: list[Finding]) -> dict[Status, int]:
    """Return how many findings have each status."""
    counts: dict[Status, int] = {"ok": 0, "warn": 0, "fail": 0}
    for finding in findings:
        counts[finding.status] += 1
    return counts


def install_package(*requirements: str) -> None:
    """Put packages into this Python's environment with pip, without their dependencies, over what is there.

    Raises:
        WorkspaceError: with pip's last line, if it cannot.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--force-reinstall"]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise WorkspaceError(
            sys.prefix, f"pip could not install {' '.join(requirements)}: {lines[-1] if lines else 'no reason given'}"
        )


def _list_checks(workspace: Workspace | None) -> list[Check]:
    from curation import doctor_machine as machine
    from curation import doctor_workspace as work

    checks: list[Check] = [
        machine.check_python,
        machine.check_packages,
        machine.check_opencv,
        machine.check_mongod,
        machine.check_bundles,
        machine.check_tools,
        machine.check_telemetry,
    ]
    if workspace is None:
        return [*checks, machine.check_disk, machine.check_default_ports]
    here = [
        work.check_disk,
        work.check_taxonomy,
        work.check_catalogue,
        work.check_files,
        work.check_leftovers,
        work.check_ports,
        work.check_servers,
    ]
    return [*checks, *(_bind(check, workspace) for check in here)]


def _bind(check: Callable[[Workspace], list[Finding]], workspace: Workspace) -> Check:
    return lambda: check(workspace)


def _try_repair(repair: Repair, tell: Tell) -> Finding | None:
    tell(f"{repair.what} …")
    try:
        repair.run(tell)
    except CurationError as error:
        return Finding(area="repair", status="fail", found=f"{repair.what}: did not work", advice=str(error))
    return None
