"""A review of rendered lessons: real tiles, and labels of which some are wrong and most of those look wrong to a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures_review import AXIS, ReviewApp, free_port, run_review_app

from curation.config import Config, Workspace, create_workspace
from curation.media import probe_media
from curation.render import Truth, read_truth, render_classroom, truth_of_tubelets
from curation.store import ArrayStore, Catalogue
from curation.tubelets import cut_tubelets, plan_windows, sample_frames
from schemas.records import Clip, HumanSpan, PoseTrack, PredictedSpan, Tubelet
from schemas.scores import SampleScore

WRONG = 0.22
"""Share of labels that are made wrong."""
TAKEN_FOR = {
    "attend": "look-aside", "look-aside": "attend", "write": "turn-page", "turn-page": "write", "phone": "write",
    "raise-hand": "attend", "sleep": "write", "stand": "attend",
}  # fmt: skip
"""What each behaviour is most easily taken for."""


def make_tracks(clip: Clip, truth: Truth, frames: np.ndarray) -> list[PoseTrack]:
    """Every student's exact boxes and poses in the sampled frames."""
    tracks = []
    for person, student in enumerate(truth.student):
        seen = frames[np.isfinite(truth.boxes[frames, person]).all(axis=1)]
        if len(seen):
            boxes, pose = truth.boxes[seen, person], truth.pose[seen, person]
            track = PoseTrack.compute_id(clip.id, int(seen[0]), boxes[0], "truth")
            tracks.append(PoseTrack(id=track, clip_id=clip.id, frames=seen, boxes_xyxy=boxes, pose_px=pose, student=str(student)))
    return tracks


def draw_row(truth: str, values: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Probabilities (K,) of a fair model: most on what is so, some on what it is easily taken for."""
    logits = rng.normal(0, 0.9, len(values))
    logits[values.index(truth)] += 4.5
    logits[values.index(TAKEN_FOR[truth])] += 1.5
    row = np.exp(logits)
    return row / row.sum()


def propose(tubelet: Tubelet, values: tuple[str, ...], row: np.ndarray) -> PredictedSpan:
    scores = dict(zip(values, map(float, row), strict=True))
    value = values[int(row.argmax())]
    return PredictedSpan(tubelet_id=tubelet.id, axis=AXIS, value=value, model="proposer", version="1", scores=scores)


def score(tubelet: Tubelet, label: str, values: tuple[str, ...], row: np.ndarray) -> SampleScore:
    own = float(row[values.index(label)])
    return SampleScore(
        tubelet_id=tubelet.id, axis=AXIS, label=label, suggested=values[int(row.argmax())], value=1 - own, loss=-float(np.log(own)),
        method="out-of-fold-loss", model="cnn-lstm", out_of_sample=True,
    )  # fmt: skip


def add_lesson(workspace: Workspace, catalogue: Catalogue, path: Path) -> dict[str, str]:
    """Add a rendered clip with its students; returns what each tubelet shows, in the order of the tubelets."""
    info, truth, settings = probe_media(path), read_truth(path), workspace.config.preannotation
    clip = Clip(
        id=Clip.compute_id(info.sha256), uri=str(path), sha256=info.sha256, n_frames=info.n_frames, fps=info.fps, width=info.width,
        height=info.height, timestamps=info.timestamps, lesson=path.stem.rpartition("-")[0], camera="front", school="north",
    )  # fmt: skip
    tracks = make_tracks(clip, truth, sample_frames(plan_windows(clip.timestamps, window=settings.window, fps=settings.fps)))
    tubelets = cut_tubelets(tracks, clip, window=settings.window, fps=settings.fps)
    shown = {t: value for t, value in truth_of_tubelets(truth, tubelets, {t.id: t for t in tracks}).items() if value is not None}
    rng, values = np.random.default_rng(len(shown)), workspace.taxonomy.primary.values
    proposals = [propose(t, values, draw_row(shown[t.id], values, rng)) for t in tubelets if t.id in shown]
    catalogue.add_clips([clip])
    ArrayStore(workspace.folder("arrays")).write_tracks(clip.id, tracks)
    catalogue.commit_clip(clip.id, pipeline="truth", tracks=tracks, tubelets=tubelets, predictions=proposals)
    return shown


def label_lessons(workspace: Workspace, catalogue: Catalogue, shown: dict[str, str]) -> None:
    """Label every tubelet, a seeded share of them as what the behaviour is easily taken for, and score all labels."""
    rng, values = np.random.default_rng(7), workspace.taxonomy.primary.values
    wrong = set(rng.choice(len(shown), round(WRONG * len(shown)), replace=False).tolist())
    tubelets = {tubelet.id: tubelet for tubelet in catalogue.list_tubelets()}
    labels, scores = [], []
    for n, (tubelet_id, truth) in enumerate(shown.items()):
        label = TAKEN_FOR[truth] if n in wrong else truth
        made = {"annotator": ("ines", "tom")[n % 2], "made_at": f"2026-01-05T08:{n:02d}:00Z"}
        labels.append(HumanSpan(tubelet_id=tubelet_id, axis=AXIS, value=label, **made))
        scores.append(score(tubelets[tubelet_id], label, values, draw_row(truth, values, rng)))
    catalogue.add_annotations(labels)
    catalogue.add_scores(scores, run="run1")


def fill_rendered_workspace(root: Path) -> Workspace:
    """A workspace with two rendered lessons of 6 s: 6 students × 3 windows each, labelled on `behaviour` and scored."""
    workspace = create_workspace(root, Config())
    paths = render_classroom(root.parent / f"{root.name}-media", seed=3, lessons=2, cameras=1, seconds=6, fps=6.0)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        shown: dict[str, str] = {}
        for path in paths:
            shown |= add_lesson(workspace, catalogue, path)
        label_lessons(workspace, catalogue, shown)
    return workspace


@pytest.fixture(scope="module")
def rendered_review_app(tmp_path_factory: pytest.TempPathFactory):
    """The app on a workspace of two rendered lessons, one for each test module."""
    workspace = fill_rendered_workspace(tmp_path_factory.mktemp("rendered-review") / "school")
    with run_review_app(workspace, free_port()) as url:
        yield ReviewApp(workspace, url, f"school-{AXIS}")
