"""`curate bench people --part ray`: a cluster of separate raylets on this machine, beside the local engine.

The head of the cluster has no cores; every node has one. One node and two nodes take turns on the same rendered lessons, then a
node is killed in the middle of a run. All of them must leave the catalogue and the arrays that the local engine leaves, by hash.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from curation.benchmarks import BenchResult, describe_spread
from curation.config import Config, Preannotation, create_workspace
from curation.preannotate import PreannotateProgress, PreannotateResult
from schemas.errors import CurationError

__all__ = ["Killer", "OneCoreNodes", "bench_ray", "open_cluster", "preannotate_lessons"]

_SETTINGS = Preannotation(workers=1, fps=3.0)
_LESSONS: dict[str, Any] = dict(lessons=16, cameras=1, rows=1, columns=3, seconds=8, fps=6.0, size=(640, 360))
"""Clips of 3 to 4 s of computing each; while the last one is computed, the other node waits, which of six clips is a tenth."""
_LEAST_EFFICIENCY = 0.9
_STORE_BYTES = 128 * 2**20


def bench_ray(*, rounds: int, seed: int = 0) -> BenchResult:
    """Compare digests of local, one node, two nodes and a killed node, and the rates of one and two nodes."""
    from curation.render.classroom import render_classroom

    with tempfile.TemporaryDirectory(prefix="curate-ray-bench-") as name, open_cluster() as cluster:
        folder = Path(name)
        lessons = render_classroom(folder / "lessons", seed=seed, **_LESSONS)
        local, _ = preannotate_lessons(folder / "local", lessons, engine="local")
        rates: dict[int, list[float]] = {1: [], 2: []}
        same: dict[str, bool] = {}
        nodes = [cluster.add_node()]
        for number in range(rounds):
            for n_nodes in (1, 2):
                while len(nodes) < n_nodes:
                    nodes.append(cluster.add_node())
                digest, rate = preannotate_lessons(folder / f"{n_nodes}-{number}", lessons, engine="ray")
                rates[n_nodes].append(rate)
                same[f"{n_nodes} nodes"] = same.get(f"{n_nodes} nodes", True) and digest == local
            cluster.remove_node(nodes.pop())
        nodes.append(cluster.add_node())
        killed = Killer(lambda: cluster.remove_node(nodes.pop()))
        digest, _ = preannotate_lessons(folder / "killed", lessons, engine="ray", progress=killed)
        same["one of 2 nodes killed"] = digest == local and killed.done
    return _judge(local, rates, same)


def _judge(local: tuple[str, str], rates: dict[int, list[float]], same: dict[str, bool]) -> BenchResult:
    efficiency = [two / (2 * one) for one, two in zip(rates[1], rates[2], strict=True)]
    rows = [f"local: catalogue {local[0][:12]}, arrays {local[1][:12]}"]
    rows += [f"{n} nodes of one core: {describe_spread(values, 2)} frames/s" for n, values in rates.items()]
    rows += [f"{what}: {'the same by hash' if is_same else 'DIFFERENT'}" for what, is_same in same.items()]
    rows.append(f"efficiency of 2 nodes: {describe_spread(efficiency, 2)}; load of the machine {os.getloadavg()[0]:.1f}")
    median = float(np.median(efficiency))
    missed = [f"{what}: other output than the local engine" for what, is_same in same.items() if not is_same]
    missed += [f"efficiency {median:.2f} (wanted {_LEAST_EFFICIENCY})"] if median < _LEAST_EFFICIENCY else []
    line = f"ray: {sum(same.values())} of {len(same)} runs give the local engine's output; efficiency of 2 nodes {median:.2f}"
    data = {"digests": local, "rates": rates, "efficiency": efficiency, "same": same}
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


class Killer:
    """Watches the progress of a run, and kills a node when a third of the frames are done."""

    def __init__(self, kill: Callable[[], None]) -> None:
        self._kill = kill
        self.done = False

    def __call__(self, state: PreannotateProgress) -> None:
        """Look at how far the run is."""
        if not self.done and 3 * state.frames >= state.n_frames and state.clips < state.n_clips:
            self._kill()
            self.done = True


def preannotate_lessons(
    root: Path, lessons: Sequence[Path], *, engine: str, progress: Callable[[PreannotateProgress], None] | None = None, **how: Any
) -> tuple[tuple[str, str], float]:
    """Preannotate in a new workspace; return the digests of catalogue and arrays, and frames per second once workers are ready."""
    from curation.ingest import add_media
    from curation.preannotate import preannotate
    from curation.store import ArrayStore, Catalogue

    clock = _Clock(progress)
    workspace = create_workspace(root, Config(preannotation=_SETTINGS))
    arrays = ArrayStore(workspace.folder("arrays"))
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        add_media(workspace, catalogue, lessons)
        workers = 1 if engine == "local" else 0
        result: PreannotateResult = preannotate(workspace, catalogue, arrays, engine=engine, workers=workers, progress=clock, **how)
        if result.set_aside:
            raise CurationError(f"set aside: {result.set_aside[0][1]}")
        return (catalogue.digest(), arrays.digest()), clock.rate


class _Clock:
    """Frames per second between the first and the last word of a run: what starting the workers takes does not count."""

    def __init__(self, progress: Callable[[PreannotateProgress], None] | None) -> None:
        self._progress = progress
        self._marks: list[tuple[float, int]] = []

    def __call__(self, state: PreannotateProgress) -> None:
        self._marks.append((time.perf_counter(), state.frames))
        if self._progress is not None:
            self._progress(state)

    @property
    def rate(self) -> float:
        """Frames per second."""
        (begun, before), (ended, frames) = self._marks[0], self._marks[-1]
        return (frames - before) / (ended - begun)


class OneCoreNodes:
    """A Ray cluster on this machine: a head without cores, and nodes of one core each, every one with a raylet of its own."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.address: str = cluster.address

    def add_node(self) -> Any:
        """Start a node and wait until the cluster knows it."""
        node = self._cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES)
        self._cluster.wait_for_nodes()
        return node

    def remove_node(self, node: Any) -> None:
        """Kill a node with all that runs on it."""
        self._cluster.remove_node(node, allow_graceful=False)


@contextmanager
def open_cluster() -> Iterator[OneCoreNodes]:
    """Start a cluster that listens on the loopback address only, and connect this process to it.

    Raises:
        CurationError: if Ray is not installed.
    """
    from curation.engines.ray import connect_quietly, import_ray

    import_ray(loopback=True)
    from ray._common.utils import get_default_ray_temp_dir
    from ray.cluster_utils import Cluster

    Path(get_default_ray_temp_dir()).mkdir(parents=True, exist_ok=True)  # Ray notes the cluster's address there
    with tempfile.TemporaryDirectory(prefix="curate-ray-", ignore_cleanup_errors=True) as folder:
        head = {"num_cpus": 0, "object_store_memory": _STORE_BYTES, "include_dashboard": False, "temp_dir": folder}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            with connect_quietly(cluster.address):
                yield OneCoreNodes(cluster)
        finally:
            cluster.shutdown()
