"""A small workspace of synthetic students for the tests of export and learning: real records, arrays and catalogue."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from attrs import define

from curation.config import Config, Learning, Preannotation, create_workspace
from curation.store import ArrayStore, Catalogue
from curation.tubelets import cut_tubelets
from schemas.records import Clip, HumanSpan, PoseTrack, Seat

VALUES = ("attend", "write", "raise-hand", "sleep")
_SHIFT = {"attend": (0, 0), "write": (0, 60), "raise-hand": (0, -90), "sleep": (-80, 45)}


def pose_of(value, rng, centre):
    """One pose (33, 4) px whose wrists and nose stand where `value` has them."""
    base = np.random.default_rng(7).uniform(-40, 40, size=(33, 2))
    base[11], base[12], base[23], base[24] = (-20, -20), (20, -20), (-15, 40), (15, 40)
    pose = base + rng.normal(0, 2.0, (33, 2)) + centre
    pose[13:23] += _SHIFT[value]
    if value == "sleep":
        pose[:11] += (0, 35)
    return np.column_stack([pose, np.zeros(33), np.ones(33)]).astype(np.float32)


def add_lesson(catalogue, arrays, lesson, students, *, seed=0, windows=6, settings=None, values=VALUES, school="school"):
    """Add one clip of windows of 2 s at 6 frames/s in which students change behaviour; return (tubelet, value) pairs."""
    settings = settings or Preannotation()
    rng = np.random.default_rng([seed, int(hashlib.sha256(lesson.encode()).hexdigest()[:8], 16)])
    sha = hashlib.sha256(f"{lesson}/{seed}".encode()).hexdigest()
    n_frames = round(windows * settings.window * 6)
    clip = Clip(
        id=Clip.compute_id(sha), uri=f"{lesson}.mp4", sha256=sha, n_frames=n_frames, fps=6.0, width=1280, height=720,
        timestamps=np.arange(n_frames) / 6, lesson=lesson, school=school,
        seats=tuple(Seat(student=s, box_xyxy=(100 * i, 0, 100 * i + 90, 700)) for i, s in enumerate(students) if s),
    )  # fmt: skip
    per = n_frames // windows
    tracks, shown = [], {}
    for i, student in enumerate(students):
        centre = np.array([100 + 150 * i, 350])
        said = [values[(i + w + int(rng.integers(2))) % len(values)] for w in range(windows)]
        pose = np.stack([pose_of(said[min(f // per, windows - 1)], rng, centre) for f in range(n_frames)])
        pose[:, 27:33] = np.nan
        box = np.array([centre[0] - 60, 250, centre[0] + 60, 450], np.float32)
        boxes = np.repeat(box[None], n_frames, axis=0) + rng.uniform(0, 3, (n_frames, 1)).astype(np.float32)
        track = PoseTrack(
            id=PoseTrack.compute_id(clip.id, 0, boxes[0], "synthetic/1"), clip_id=clip.id, frames=np.arange(n_frames),
            boxes_xyxy=boxes, pose_px=pose, student=student,
        )  # fmt: skip
        tracks.append(track)
        shown[track.id] = said
    tubelets = cut_tubelets(tracks, clip, window=settings.window, fps=settings.fps)
    catalogue.add_clips([clip])
    arrays.write_tracks(clip.id, tracks)
    catalogue.commit_clip(clip.id, pipeline="synthetic/1", tracks=tracks, tubelets=tubelets, predictions=[])
    return [(t, shown[t.track_id][min(t.first // per, windows - 1)]) for t in tubelets]


def label(catalogue, pairs, *, annotator="ann", axis="behaviour", made_at="2026-01-01T00:00:00+00:00"):
    """Add a person's label for each (tubelet, value)."""
    spans = [
        HumanSpan(tubelet_id=t.id, axis=axis, value=v, annotator=annotator, origin=f"import/{t.id}", made_at=made_at)
        for t, v in pairs
    ]
    catalogue.add_annotations(spans)
    return spans


@define
class School:
    """An open workspace with what was put into it."""

    workspace: object
    catalogue: Catalogue
    arrays: ArrayStore
    pairs: dict

    @property
    def all(self):
        return self.workspace, self.catalogue, self.arrays


@pytest.fixture
def make_school(tmp_path):
    """Return a function that makes a workspace of `n` lessons of two own students each, all labelled."""
    opened = []

    def make(n=6, *, folder="school", labelled=True, windows=6, model="logreg", students=None):
        config = Config(learning=Learning(model=model, folds=2), preannotation=Preannotation(workers=1))
        workspace = create_workspace(tmp_path / folder, config)
        catalogue = Catalogue.open(workspace.catalogue_url)
        opened.append(catalogue)
        arrays = ArrayStore(workspace.folder("arrays"))
        pairs = {}
        for i in range(n):
            names = students[i] if students else (f"s{i}a", f"s{i}b")
            pairs[f"lesson-{i}"] = add_lesson(catalogue, arrays, f"lesson-{i}", names, windows=windows)
            if labelled:
                label(catalogue, pairs[f"lesson-{i}"])
        return School(workspace, catalogue, arrays, pairs)

    yield make
    for catalogue in opened:
        catalogue.close()


@pytest.fixture
def learning_tools():
    """Return the functions that put more into a workspace."""
    return {"add_lesson": add_lesson, "label": label}
