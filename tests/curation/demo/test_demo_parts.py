"""The demonstration's settings, clock and table."""

import socket
from pathlib import Path

import pytest

from curation.config import Config, create_workspace
from curation.demo.settings import DemoSettings, choose_ports, prepare_workspace
from curation.demo.table import F1, Row, StageClock, format_duration, format_table
from schemas.errors import InvalidField, WorkspaceError


def test_settings_need_room_for_three_parts(tmp_path: Path) -> None:
    assert DemoSettings(root=tmp_path).root == tmp_path.resolve()
    with pytest.raises(InvalidField, match=r"demo\.lessons: expected at least 6 \+ 3 \+ 1, got 7"):
        DemoSettings(root=tmp_path, lessons=7)
    with pytest.raises(InvalidField, match=r"demo\.error_rate"):
        DemoSettings(root=tmp_path, error_rate=1.5)
    with pytest.raises(InvalidField, match=r"demo\.model_seeds"):
        DemoSettings(root=tmp_path, model_seeds=())


def test_ports_avoid_what_is_taken() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        ports = choose_ports()
        assert len({ports.label_studio, ports.backend, ports.fiftyone, taken}) == 4
    with socket.socket() as usual:
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            usual.bind(("127.0.0.1", 9090))
        except OSError:
            pytest.skip("port 9090 is held by something else on this machine")
        usual.listen()
        assert choose_ports().backend != 9090


def test_an_earlier_demo_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    settings = DemoSettings(root=tmp_path)
    first = prepare_workspace(settings)
    (first.root / "crops" / "left.txt").write_text("x")
    second = prepare_workspace(settings)
    assert not (second.root / "crops" / "left.txt").exists()
    mine = DemoSettings(root=tmp_path / "mine")
    create_workspace(mine.root / "workspace", Config())
    with pytest.raises(WorkspaceError, match="was not made by the demo"):
        prepare_workspace(mine)
    assert (mine.root / "workspace" / "curate.toml").is_file()


def test_clock_adds_up_and_says_so() -> None:
    said: list[str] = []
    clock = StageClock(said.append)
    for _ in range(2):
        with clock.stage("render"):
            pass
    assert list(clock.seconds) == ["render"]
    assert said[0] == "render …"
    assert said[1].startswith("render: 0.0 s")


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (185, "3 min 05 s")])
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_table_is_aligned() -> None:
    lines = format_table("Loop", [Row("people found", "0.95"), Row("F1", str(F1((0.5, 0.7))), "3 trainings")]).splitlines()
    assert lines[1] == "  Loop"
    assert lines[3].index("0.95") == lines[4].index("0.600 (0.500 to 0.700)")
    assert {lines[0], lines[2], lines[-1]} == {"─" * max(map(len, lines))}
