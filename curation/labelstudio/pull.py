"""Annotators' work from Label Studio into the catalogue: append-only, each statement once, nothing of it lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from attrs import define, field, frozen

from curation.config import Workspace
from curation.labelstudio.account import load_account
from curation.labelstudio.client import Client
from curation.labelstudio.people import Matcher
from curation.labelstudio.tasks import MIN_VISIBILITY, TaskPlan, find_window, load_tracks, plan_tasks
from curation.store import ArrayStore, Catalogue
from curation.tubelets import box_at, pose_at
from schemas.errors import FormatError, InvalidField, ServerError, UnknownName
from schemas.labelstudio import BODY_NODES, Annotation, Person, decode_annotation, decode_result, parse_model_version
from schemas.records import HumanSpan, PoseTrack, Tubelet
from schemas.vocabulary import Label

__all__ = ["LabelStatus", "PullResult", "pull_annotations", "read_label_status"]

_MOVED_PX = 0.5
"""A box edge or a keypoint that is off by less has not been moved by a person."""


@define(kw_only=True)
class PullResult:
    """What a pull found: annotations read, of these skipped or empty; new label rows and new people; and what could not be taken.

    `problems` has one line for each region or value that does not fit: it stays in Label Studio, and can be pulled when it does.
    """

    annotations: int = 0
    skipped: int = 0
    empty: int = 0
    labels: int = 0
    people: int = 0
    problems: list[str] = field(factory=list)


@frozen(kw_only=True)
class LabelStatus:
    """How far the annotators are. `pulled` counts annotations with at least one label in the catalogue."""

    project: int | None
    url: str
    tasks: int
    labelled_tasks: int
    annotations: int
    skipped: int
    pulled: int


def pull_annotations(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PullResult:
    """Read every annotation of the workspace's project into the catalogue; what is there already is not added again.

    Labels keep who said it, when, and from which proposal they started (where the annotator began with a prediction); a box or
    keypoint that the annotator moved is kept with them. A person without a known tubelet is matched by overlap with the window's,
    else added as a new person of one frame.

    Args:
        workspace: names the project.
        catalogue: where labels go.
        arrays: where drawn people go.
        progress: called with (tasks done, tasks in all).

    Raises:
        ServerError: if Label Studio is down or has no such project; run it again then.
        AuthError: if it refuses the token.
    """
    result = PullResult()
    with Client(load_account(workspace)) as client:
        project = client.find_project(workspace.config.project)
        if project is None:
            raise ServerError("label-studio", client.url, f"has no project {workspace.config.project!r}; run `curate label push`")
        number = int(project["id"])
        users = client.list_users()
        reader = _Puller(workspace, catalogue, arrays, number, users, result)
        total = int(project.get("task_number") or 0)
        for done, task in enumerate(client.iter_tasks(number, full=True), 1):
            reader.read_task(task)
            progress(done, max(total, done))
    return result


def read_label_status(workspace: Workspace, catalogue: Catalogue) -> LabelStatus:
    """Count tasks, annotations and what of them has been pulled.

    Raises:
        ServerError, AuthError: as `pull_annotations`.
    """
    with Client(load_account(workspace)) as client:
        client.check_token()
        project = client.find_project(workspace.config.project)
        if project is None:
            return LabelStatus(project=None, url=client.url, tasks=0, labelled_tasks=0, annotations=0, skipped=0, pulled=0)
        number = int(project["id"])
        tasks = list(client.iter_tasks(number, full=False))
        url = f"{client.url}/projects/{number}/data"
    origins = {span.origin for span in catalogue.list_annotations() if span.origin.startswith(f"label-studio/{number}/")}
    return LabelStatus(
        project=number,
        url=url,
        tasks=len(tasks),
        labelled_tasks=sum(bool(task["total_annotations"]) for task in tasks),
        annotations=sum(int(task["total_annotations"]) for task in tasks),
        skipped=sum(int(task["cancelled_annotations"]) for task in tasks),
        pulled=len(origins),
    )


class _Puller:
    """Turns one task after the other into rows; a task's rows go into the catalogue together."""

    def __init__(
        self,
        workspace: Workspace,
        catalogue: Catalogue,
        arrays: ArrayStore,
        project: int,
        users: dict[int, str],
        result: PullResult,
    ) -> None:
        self.taxonomy, self.catalogue, self.arrays = workspace.taxonomy, catalogue, arrays
        self.project, self.users, self.result = project, users, result
        self.plans = {plan.key: plan for plan in plan_tasks(workspace, catalogue)}
        self.proposals: dict[tuple[str, str, str], dict[str, str]] = {}
        self.cache: dict[str, dict[str, Any]] = {}

    def read_task(self, task: dict[str, Any]) -> None:
        """Take one task's annotations."""
        annotations = sorted(task.get("annotations") or [], key=lambda a: int(a["id"]))
        plan = self.plans.get(find_window(str(task.get("data", {}).get("key"))))
        if not annotations:
            return
        if plan is None:
            self.result.problems.append(f"task {task.get('id')}: its clip and window are not in the catalogue")
            self.result.annotations += len(annotations)
            return
        tracks = load_tracks(self.arrays, plan, self.cache)
        matcher = Matcher(plan, tracks)
        spans: list[HumanSpan] = []
        for raw in annotations:
            spans += self._read_annotation(task, raw, plan, matcher, tracks)
        if matcher.tracks:
            self.arrays.add_tracks(plan.clip.id, matcher.tracks)
            self.result.people += self.catalogue.add_tracks(matcher.tracks, matcher.tubelets)
        self.result.labels += self.catalogue.add_annotations(spans)

    def _read_annotation(
        self, task: dict[str, Any], raw: Any, plan: TaskPlan, matcher: Matcher, tracks: dict[str, PoseTrack]
    ) -> list[HumanSpan]:
        self.result.annotations += 1
        try:
            said = decode_annotation(raw)
        except FormatError as error:
            self.result.problems.append(str(error))
            return []
        self.result.problems += said.problems
        if said.cancelled:
            self.result.skipped += 1
            return []
        if not said.people:
            self.result.empty += 1
        prediction = next((p for p in task.get("predictions") or [] if p["id"] == said.parent_prediction), None)
        shown = _read_prediction(prediction)
        version = str(prediction["model_version"]) if prediction else ""
        spans: list[HumanSpan] = []
        for person, tubelet in matcher.match(said.people):
            labels = list(self._check_labels(said, person))
            if tubelet is None:
                if person.labels:
                    self.result.problems.append(f"annotation {said.id}: {person.id} has labels and no box")
                continue
            correction = _find_correction(person, shown.get(person.id), tracks.get(tubelet.track_id), plan.frame)
            spans += self._make_spans(said, tubelet, labels, version, correction)
        return spans

    def _check_labels(self, said: Annotation, person: Person) -> Iterator[Label]:
        for label in person.labels:
            try:
                yield self.taxonomy.check_label(label)
            except UnknownName as error:
                self.result.problems.append(f"annotation {said.id}: {person.id}: {error}")
        for a, b in self.taxonomy.find_conflicts(_known(self.taxonomy, person.labels)):
            self.result.problems.append(f"annotation {said.id}: {person.id}: {a} and {b} exclude each other; both were taken")

    def _make_spans(
        self, said: Annotation, tubelet: Tubelet, labels: Sequence[Label], version: str, correction: dict[str, Any]
    ) -> list[HumanSpan]:
        annotator = self.users.get(said.annotator_id) or f"user-{said.annotator_id}"
        return [
            HumanSpan(
                tubelet_id=tubelet.id,
                axis=label.axis,
                value=label.value,
                annotator=annotator,
                from_predicted=self._find_proposal(version, label.axis, tubelet.id),
                origin=f"label-studio/{self.project}/annotations/{said.id}",
                made_at=said.updated_at,
                **correction,
            )
            for label in labels
        ]

    def _find_proposal(self, model_version: str, axis: str, tubelet_id: str) -> str | None:
        for model, version in parse_model_version(model_version):
            key = (axis, model, version)
            if key not in self.proposals:
                found = self.catalogue.list_predictions(axis, model=model, version=version)
                self.proposals[key] = {span.tubelet_id: span.id for span in found}
            if tubelet_id in self.proposals[key]:
                return self.proposals[key][tubelet_id]
        return None


def _known(taxonomy: Any, labels: Sequence[Label]) -> tuple[Label, ...]:
    values = {axis.id: axis.values for axis in taxonomy.axes}
    return tuple(label for label in labels if label.value in values.get(label.axis, ()))


def _read_prediction(prediction: dict[str, Any] | None) -> dict[str, Person]:
    if prediction is None:
        return {}
    try:
        return {person.id: person for person in decode_result(prediction["result"], where=f"prediction {prediction['id']}")}
    except (FormatError, InvalidField):
        return {}


def _find_correction(person: Person, shown: Person | None, track: PoseTrack | None, frame: int) -> dict[str, Any]:
    """Return the fields of a `HumanSpan` for what the annotator moved; empty if nothing.

    A keypoint that was shown and is gone was taken away by the annotator (visibility 0); one not shown is as the model has it.
    """
    if track is None or person.box_xyxy is None:
        return {}
    box = shown.box_xyxy if shown is not None and shown.box_xyxy is not None else tuple(box_at(track, frame).tolist())
    out: dict[str, Any] = {}
    if np.abs(np.subtract(person.box_xyxy, box)).max() > _MOVED_PX:
        out["box_xyxy"] = person.box_xyxy
    if person.pose_px is not None:
        model = np.array(pose_at(track, frame))
        offered = np.zeros(len(model), bool)
        offered[list(BODY_NODES)] = True
        offered &= np.isfinite(model).all(axis=1) & (model[:, 3] >= MIN_VISIBILITY)
        given = np.asarray(np.isfinite(person.pose_px).all(axis=1))
        moved = given & ~(np.abs(person.pose_px[:, :2] - model[:, :2]) <= _MOVED_PX).all(axis=1)
        if moved.any() or (offered & ~given).any():
            merged = np.where(given[:, None], person.pose_px, model)
            merged[offered & ~given, 3] = 0
            out["pose_px"] = merged
    return {**out, "frame": frame} if out else {}
