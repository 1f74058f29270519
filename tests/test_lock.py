"""requirements.lock: plain lines, what is installed, and good for every Python that the project promises."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]
PINS = dict(line.split("==") for line in LINES)


def test_lines_are_names_and_versions_only():
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    assert len(PINS) == len(LINES)


def test_what_the_project_needs_is_pinned_within_its_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PINS.items()}
    names = [re.sub(r"[-_.]+", "-", need.name).lower() for need in wanted]
    assert [name for name in names if name not in pins] == []
    assert [str(need) for need, name in zip(wanted, names, strict=True) if not need.specifier.contains(pins[name])] == []


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_every_package_allows_the_pythons_that_the_project_promises(python):
    bounds = {name: distribution(name).metadata.get("Requires-Python") or "" for name in PINS}
    assert {name: bound for name, bound in bounds.items() if python not in SpecifierSet(bound)} == {}
