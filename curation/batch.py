"""The next batch to label: what the champion says of the tubelets that nobody has labelled, and a strategy's choice among them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from curation.champion import SHIPPED, read_champion
from curation.proposals import Proposer, load_proposer
from curation.sequences import stack_sequences
from curation.split import read_split
from schemas.checks import check_range, compute_id
from schemas.errors import ModelError, NotEnoughData
from schemas.records import PredictedSpan, Tubelet

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import ArrayStore, Catalogue

__all__ = ["Batch", "list_pool", "load_champion_proposer", "select_batch"]


@frozen(kw_only=True)
class Batch:
    """A choice: `tubelet_ids` in the order of the strategy, out of `pool` candidates, by `model` (its version)."""

    id: str
    axis: str
    strategy: str
    seed: int
    model: str
    pool: int
    tubelet_ids: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "tubelet_ids": list(self.tubelet_ids)}


def list_pool(catalogue: Catalogue, axis: str) -> tuple[list[Tubelet], list[Tubelet]]:
    """Return the tubelets of lessons that may be trained on (not of test, val or set aside): unlabelled ones, and labelled ones.

    A lesson that came after the newest split may be trained on unless one of its students is in test or val. A tubelet whose
    label was dropped counts as labelled. Both lists are sorted by tubelet id.
    """
    split = read_split(catalogue)
    labelled = {label.tubelet_id for label in catalogue.current_labels(axis)}
    contexts = catalogue.describe_tubelets()
    held = {lesson: side for lesson, side in (split.sides if split else {}).items() if side != "train"}
    students = {c.student for c in contexts.values() if c.student is not None and held.get(c.lesson) in ("test", "val")}
    closed = {c.lesson for c in contexts.values() if c.lesson in held or c.student in students}
    free = [c.tubelet for _, c in sorted(contexts.items()) if c.lesson not in closed]
    return [t for t in free if t.id not in labelled], [t for t in free if t.id in labelled]


def load_champion_proposer(workspace: Workspace, catalogue: Catalogue, *, axis: str | None = None) -> Proposer:
    """Return the model in force as a proposer: the champion, else the one that ships with the tool.

    Raises:
        ModelError: if its files are missing or were changed.
    """
    champion = read_champion(workspace, catalogue, axis=axis)
    if champion in (None, SHIPPED):
        return load_proposer()
    return load_proposer(workspace.folder("models") / str(champion))


def select_batch(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    *,
    strategy: str = "margin",
    n: int = 50,
    seed: int | None = None,
    axis: str | None = None,
) -> Batch:
    """Choose `n` unlabelled tubelets outside test lessons, fewer if there are fewer, and record the choice.

    What the champion says of every candidate becomes its newest proposal. As long as labels, champion and settings are the same, so
    is the choice, and it is recorded once. Tubelets in which nobody's pose was seen are no candidates.

    Raises:
        UnknownName: for an unknown strategy or axis.
        NotEnoughData: if nothing is left to label.
        ModelError: if the champion is missing or cannot speak of this axis.
    """
    from curation.select import STRATEGIES

    axis = workspace.taxonomy.axis(axis or workspace.taxonomy.primary.id).id
    seed = workspace.config.learning.seed if seed is None else seed
    check_range("n", n, 1, 10**9)
    choose = STRATEGIES.load(strategy)
    proposer = load_champion_proposer(workspace, catalogue, axis=axis)
    view = _look(workspace, catalogue, arrays, proposer, axis)
    pool = [t for t, done in zip(view.tubelets, view.labelled, strict=True) if not done]
    if not pool:
        raise NotEnoughData(f"unlabelled tubelets of axis {axis} outside test lessons", 1, 0)
    order = choose(view.probs, n, features=view.features, labelled=view.labelled, rng=np.random.default_rng(seed))
    ids = tuple(view.tubelets[i].id for i in order)
    catalogue.add_predictions(span for span, done in zip(view.spans, view.labelled, strict=True) if not done)
    state = hashlib.sha256("\n".join(f"{s.id} {s.value}" for s in view.spans).encode()).hexdigest()
    batch_id = compute_id("sel", axis, strategy, n, seed, proposer.version, state, ids)
    batch = Batch(id=batch_id, axis=axis, strategy=strategy, seed=seed, model=proposer.version, pool=len(pool), tubelet_ids=ids)
    catalogue.append_record("selections", batch_id, {**batch.to_dict(), "n": n})
    return batch


@frozen(kw_only=True, eq=False)
class _View:
    """The champion's view of N tubelets in which somebody is seen: `probs` (N, K), `features` (N, D), `labelled` (N,)."""

    tubelets: list[Tubelet]
    spans: list[PredictedSpan]
    probs: NDArray[np.float64]
    features: NDArray[np.float32]
    labelled: NDArray[np.bool_]


def _look(workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, proposer: Proposer, axis: str) -> _View:
    free, labelled = list_pool(catalogue, axis)
    tubelets = [*free, *labelled]
    mapped = proposer.find_values(workspace.taxonomy)
    if mapped is None or mapped[0] != axis:
        raise ModelError(
            f"model {proposer.name} {proposer.version}", f"knows nothing of axis {axis}; train and promote one that does"
        )
    pose = stack_sequences(workspace, catalogue, arrays, tubelets)
    spans = proposer.propose(tubelets, pose, workspace.taxonomy)
    row_of = {tubelet.id: row for row, tubelet in enumerate(tubelets)}
    rows = np.array([row_of[span.tubelet_id] for span in spans], np.int64)
    values = workspace.taxonomy.axis(axis).values
    probs = np.array([[span.scores[value] for value in values] for span in spans], np.float64).reshape(len(rows), len(values))
    return _View(
        tubelets=[tubelets[row] for row in rows],
        spans=spans,
        probs=probs,
        features=proposer.model.embed(pose[rows]) if len(rows) else np.zeros((0, 1), np.float32),
        labelled=rows >= len(free),
    )
