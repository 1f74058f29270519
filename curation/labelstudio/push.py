"""Tasks to Label Studio, each exactly once, however often and wherever a push was cut off.

A task is known by its key (``data.key`` = clip and window). Keys that are there are looked up before anything is sent, so a batch
whose answer was lost is found again; what two overlapping imports may have doubled is taken back, and a task without its prediction
gets it.
"""

from __future__ import annotations

import fcntl
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from curation.blur import Level
from curation.config import Workspace
from curation.labelstudio.account import load_account
from curation.labelstudio.client import Client
from curation.labelstudio.server import FRAMES
from curation.labelstudio.tasks import TaskPlan, build_task, load_tracks, plan_tasks, write_frames
from curation.privacy import protect_copies
from curation.processes import find_server
from curation.store import ArrayStore, Catalogue
from schemas.errors import NotEnoughData, ServerError
from schemas.labelconfig import build_label_config
from schemas.records import PredictedSpan

__all__ = ["PushResult", "collect_proposals", "push_tasks"]

_BATCH = 25


@frozen(kw_only=True)
class PushResult:
    """What a push did. `created` new tasks, `there` already, `predicted` tasks that got a (newer) prediction, `removed` doubles.

    `replaced` copies of media showed more than the workspace's blur lets them, and were deleted.
    """

    project: int
    url: str
    created: int
    there: int
    predicted: int
    removed: int
    backend: bool
    replaced: int = 0


@frozen(kw_only=True)
class _Known:
    """A task that Label Studio has."""

    id: int
    labelled: bool
    versions: dict[str, list[int]]


def push_tasks(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    *,
    tubelet_ids: Collection[str] | None = None,
    plans: Sequence[TaskPlan] | None = None,
    blur: Level | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PushResult:
    """Make the project, and give it every window's task with its newest proposals.

    A newer model version adds predictions to tasks that nobody has labelled yet. Running it again changes nothing.

    Args:
        workspace: where the pictures are written (``crops/frames``).
        catalogue: tubelets and proposals.
        arrays: boxes and poses.
        tubelet_ids: push only windows with one of these; None = all.
        plans: push these tasks instead; see `curation.labelstudio.again`.
        blur: what to cover in the pictures, from now on; None = as the workspace says. Pictures that show more are made again.
        progress: called with (tasks done, tasks in all).

    Raises:
        NotEnoughData: if there are no tubelets yet.
        InvalidField: if `blur` is weaker than what the workspace says.
        ServerError: if Label Studio is down, also in the middle, or another push of this workspace runs; run it again then.
        AuthError: if it refuses the token.
    """
    account = load_account(workspace)
    with _lock(workspace), Client(account) as client:
        client.check_token()
        plans = plan_tasks(workspace, catalogue, tubelet_ids) if plans is None else plans
        if not plans:
            raise NotEnoughData("tubelets to push (run `curate add` and `curate preannotate`)", 1, 0)
        replaced = protect_copies(workspace, blur)
        if replaced:
            deque(write_frames(workspace, plan_tasks(workspace, catalogue)), maxlen=0)
        project = _prepare_project(workspace, client, account.document_root)
        backend = _link_backend(workspace, client, project)
        proposals = collect_proposals(workspace, catalogue)
        known, removed = _reconcile(client, project)
        batch, created, predicted, versions = _Batch(client, project), 0, 0, Counter[str]()
        cache: dict[str, dict[str, Any]] = {}
        for number, plan in enumerate(write_frames(workspace, plans), 1):
            task = build_task(workspace, plan, load_tracks(arrays, plan, cache), proposals, account.document_root)
            version = task["predictions"][0]["model_version"]
            versions[version] += 1
            there = known.get(plan.key)
            if there is None:
                created += batch.add_task(task)
            elif not there.labelled and version not in there.versions:
                predicted += batch.add_prediction({"task": there.id, **task["predictions"][0]})
            progress(number, len(plans))
        batch.flush()
        client.update_project(project, model_version=_choose_version(versions))
        if created:
            removed += _reconcile(client, project)[1]
        url = f"{client.url}/projects/{project}/data"
    return PushResult(
        project=project,
        url=url,
        created=created,
        there=len(plans) - created,
        predicted=predicted,
        removed=removed,
        backend=backend,
        replaced=replaced,
    )


class _Batch:
    """Sends tasks and predictions a few at a time."""

    def __init__(self, client: Client, project: int) -> None:
        self.client, self.project = client, project
        self.tasks: list[dict[str, Any]] = []
        self.predictions: list[dict[str, Any]] = []

    def add_task(self, task: dict[str, Any]) -> int:
        self.tasks.append(task)
        if len(self.tasks) >= _BATCH:
            self.flush()
        return 1

    def add_prediction(self, prediction: dict[str, Any]) -> int:
        self.predictions.append(prediction)
        if len(self.predictions) >= _BATCH:
            self.flush()
        return 1

    def flush(self) -> None:
        if self.tasks:
            self.client.import_tasks(self.project, self.tasks)
            self.tasks = []
        if self.predictions:
            self.client.import_predictions(self.project, self.predictions)
            self.predictions = []


@contextmanager
def _lock(workspace: Workspace) -> Iterator[None]:
    """Keep two pushes of one workspace apart; the system frees the lock when the process ends, however it ends."""
    with (workspace.folder("servers") / "push.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ServerError("label-studio", str(workspace.root), "another `label push` of this workspace is running") from error
        yield


def _prepare_project(workspace: Workspace, client: Client, document_root: str) -> int:
    config = build_label_config(workspace.taxonomy)
    project = client.find_project(workspace.config.project)
    if project is None:
        project = client.create_project(workspace.config.project, config)
    elif project["label_config"] != config:
        client.update_project(int(project["id"]), label_config=config)
    client.link_folder(int(project["id"]), str(workspace.folder(f"crops/{FRAMES}")))
    return int(project["id"])


def _link_backend(workspace: Workspace, client: Client, project: int) -> bool:
    backend = find_server(workspace, "backend")
    if backend is None:
        return False
    client.link_backend(project, backend.url)
    return True


def collect_proposals(workspace: Workspace, catalogue: Catalogue) -> dict[str, list[PredictedSpan]]:
    """Return tubelet id → its newest proposals in the order of the taxonomy's axes."""
    out: dict[str, list[PredictedSpan]] = defaultdict(list)
    for axis in workspace.taxonomy.axes:
        for span in catalogue.list_predictions(axis.id):
            out[span.tubelet_id].append(span)
    return out


def _reconcile(client: Client, project: int) -> tuple[dict[str, _Known], int]:
    """Return the tasks by key; doubled tasks that nobody has labelled, and doubled predictions, are deleted and counted."""
    tasks: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in client.iter_tasks(project, full=True):
        key = task.get("data", {}).get("key")
        if isinstance(key, str):
            tasks[key].append(task)
    known: dict[str, _Known] = {}
    removed = 0
    for key, same in tasks.items():
        kept, *doubles = sorted(same, key=lambda task: (not task["annotations"], int(task["id"])))
        for double in doubles:
            if not double["annotations"]:
                client.delete_task(int(double["id"]))
                removed += 1
        versions: dict[str, list[int]] = defaultdict(list)
        for prediction in sorted(kept["predictions"], key=lambda p: int(p["id"])):
            versions[str(prediction["model_version"])].append(int(prediction["id"]))
        if not kept["annotations"]:
            removed += _drop_doubles(client, versions.values())
        known[key] = _Known(id=int(kept["id"]), labelled=bool(kept["annotations"]), versions=dict(versions))
    return known, removed


def _drop_doubles(client: Client, groups: Collection[Sequence[int]]) -> int:
    doubles = [number for group in groups for number in group[1:]]
    for number in doubles:
        client.delete_prediction(number)
    return len(doubles)


def _choose_version(versions: Counter[str]) -> str:
    """Return the version that most tasks have; Label Studio shows scores of the project's own version only."""
    return versions.most_common(1)[0][0]
