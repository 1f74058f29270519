"""What the demonstration does, how much of it, and where."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from attrs import field, frozen

from curation.config import Config, Ports, Workspace, create_workspace, open_workspace
from schemas.checks import check_range
from schemas.errors import CurationError, InvalidField, WorkspaceError
from schemas.files import write_text

__all__ = ["DemoSettings", "choose_ports", "prepare_workspace"]

MARK = "simulated.txt"
MARK_TEXT = "Everything in this workspace was made by `curate demo`; the next demo here replaces it.\n"


def _find_root(value: str | Path) -> Path:
    return Path(value).expanduser().resolve()


@frozen(kw_only=True)
class DemoSettings:
    """Size and seeds of the demonstration.

    Of `lessons` rendered lessons the last `n_test` are the frozen test side, the first `n_first` are labelled in the first round,
    and the rest is the pool from which the next `batch` tubelets are chosen. `error_rate` of the annotator's labels are wrong on
    purpose. Each macro-F1 is of `model_seeds` trainings.
    """

    root: Path = field(converter=_find_root)
    seed: int = 0
    lessons: int = 12
    cameras: int = 1
    seconds: float = 20.0
    n_test: int = 3
    n_first: int = 6
    batch: int = 96
    error_rate: float = 0.2
    model_seeds: tuple[int, ...] = (0, 1, 2)

    def __attrs_post_init__(self) -> None:
        check_range("demo.error_rate", self.error_rate, 0, 0.9)
        check_range("demo.seconds", self.seconds, 4, 600)
        if self.n_first < 2 or self.n_test < 1 or self.lessons < self.n_first + self.n_test + 1:
            raise InvalidField("demo.lessons", f"at least {self.n_first} + {self.n_test} + 1", self.lessons)
        if not self.model_seeds:
            raise InvalidField("demo.model_seeds", "at least one seed", self.model_seeds)


def prepare_workspace(settings: DemoSettings) -> Workspace:
    """Make a new workspace for the demonstration; the one of an earlier demonstration is stopped and replaced.

    Raises:
        WorkspaceError: if there is a workspace that no demonstration made.
    """
    folder = settings.root / "workspace"
    if folder.exists():
        if not (folder / MARK).is_file():
            raise WorkspaceError(folder, "was not made by the demo; name another folder, `curate demo DIR`")
        _stop_earlier(folder)
        shutil.rmtree(folder)
    config = Config(ports=choose_ports(), project="Rendered classroom")
    workspace = create_workspace(folder, config)
    write_text(folder / MARK, MARK_TEXT)
    return workspace


def choose_ports() -> Ports:
    """Return the usual ports, each replaced by a free one where something else holds it."""
    usual = Ports()
    chosen: list[int] = []
    for port in (usual.label_studio, usual.backend, usual.fiftyone):
        chosen.append(port if _is_free(port) else _find_free(chosen))
    return Ports(label_studio=chosen[0], backend=chosen[1], fiftyone=chosen[2])


def _stop_earlier(folder: Path) -> None:
    from curation.servers import stop_servers

    try:
        stop_servers(open_workspace(folder))
    except CurationError:
        return


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _find_free(taken: list[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
