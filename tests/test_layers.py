"""The house keeps its order: schemas ← backends ← curation, and nothing heavy where help must be instant."""

import ast
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("schemas", "backends", "curation")
HEAVY = ("fiftyone", "label_studio", "label_studio_sdk", "ray", "lightning")
SCHEMAS_MAY = {"schemas", "numpy", "attrs", "pydantic", "yaml"}


def find_imports(path: Path) -> set[str]:
    """Return the top-level names that a file imports anywhere, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def list_sources(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_downwards_only(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :]) | {"tests"}
    breaches = {str(p.relative_to(ROOT)): sorted(find_imports(p) & above) for p in list_sources(layer)}
    assert {k: v for k, v in breaches.items() if v} == {}


def test_schemas_import_only_what_the_design_allows() -> None:
    for path in list_sources("schemas"):
        extra = find_imports(path) - SCHEMAS_MAY - set(sys.stdlib_module_names)
        assert extra == set(), f"{path.relative_to(ROOT)} imports {sorted(extra)}"


def test_backends_never_import_the_servers() -> None:
    for path in list_sources("backends"):
        assert find_imports(path).isdisjoint({"fiftyone", "label_studio", "label_studio_sdk"}), path


def test_heavy_packages_are_never_imported_at_module_level() -> None:
    for layer in LAYERS:
        for path in list_sources(layer):
            if "plugin" in path.parts:
                continue
            top = [n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.Import | ast.ImportFrom)]
            names = {a.name for n in top if isinstance(n, ast.Import) for a in n.names} | {
                n.module or "" for n in top if isinstance(n, ast.ImportFrom)
            }
            assert {name.partition(".")[0] for name in names}.isdisjoint(HEAVY), path


def test_importing_the_lower_layers_loads_no_server() -> None:
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for layer in LAYERS[:2] for p in list_sources(layer)]
    modules = [m.removesuffix(".__init__") for m in modules if not m.endswith("__main__")]
    code = f"import importlib, json, sys\nfor m in {modules!r}: importlib.import_module(m)\nprint(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    loaded = {name.partition(".")[0] for name in json.loads(out.splitlines()[-1])}
    assert loaded.isdisjoint(HEAVY)


def test_help_answers_in_under_600_ms() -> None:
    command = [str(Path(sys.executable).with_name("curate")), "--help"]
    seconds = []
    for _ in range(5):
        before = _read_children_clock()
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds.append(_read_children_clock() - before)
    assert "preannotate" in out
    assert min(seconds) < 0.6


def _read_children_clock() -> float:
    """Return the CPU seconds of all ended children: on an idle machine what a clock on the wall says, on a busy one still true."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_every_command_of_the_table_exists() -> None:
    import click

    from curation.cli import COMMANDS, cli

    context = click.Context(cli)
    for name in COMMANDS:
        assert isinstance(cli.get_command(context, name), click.Command), name  # type: ignore[attr-defined]


def test_packages_are_listed_explicitly_and_all_of_them() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"])
    found = {".".join(p.parent.relative_to(ROOT).parts) for layer in LAYERS for p in (ROOT / layer).rglob("__init__.py")}
    assert listed == found


def test_no_package_shadows_the_datasets_library() -> None:
    assert not list((ROOT / "datasets").rglob("__init__.py"))


def test_files_stay_below_the_wall() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for layer in LAYERS
        for p in list_sources(layer)
        if (n := len(p.read_text("utf-8").splitlines())) > 500
    }
    assert long == {}
