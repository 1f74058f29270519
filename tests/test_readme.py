"""What the README says is true: its commands exist with these options, and its code and file commands run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from schemas.sequences import SequenceSet, write_sequences

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line[2:].partition(" #")[0].strip() for block in CONSOLE for line in block.splitlines() if line.startswith("$ curate")]


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that the words name, and its arguments."""
    from curation.cli import cli

    command: click.Command = cli
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, words
        command, words = found, words[1:]
    return command, words


def test_readme_is_short_and_its_pictures_are_there() -> None:
    assert len(README.splitlines()) <= 150
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) >= 2
    for picture in pictures:
        assert (ROOT / picture).read_bytes()[:4] == b"\x89PNG", picture


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_exists_with_its_options(line: str) -> None:
    command, arguments = find_command(shlex.split(line)[1:])
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in arguments if word.startswith("-")} <= known


def test_the_extension_example_keeps_the_contract() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    probs = np.full((5, 2), 0.5)
    chosen = names["select_first"](probs, 2, labelled=np.array([True, False, True, False, False]))  # type: ignore[operator]
    assert chosen.tolist() == [1, 3]


def test_file_commands_run_as_written(tmp_path: Path, sequence_factory) -> None:
    from skimage import data, io

    sequences = sequence_factory(120, n_groups=6, classes=("attend", "write", "sleep"))
    groups = np.where(sequences.group == sequences.group[0], "g1", sequences.group)
    write_sequences(tmp_path / "s.npz", SequenceSet(pose=sequences.pose, label=sequences.label, group=groups, fps=sequences.fps))
    rng = np.random.default_rng(0)
    np.save(tmp_path / "y.npy", rng.integers(3, size=20))
    np.save(tmp_path / "p.npy", rng.dirichlet(np.ones(3), size=20))
    io.imsave(tmp_path / "photo.png", data.astronaut())
    curate = str(Path(sys.executable).with_name("curate"))
    lines = [line for line in COMMANDS if "--out" in line]
    assert len(lines) == 5
    for line in lines:
        done = subprocess.run([curate, *shlex.split(line)[1:]], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        out = tmp_path / shlex.split(line)[-1]
        assert out.stat().st_size > 0
        out.rename(tmp_path / f"done-{lines.index(line)}")
