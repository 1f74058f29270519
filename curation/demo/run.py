"""The whole loop, stage by stage, through the same functions, servers and pages that people use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, frozen

from curation.demo.settings import DemoSettings, prepare_workspace
from curation.demo.table import F1, Row, StageClock, format_duration, format_table
from curation.simulated import SimulatedAnnotator
from schemas.errors import CurationError, NotEnoughData

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.labelstudio.client import Client
    from curation.render.measure import PeopleMeasure
    from curation.store import ArrayStore, Catalogue

__all__ = ["DemoReport", "run_demo", "run_video"]

CURATOR = "simulated curator"
NOT_REVIEWED = "not-yet-reviewed"


@frozen(kw_only=True)
class DemoReport:
    """What the demonstration showed. `passed` = its claims hold; `failures` names those that do not."""

    table: str
    addresses: dict[str, str]
    data: dict[str, Any]
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every claim held."""
        return not self.failures


@define(kw_only=True)
class _Loop:
    """What the stages share."""

    settings: DemoSettings
    workspace: Workspace
    catalogue: Catalogue
    arrays: ArrayStore
    clock: StageClock
    rows: list[Row] = Factory(list)
    data: dict[str, Any] = Factory(dict)

    @property
    def axis(self) -> str:
        return self.workspace.taxonomy.primary.id


def run_demo(settings: DemoSettings, say: Callable[[str], None], *, serve: bool = False) -> DemoReport:
    """Run the whole loop on a rendered classroom.

    Args:
        settings: sizes and seeds.
        say: told, line by line, what goes on.
        serve: leave the servers up at the end.

    Raises:
        CurationError: if a part is missing or fails.
    """
    clock = StageClock(say)
    workspace = prepare_workspace(settings)
    with (
        _opened(settings, workspace, clock) as loop,
        _servers(workspace, clock, serve=serve) as wait_for_servers,
        _open_trainers(len(settings.model_seeds)) as trainers,
    ):
        media = _render(loop)
        _preannotate(loop, media)
        truth = _measure_people(loop, media)
        wait_for_servers()
        annotator = _split_and_label(loop, truth)
        before = _Training.start(loop, trainers, "before")
        found = _review(loop, annotator)
        before.gate()
        after = _Training.start(loop, trainers, "after")
        after.gate()
        _label_next(loop, annotator)
        _review(loop, annotator, again=True)
        later = _Training.start(loop, trainers, "next")
        later.gate()
        f1 = {training.name: training.finish() for training in (before, after, later)}
        addresses = list_addresses(workspace)
    return _report(loop, addresses, found, f1)


def run_video(settings: DemoSettings, video: Path, say: Callable[[str], None]) -> tuple[str, dict[str, str]]:
    """Take one's own video as far as the tasks that wait in Label Studio; the servers stay up.

    Returns:
        A line that sums up, and the addresses to open.

    Raises:
        CurationError: if the file is no video, nobody is found in it, or a part fails.
    """
    from curation.ingest import add_media
    from curation.labelstudio.push import push_tasks
    from curation.media import probe_media
    from curation.preannotate import preannotate
    from curation.servers import start_servers

    probe_media(video)
    clock = StageClock(say)
    workspace = prepare_workspace(settings)
    with _opened(settings, workspace, clock) as loop:
        added = add_media(workspace, loop.catalogue, [video])
        for path, reason in added.failed:
            raise CurationError(f"{path}: {reason}")
        with clock.stage("people, poses and proposals"):
            done = preannotate(workspace, loop.catalogue, loop.arrays)
        if not done.tubelets:
            raise NotEnoughData(f"people in {video}", 1, 0)
        with clock.stage("servers"):
            start_servers(workspace, progress=say)
        with clock.stage("tasks to Label Studio"):
            pushed = push_tasks(workspace, loop.catalogue, loop.arrays)
    line = f"{done.people} people, {done.tubelets} tubelets; {pushed.created} tasks wait in Label Studio at {pushed.url}"
    return line, list_addresses(workspace)


def list_addresses(workspace: Workspace) -> dict[str, str]:
    """Return what to open: pages, and the annotators' login."""
    from curation.review.app import find_page
    from curation.review.dataset import name_dataset
    from curation.servers import read_login, read_status

    urls = {status.name: status.url for status in read_status(workspace)}
    login = read_login(workspace) or {}
    return {
        "Label Studio": urls["label-studio"],
        "user": login.get("user", ""),
        "password": login.get("password", ""),
        "FiftyOne": find_page(name_dataset(workspace, workspace.taxonomy.primary.id), workspace.config.ports.fiftyone),
    }


@contextmanager
def _opened(settings: DemoSettings, workspace: Workspace, clock: StageClock) -> Iterator[_Loop]:
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue:
        arrays = ArrayStore(workspace.folder("arrays"))
        yield _Loop(settings=settings, workspace=workspace, catalogue=catalogue, arrays=arrays, clock=clock)


@contextmanager
def _servers(workspace: Workspace, clock: StageClock, *, serve: bool) -> Iterator[Callable[[], None]]:
    """Start the servers beside the work; the value waits until they answer, and raises what went wrong."""
    from curation.servers import start_servers, stop_servers

    problems: list[BaseException] = []

    def start() -> None:
        try:
            start_servers(workspace)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            problems.append(error)

    thread = threading.Thread(target=start, name="servers", daemon=True)
    thread.start()

    def wait() -> None:
        with clock.stage("waiting for the servers (they start beside the work)"):
            thread.join()
        if problems:
            raise problems[0]

    finished = False
    try:
        yield wait
        finished = True
    finally:
        thread.join()
        if not (serve and finished):
            stop_servers(workspace)


def _render(loop: _Loop) -> list[Path]:
    from curation.render import render_classroom

    s = loop.settings
    with loop.clock.stage("rendering the classroom"):
        return render_classroom(
            s.root / "media", seed=s.seed, lessons=s.lessons, cameras=s.cameras, seconds=s.seconds, workers=2, fps=6.0
        )


def _preannotate(loop: _Loop, media: list[Path]) -> None:
    from curation.ingest import add_media
    from curation.preannotate import preannotate

    with loop.clock.stage("people, poses and proposals"):
        added = add_media(loop.workspace, loop.catalogue, media)
        done = preannotate(loop.workspace, loop.catalogue, loop.arrays)
    for path, reason in [*added.failed, *done.set_aside]:
        raise CurationError(f"{path}: {reason}")
    rate = f"{done.frames / done.seconds:.1f} frames/s"
    loop.rows.append(Row("clips, tracks, tubelets", f"{done.clips}, {done.people}, {done.tubelets}", f"rendered; {rate}"))
    loop.data |= {"clips": done.clips, "tracks": done.people, "tubelets": done.tubelets}


def _measure_people(loop: _Loop, media: list[Path]) -> dict[str, str]:
    """Return the true behaviour of every tubelet that is a person, and put down how well people were found."""
    from curation.render.measure import measure_people, truth_of_tubelets
    from curation.render.truth import read_truth, truth_path

    truths = {str(path.resolve()): read_truth(truth_path(path)) for path in media}
    clips = {clip.id: truths[str(Path(clip.uri).resolve())] for clip in loop.catalogue.list_clips()}
    tracks = {clip_id: loop.arrays.read_tracks(clip_id) for clip_id in clips}
    people = measure_people(tracks, clips)
    strict = measure_people(tracks, clips, by_pose=False)
    loop.rows += [
        Row(
            "people found, by box or by head",
            _describe_people(people),
            f"PCK@0.2 {people.pck:.3f}: nose, shoulders, elbows, wrists",
        ),
        Row("  by box alone (IoU >= 0.5)", _describe_people(strict), f"PCK@0.2 {strict.pck:.3f}"),
    ]
    loop.data |= {"box_recall": strict.person_recall, "box_precision": strict.person_precision}
    loop.data |= {"person_recall": people.person_recall, "person_precision": people.person_precision, "pck": people.pck}
    out: dict[str, str] = {}
    for clip_id, truth in clips.items():
        by_id = {track.id: track for track in tracks[clip_id]}
        said = truth_of_tubelets(truth, loop.catalogue.list_tubelets(clip_id), by_id)
        out |= {tubelet: value for tubelet, value in said.items() if value is not None}
    return out


def _describe_people(people: PeopleMeasure) -> str:
    return f"{people.person_recall:.3f} recall, {people.person_precision:.3f} precision"


def _split_and_label(loop: _Loop, truth: Mapping[str, str]) -> SimulatedAnnotator:
    from curation.split import make_split

    s = loop.settings
    contexts = loop.catalogue.describe_tubelets()
    lessons = sorted({context.lesson for context in contexts.values()})
    test, first = set(lessons[-s.n_test :]), set(lessons[: s.n_first])
    make_split(loop.workspace, loop.catalogue, test_lessons=sorted(test), seed=s.seed)
    annotator = SimulatedAnnotator(
        axis=loop.axis,
        values=loop.workspace.taxonomy.primary.values,
        truth=truth,
        error_rate=s.error_rate,
        seed=s.seed,
        careful=frozenset(t for t, context in contexts.items() if context.lesson in test),
    )
    label_tubelets(loop, annotator, {t for t, context in contexts.items() if context.lesson in test | first})
    return annotator


def label_tubelets(loop: _Loop, annotator: SimulatedAnnotator, tubelets: set[str]) -> int:
    """Push the pages of `tubelets`, have them labelled through Label Studio's API, pull; return the new labels."""
    from curation.labelstudio.account import load_account
    from curation.labelstudio.client import Client
    from curation.labelstudio.pull import pull_annotations
    from curation.labelstudio.push import push_tasks

    with loop.clock.stage("tasks to Label Studio"):
        pushed = push_tasks(loop.workspace, loop.catalogue, loop.arrays, tubelet_ids=tubelets)
    with loop.clock.stage("labelling (simulated annotator)"), Client(load_account(loop.workspace)) as client:
        annotate_project(client, pushed.project, annotator)
    with loop.clock.stage("labels from Label Studio"):
        return pull_annotations(loop.workspace, loop.catalogue, loop.arrays).labels


def annotate_project(client: Client, project: int, annotator: SimulatedAnnotator) -> int:
    """Label every task that nobody has labelled yet, starting from its newest prediction; return how many."""
    done = 0
    for task in list(client.iter_tasks(project, full=True)):
        if task["annotations"] or not task["predictions"]:
            continue
        prediction = max(task["predictions"], key=lambda p: int(p["id"]))
        client.create_annotation(task["id"], annotator.annotate(prediction["result"]), parent_prediction=prediction["id"])
        done += 1
    return done


@frozen(kw_only=True)
class _Training:
    """One model, trained on one export with every seed while the loop goes on; the first goes through the gate."""

    loop: _Loop
    name: str
    n_train: int
    versions: Sequence[Future[str]]

    @classmethod
    def start(cls, loop: _Loop, trainers: ProcessPoolExecutor, name: str) -> _Training:
        """Export the labels as they stand, and begin to train."""
        from curation.export import export_set

        out = loop.workspace.folder("exports") / name
        with loop.clock.stage("export, training and gate"):
            options = {"formats": ("sequences", "coco"), "balance": "oversample", "name": name, "pictures": True}
            manifest = export_set(loop.workspace, loop.catalogue, loop.arrays, out, **options)  # type: ignore[arg-type]
            root = loop.workspace.root
            versions = [trainers.submit(_train_seed, root, out, seed) for seed in loop.settings.model_seeds]
        return cls(loop=loop, name=name, n_train=len(manifest.splits["train"]), versions=versions)

    def gate(self) -> None:
        """Wait for the first model, and let it through if it is better than the one in use."""
        from curation.gate import promote

        loop = self.loop
        with loop.clock.stage("export, training and gate"):
            gate = promote(loop.workspace, loop.catalogue, loop.arrays, version=self.versions[0].result())
        loop.data[f"gate_{self.name}"] = {"decision": gate.decision, "reason": gate.reason}

    def finish(self) -> F1:
        """Wait for all models, and measure them on the clean lessons."""
        from curation.gate import evaluate_model

        loop, values = self.loop, []
        with loop.clock.stage("export, training and gate"):
            for version in self.versions:
                found = evaluate_model(loop.workspace, loop.catalogue, loop.arrays, version=version.result())
                values.append(found[1].macro_f1)
        loop.data[f"train_{self.name}"] = {"n_train": self.n_train, "macro_f1": values}
        return F1(tuple(values))


@contextmanager
def _open_trainers(most: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that train side by side; those that wait are dropped where the loop fails."""
    from curation.engines.local import count_cores

    pool = ProcessPoolExecutor(min(count_cores(), most), mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _train_seed(root: Path, export: Path, seed: int) -> str:
    from curation.config import open_workspace
    from curation.registry import train_model
    from curation.store import Catalogue

    workspace = open_workspace(root)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        return train_model(workspace, catalogue, export, seed=seed).version


def _review(loop: _Loop, annotator: SimulatedAnnotator, *, again: bool = False) -> dict[str, Any]:
    """Score, build the review, and let the curator decide on as many of the top as there are mistakes."""
    from curation.review.app import build_review
    from curation.review.simulated import SimulatedCurator
    from curation.engines.local import count_cores
    from curation.scoring.workspace import score_workspace

    with loop.clock.stage("scoring (grouped out-of-fold loss)"):
        score_workspace(loop.workspace, loop.catalogue, loop.arrays, workers=min(count_cores(), 8))
    with loop.clock.stage("review in FiftyOne (simulated curator)"):
        built = build_review(loop.workspace, loop.axis)
        app = f"http://127.0.0.1:{loop.workspace.config.ports.fiftyone}"
        options = {"view": NOT_REVIEWED} if again else {}
        curator = SimulatedCurator(app, built.name, name=CURATOR, **options)
        standing = {label.tubelet_id: label for label in loop.catalogue.current_labels(loop.axis)}
        wrong = annotator.list_mistakes(t for t, label in standing.items() if label.verdict is None)
        top = [tile.tubelet_id for tile in curator.look(len(wrong))]
        counts = curator.review_top(len(wrong), lambda tubelet, _: decide(annotator, tubelet, standing[tubelet].span.value))
    hits = sum(tubelet in wrong for tubelet in top)
    labels = sum(t not in annotator.careful for t in standing)
    found = {"k": len(wrong), "hits": hits, "precision": hits / max(len(top), 1), "labels": labels, **counts}
    loop.data["review_next" if again else "review"] = found
    return found


def decide(annotator: SimulatedAnnotator, tubelet: str, label: str) -> tuple[Any, str | None]:
    """Return what a curator who sees the truth does with one label: keep a right one, relabel a wrong one, drop a nobody."""
    true = annotator.truth.get(tubelet)
    if true is None:
        return "drop", None
    return ("keep", None) if label == true else ("relabel", true)


def _label_next(loop: _Loop, annotator: SimulatedAnnotator) -> None:
    from curation.batch import select_batch

    with loop.clock.stage("choosing the next batch (margin)"):
        batch = select_batch(loop.workspace, loop.catalogue, loop.arrays, strategy="margin", n=loop.settings.batch)
    new = label_tubelets(loop, annotator, set(batch.tubelet_ids))
    loop.data["next_batch"] = {"chosen": len(batch.tubelet_ids), "labels": new}


def _report(loop: _Loop, addresses: dict[str, str], found: Mapping[str, Any], f1: Mapping[str, F1]) -> DemoReport:
    settings, data = loop.settings, loop.data
    n = len(settings.model_seeds)
    k, labels = found["k"], found["labels"]
    trained = {
        name: f"{data[f'train_{name}']['n_train']} rows after balance (oversample); gate: {data[f'gate_{name}']['decision']}"
        for name in f1
    }
    rows = [
        *loop.rows,
        Row("labels, wrong on purpose", f"{labels}, {k}", "simulated annotator, through Label Studio's API"),
        Row("wrong among the k most suspect", f"{found['precision']:.3f}", f"{found['hits']} of k = {k}; chance {k / labels:.2f}"),
        Row("verdicts in FiftyOne", f"{found['relabel']} relabelled", f"{found['keep']} kept, {found['drop']} dropped"),
        Row("macro-F1 before curation", str(f1["before"]), trained["before"]),
        Row("macro-F1 after curation", str(f1["after"]), trained["after"]),
        Row("macro-F1 after one more round", str(f1["next"]), trained["next"]),
        *(Row(f"  {stage}", format_duration(seconds)) for stage, seconds in loop.clock.seconds.items()),
        Row("the loop", format_duration(sum(loop.clock.seconds.values()))),
    ]
    failures = []
    if found["precision"] < 0.7:
        failures.append(f"only {found['precision']:.0%} of the k most suspect labels are wrong, at least 70 % were expected")
    if f1["after"].mean <= f1["before"].mean:
        failures.append("macro-F1 after curation is not above the one before")
    title = (
        f"curate demo, seed {settings.seed}, rendered classroom; macro-F1 on {settings.n_test} clean unseen lessons, {n} trainings"
    )
    data |= {"f1": {name: value.values for name, value in f1.items()}, "seconds": dict(loop.clock.seconds)}
    return DemoReport(table=format_table(title, rows), addresses=addresses, data=data, failures=tuple(failures))
