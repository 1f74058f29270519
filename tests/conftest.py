"""Fixtures shared by all tests, each kept in a module of its own."""

from pathlib import Path

pytest_plugins = [path.stem for path in sorted(Path(__file__).parent.glob("fixtures_*.py"))]
