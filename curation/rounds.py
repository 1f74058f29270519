"""One round of the loop: score → export → train → gate → select. Every finished stage is recorded, so that a round can go on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from schemas.checks import check_name, check_range, compute_id

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import ArrayStore, Catalogue

__all__ = ["STAGES", "Round", "RoundOptions", "run_round"]

STAGES = ("score", "export", "train", "gate", "select")
"""In the order of work."""

Report = Callable[[str, Mapping[str, Any]], None]
Advance = Callable[[str, int, int], None]


@frozen(kw_only=True)
class RoundOptions:
    """What a round does; None = as in the workspace's settings."""

    axis: str | None = None
    method: str = "default"
    balance: str = "capped"
    ratio: float = 1.0
    model: str | None = None
    strategy: str = "margin"
    n_select: int = 50
    seed: int | None = None

    def __attrs_post_init__(self) -> None:
        check_name("round: strategy", self.strategy)
        check_range("round: n", self.n_select, 1, 10**9)


@frozen(kw_only=True)
class Round:
    """A finished round: its number, the result of each stage, and whether it was run just now (False: nothing had changed)."""

    number: int
    results: Mapping[str, Mapping[str, Any]]
    new: bool


@frozen(kw_only=True)
class _State:
    """The newest round on record. `key` says what it works on: the labels as they stood when it began, and the options."""

    number: int
    key: str
    results: Mapping[str, Mapping[str, Any]]

    @property
    def is_complete(self) -> bool:
        return all(stage in self.results for stage in STAGES)


@frozen(kw_only=True)
class _Work:
    workspace: Workspace
    catalogue: Catalogue
    arrays: ArrayStore
    options: RoundOptions
    axis: str
    seed: int
    number: int
    advance: Advance | None

    @property
    def name(self) -> str:
        return f"round-{self.number:04d}"

    @property
    def stores(self) -> tuple[Workspace, Catalogue, ArrayStore]:
        return self.workspace, self.catalogue, self.arrays


def run_round(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    options: RoundOptions | None = None,
    *,
    report: Report | None = None,
    advance: Advance | None = None,
) -> Round:
    """Score the labels, export them, train on the export, ask the gate, and choose the next batch.

    A round that was interrupted goes on at the stage it was in, if the labels and options are still the same; otherwise a new one
    begins, and the old one stays unfinished on record. A newest round that is finished, with nothing changed since, is returned
    as it is.

    Args:
        workspace: whose loop.
        catalogue: holds labels and records.
        arrays: holds poses.
        options: what to do.
        report: is told each stage that is done, with its result.
        advance: is told (stage, done, total) inside long stages.

    Raises:
        NotEnoughData: if there are too few labels, groups or classes for a stage.
        UnknownName: for an unknown axis, method, model, balance or strategy; nothing is recorded then.
    """
    options = options or RoundOptions()
    axis = workspace.taxonomy.axis(options.axis or workspace.taxonomy.primary.id).id
    seed = workspace.config.learning.seed if options.seed is None else options.seed
    _check_names(workspace, options)
    key = _compute_key(workspace, catalogue, options, axis)
    state = _read_state(catalogue)
    if state is not None and state.is_complete and state.key == key:
        return Round(number=state.number, results=state.results, new=False)
    if state is None or state.is_complete or state.key != key:
        state = _begin(catalogue, (0 if state is None else state.number) + 1, key, options)
    results = dict(state.results)
    work = _Work(
        workspace=workspace,
        catalogue=catalogue,
        arrays=arrays,
        options=options,
        axis=axis,
        seed=seed,
        number=state.number,
        advance=advance,
    )
    for stage in STAGES:
        if stage not in results:
            results[stage] = _RUN[stage](work, results)
            payload = {"round": work.number, "stage": stage, "result": results[stage]}
            catalogue.append_record("rounds", f"{work.name}/{stage}", payload)
        if report is not None:
            report(stage, results[stage])
    return Round(number=work.number, results=results, new=True)


def _check_names(workspace: Workspace, options: RoundOptions) -> None:
    from backends.behaviour import MODELS
    from curation.balance import BALANCERS
    from curation.scoring import SCORERS
    from curation.select import STRATEGIES

    SCORERS.load(options.method)
    BALANCERS.load(options.balance)
    STRATEGIES.load(options.strategy)
    for model in (options.model, workspace.config.learning.model):
        MODELS.load(model or workspace.config.learning.model)


def _compute_key(workspace: Workspace, catalogue: Catalogue, options: RoundOptions, axis: str) -> str:
    labels = sorted(f"{x.tubelet_id}\t{x.span.id}\t{x.dropped}" for x in catalogue.current_labels(axis))
    digest = hashlib.sha256("\n".join(labels).encode()).hexdigest()
    tubelets = hashlib.sha256("\n".join(sorted(t.id for t in catalogue.list_tubelets())).encode()).hexdigest()
    return compute_id("key", digest, tubelets, asdict(options), workspace.config_hash)


def _read_state(catalogue: Catalogue) -> _State | None:
    records = catalogue.list_records("rounds")
    if not records:
        return None
    number = max(record["round"] for record in records)
    own = [record for record in records if record["round"] == number]
    key = next(record["key"] for record in own if record["stage"] == "begin")
    return _State(number=number, key=key, results={r["stage"]: r["result"] for r in own if r["stage"] != "begin"})


def _begin(catalogue: Catalogue, number: int, key: str, options: RoundOptions) -> _State:
    payload = {"round": number, "stage": "begin", "key": key, "options": asdict(options)}
    catalogue.append_record("rounds", f"round-{number:04d}/begin", payload)
    return _State(number=number, key=key, results={})


def _run_score(work: _Work, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    from curation.engines.local import count_cores
    from curation.scoring.workspace import score_workspace

    def tell(done: int, total: int) -> None:
        if work.advance is not None:
            work.advance("score", done, total)

    found = score_workspace(*work.stores, axis=work.axis, method=work.options.method, workers=min(count_cores(), 8), progress=tell)
    most_suspect = [score.tubelet_id for score in found.scores[:10]]
    return {"run": found.run, "n": len(found.scores), "method": found.method, "most_suspect": most_suspect}


def _run_export(work: _Work, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    from curation.export import export_set

    folder = work.workspace.folder("exports") / work.name
    options = work.options
    manifest = export_set(*work.stores, folder, balance=options.balance, ratio=options.ratio, axis=work.axis, seed=work.seed)
    sizes = {side: len(rows) for side, rows in manifest.splits.items()}
    return {"path": f"exports/{work.name}", "sizes": sizes, "certificate": manifest.certificate["sha256"]}


def _run_train(work: _Work, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    from curation.registry import train_model

    def tell(epoch: Any) -> None:
        if work.advance is not None:
            work.advance("train", epoch.epoch, epoch.n_epochs)

    folder = work.workspace.root / Path(results["export"]["path"])
    record = train_model(work.workspace, work.catalogue, folder, model=work.options.model, seed=work.seed, progress=tell)
    return {"version": record.version, "model": record.model, "n_train": record.n_train}


def _run_gate(work: _Work, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    from curation.gate import promote

    gate = promote(*work.stores, version=results["train"]["version"])
    measured = {"candidate": gate.candidate, "champion": gate.champion}
    figures = {name: None if found is None else found.macro_f1 for name, found in measured.items()}
    return {"decision": gate.decision, "version": gate.version, "champion": gate.after, "reason": gate.reason, "macro_f1": figures}


def _run_select(work: _Work, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    from curation.batch import select_batch

    options = work.options
    batch = select_batch(*work.stores, strategy=options.strategy, n=options.n_select, seed=work.seed, axis=work.axis)
    return {"selection": batch.id, "strategy": options.strategy, "model": batch.model, "tubelets": list(batch.tubelet_ids)}


_RUN: dict[str, Callable[[_Work, Mapping[str, Mapping[str, Any]]], dict[str, Any]]] = {
    "score": _run_score,
    "export": _run_export,
    "train": _run_train,
    "gate": _run_gate,
    "select": _run_select,
}
