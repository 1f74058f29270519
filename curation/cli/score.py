"""``curate score``, ``curate rank`` and ``curate crossval``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.cli.common import emit_result, json_option, workspace_option

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curation.config import Workspace
    from curation.scoring.rank import Ranking
    from schemas.scores import Fault

__all__ = ["crossval", "rank", "score", "show_rounds"]

_MOST_WORKERS = 8
"""Each holds a copy of the sequences and of torch: about half a gigabyte."""

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--method", default="default", show_default=True, help="How suspicion is measured; an unknown name lists the known.")
@click.option("--axis", help="Which axis [default: the taxonomy's first].")
@click.option("--faults", type=_PATH, help="Write a CSV of the keypoints and boxes that cannot be right: which, when, why.")
@workspace_option
@json_option
def score(workspace: Workspace, method: str, axis: str | None, faults: Path | None, as_json: bool) -> None:
    """Score every label by how suspect it is, by models that never saw its lesson or its student.

    Dropped labels and the frozen test lessons are left out. The same labels again add nothing.
    """
    from curation.engines.local import count_cores
    from curation.scoring.files import write_faults
    from curation.scoring.workspace import score_workspace
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue, show_rounds("scoring") as advance:
        arrays = ArrayStore(workspace.folder("arrays"))
        workers = min(count_cores(), _MOST_WORKERS)
        result = score_workspace(workspace, catalogue, arrays, axis=axis, method=method, workers=workers, progress=advance)
    contested = sum(s.label != s.suggested for s in result.scores)
    top, faulty = result.scores[0], sum(bool(s.faults) for s in result.scores)
    if faults is not None:
        write_faults(faults, "tubelet", [s.tubelet_id for s in result.scores], [s.faults or () for s in result.scores])
    data = {
        "run": result.run, "axis": result.axis, "method": result.method, "model": result.model, "scored": len(result.scores),
        "new": result.new, "contested": contested, "faulty": faulty, "top": top.tubelet_id,
    }  # fmt: skip
    line = f"{len(result.scores)} labels scored on {result.axis} by {result.method}, {result.new} new, {contested} contested"
    line += f", {faulty} with a box or keypoint that cannot be right" if faulty else ""
    emit_result(line, data, as_json=as_json)


@click.command()
@click.option("--labels", type=_PATH, help="y.npy, int (N,): columns of the probabilities.")
@click.option(
    "--probs", type=_PATH, help="p.npy, float (N, K): out-of-sample probabilities, rows summing to 1; or crossval's preds.npz."
)
@click.option("--in-sample", is_flag=True, help="The models were trained on these very samples: such probabilities are refused.")
@click.option("--features", type=_PATH, help="e.npy, float (N, D), alike samples near: finds more than probabilities alone.")
@click.option("--groups", type=_PATH, help="g.npy (N,): samples of one group are no independent witnesses.")
@click.option("--sequences", type=_PATH, help="s.npz instead: pose, label and group; what is needed is trained here.")
@click.option(
    "--model", multiple=True, help="Which model to train, with --sequences; several are averaged [default: tcn, extra-trees]."
)
@click.option("--method", default="default", show_default=True, help="How suspicion is measured; an unknown name lists the known.")
@click.option("--folds", default="5", show_default=True, metavar="K|all", help="Folds by group, with --sequences.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--faults", type=_PATH, help="Write a CSV of the keypoints that cannot be right, with --sequences: which, when, why.")
@click.option(
    "--out",
    type=_PATH,
    required=True,
    help="ranked.csv: index,label,suggested,score,loss[,wrong,kind,reason][,faults], most suspect first.",
)
@json_option
def rank(out: Path, as_json: bool, **said: Any) -> None:
    """Rank labels by suspicion, from labels and probabilities or from pose sequences. Needs no workspace."""
    from curation.scoring.files import write_faults
    from curation.scoring.rank import write_ranking

    _check_form(said)
    faults: list[tuple[Fault, ...]] | None = None
    if said["sequences"] is None:
        ranking, labels, names = _rank_files(said)
    else:
        ranking, labels, names, faults = _rank_sequences(said)
    write_ranking(out, ranking, labels, names, faults)
    contested = int((ranking.suggested != labels).sum())
    data = {"out": str(out), "ranked": len(labels), "contested": contested, "method": said["method"]}
    line = f"{out}: {len(labels)} labels ranked by {said['method']}, {contested} contested"
    if faults is not None:
        data["faulty"] = sum(map(bool, faults))
        line += f", {data['faulty']} with a keypoint that cannot be right" if data["faulty"] else ""
    if said["faults"] is not None:
        order = ranking.order.tolist()
        data["faults"] = write_faults(said["faults"], "index", order, [faults[i] for i in order] if faults else [()] * len(order))
    emit_result(line, data, as_json=as_json)


@click.command()
@click.option("--sequences", type=_PATH, required=True, help="s.npz: pose, label and group.")
@click.option("--model", default="default", show_default=True, help="Which model to train; an unknown name lists the known.")
@click.option("--folds", default="5", show_default=True, metavar="K|all", help="Folds by group; all = one a group.")
@click.option("--test-group", help="Hold out this group only, and train on all others.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=_PATH, required=True, help="preds.npz: probs (N, K), classes (K,), fold (N,), -1 = only trained on.")
@json_option
def crossval(sequences: Path, model: str, folds: str, test_group: str | None, seed: int, out: Path, as_json: bool) -> None:
    """Write the probabilities of models that never saw a sequence's group. Needs no workspace."""
    import numpy as np

    from curation.crossval import cross_validate, write_predictions
    from curation.engines.local import count_cores
    from schemas.sequences import read_sequences

    loaded = read_sequences(sequences)
    with show_rounds(model) as advance:
        result = cross_validate(
            loaded,
            model=model,
            n_folds=parse_folds(folds),
            test_group=test_group,
            seed=seed,
            workers=min(count_cores(), _MOST_WORKERS),
            advance=advance,
        )
    write_predictions(out, result)
    held = result.fold >= 0
    right = np.array(result.classes)[result.probs[held].argmax(axis=1)] == loaded.label[held]
    n_folds = len(set(result.fold[held].tolist()))
    data = {
        "out": str(out),
        "model": model,
        "predicted": int(held.sum()),
        "folds": n_folds,
        "accuracy": round(float(right.mean()), 4),
    }
    line = f"{out}: {data['predicted']} of {len(loaded)} sequences predicted in {n_folds} folds, accuracy {data['accuracy']:.3f}"
    emit_result(line, data, as_json=as_json)


def parse_folds(text: str) -> int | None:
    """Return the number of folds, or None for one a group.

    Raises:
        BadParameter: if it is neither "all" nor a whole number of at least 2.
    """
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 2:
        raise click.BadParameter(f"a whole number of at least 2, or all, not {text!r}", param_hint="--folds")
    return int(text)


def _check_form(said: dict[str, Any]) -> None:
    if said["sequences"] is not None:
        extra = [f"--{name}" for name in ("labels", "probs", "features", "groups") if said[name] is not None]
        extra += ["--in-sample"] if said["in_sample"] else []
        if extra:
            raise click.UsageError(f"--sequences brings its own; leave out {', '.join(extra)}")
    elif said["labels"] is None or said["probs"] is None:
        raise click.UsageError("give --labels and --probs, or --sequences")
    elif said["faults"] is not None:
        raise click.UsageError("--faults looks at poses, which only --sequences has")


def _rank_files(said: dict[str, Any]) -> tuple[Ranking, NDArray[Any], None]:
    from curation.scoring.files import read_array, read_probabilities, refuse_in_sample
    from curation.scoring.rank import rank_labels

    if said["in_sample"]:
        refuse_in_sample("in-sample ones (--in-sample)")
    features, groups = (None if said[name] is None else read_array(said[name]) for name in ("features", "groups"))
    labels, probs = read_array(said["labels"]), read_probabilities(said["probs"])
    return rank_labels(labels, probs, features=features, groups=groups, method=said["method"]), labels, None


def _rank_sequences(said: dict[str, Any]) -> tuple[Ranking, NDArray[Any], tuple[str, ...], list[tuple[Fault, ...]] | None]:
    from curation.scoring.out_of_fold import JUDGES, score_sequences
    from curation.scoring.watch import inspect_sequences
    from schemas.sequences import read_sequences

    loaded = read_sequences(said["sequences"])
    n_folds, models = parse_folds(said["folds"]), said["model"] or JUDGES
    with show_rounds("training") as advance:
        scored = score_sequences(loaded, models=models, method=said["method"], n_folds=n_folds, seed=said["seed"], advance=advance)
    return scored.ranking, scored.labels, scored.classes, inspect_sequences(loaded)


@contextmanager
def show_rounds(label: str, *, unit: str = "fold") -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that moves a bar on stderr, shown only if it takes over two seconds."""
    from tqdm import tqdm

    with tqdm(desc=label, unit=unit, delay=2, file=sys.stderr, leave=False) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
