"""A small labelled and scored workspace with real videos, for the tests of the review."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import attrs
import av
import cv2
import httpx
import numpy as np
import pytest

from curation.config import Config, Workspace, create_workspace
from curation.store import ArrayStore, Catalogue
from schemas.records import Clip, HumanSpan, PoseTrack, PredictedSpan, Tubelet
from schemas.scores import SampleScore

FPS, SECONDS, SIZE, PEOPLE = 12, 6, (480, 270), 3
AXIS = "behaviour"
VALUES = ("attend", "write", "raise-hand")


def find_joints(person: int, frame: int) -> np.ndarray:
    """(33, 4) px: a seated figure whose right hand goes up and down, one phase for each person."""
    x, y = 90 + 150 * person, 70
    lift = 45 * np.sin(2 * np.pi * (frame / FPS / 2 + person / 3))
    pose = np.zeros((33, 4), np.float32)
    pose[:, 3] = 1
    pose[:11, :2] = np.array([x, y]) + np.array([[(i % 5 - 2) * 3, -(i // 5) * 3] for i in range(11)])
    pose[11, :2], pose[12, :2] = (x + 28, y + 40), (x - 28, y + 40)
    pose[13, :2], pose[14, :2] = (x + 36, y + 80), (x - 36, y + 70)
    pose[15, :2], pose[16, :2] = (x + 20, y + 105), (x - 40, y + 60 - lift)
    pose[17:23, :2] = pose[[15, 16, 15, 16, 15, 16], :2] + 2
    pose[23, :2], pose[24, :2] = (x + 20, y + 120), (x - 20, y + 120)
    pose[25:] = np.nan
    return pose


def write_clip(path: Path, lesson: int) -> None:
    """An H.264 video of three figures at desks; `lesson` sets the wall's colour."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"preset": "ultrafast", "threads": "1"}
        for frame in range(FPS * SECONDS):
            rgb = np.full((SIZE[1], SIZE[0], 3), ((200, 205, 215), (215, 205, 195))[lesson % 2], np.uint8)
            for person in range(PEOPLE):
                p = np.nan_to_num(find_joints(person, frame)[:, :2]).astype(int)
                cv2.fillConvexPoly(rgb, p[[11, 12, 24, 23]], ((70, 110, 160), (150, 90, 80), (80, 140, 90))[person])
                for a, b in ((11, 13), (13, 15), (12, 14), (14, 16)):
                    cv2.line(rgb, tuple(map(int, p[a])), tuple(map(int, p[b])), (225, 185, 160), 11)
                cv2.circle(rgb, tuple(map(int, p[0])), 24, (235, 195, 170), -1)
                cv2.rectangle(rgb, (p[0][0] - 62, 190), (p[0][0] + 62, 215), (140, 110, 80), -1)
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)


def make_track(clip: Clip, person: int) -> PoseTrack:
    frames = np.arange(0, clip.n_frames, 2)
    pose = np.stack([find_joints(person, int(f)) for f in frames])
    x = 90 + 150 * person
    boxes = np.tile(np.array([x - 60, 30, x + 60, 210], np.float32), (len(frames), 1))
    return PoseTrack(
        id=PoseTrack.compute_id(clip.id, 0, boxes[0], "drawn"),
        clip_id=clip.id,
        frames=frames,
        boxes_xyxy=boxes,
        pose_px=pose,
        student=f"{clip.lesson}-seat{person}",
    )


def fill_workspace(root: Path, *, lessons: int = 2, scored: bool = True, **settings):
    """A workspace with `lessons` clips, 3 students × 3 windows each, all labelled on `behaviour` (and scored)."""
    workspace = create_workspace(root, Config(**settings))
    media = root.parent / f"{root.name}-media"
    media.mkdir(parents=True, exist_ok=True)
    arrays = ArrayStore(workspace.folder("arrays"))
    rng = np.random.default_rng(0)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        for lesson in range(lessons):
            path = media / f"lesson{lesson}.mp4"
            write_clip(path, lesson)
            sha = hashlib.sha256(path.read_bytes()).hexdigest()
            n = FPS * SECONDS
            clip = Clip(
                id=Clip.compute_id(sha), uri=str(path), sha256=sha, n_frames=n, fps=FPS, width=SIZE[0], height=SIZE[1],
                timestamps=np.arange(n) / FPS, lesson=f"lesson{lesson}", camera="front", school="north",
            )  # fmt: skip
            tracks = [make_track(clip, person) for person in range(PEOPLE)]
            tubelets = [Tubelet.of(t.id, clip.id, first, first + 22) for t in tracks for first in (0, 24, 48)]
            catalogue.add_clips([clip])
            arrays.write_tracks(clip.id, tracks)
            proposed = [_propose(t.id, rng) for t in tubelets]
            catalogue.commit_clip(clip.id, pipeline="drawn", tracks=tracks, tubelets=tubelets, predictions=proposed)
            labels = [
                HumanSpan(
                    tubelet_id=t.id,
                    axis=AXIS,
                    value=VALUES[i % 3],
                    annotator=f"ann{i % 2}",
                    made_at=f"2026-01-0{lesson + 1}T08:00:00Z",
                )
                for i, t in enumerate(tubelets)
            ]
            catalogue.add_annotations(labels)
            if scored:
                catalogue.add_scores([_score(span, rng) for span in labels], run="run1")
    return workspace


def _propose(tubelet_id: str, rng: np.random.Generator) -> PredictedSpan:
    p = rng.dirichlet(np.ones(3))
    scores = dict(zip(VALUES, map(float, p), strict=True))
    return PredictedSpan(
        tubelet_id=tubelet_id, axis=AXIS, value=VALUES[int(p.argmax())], model="proposer", version="1", scores=scores
    )


def _score(span: HumanSpan, rng: np.random.Generator) -> SampleScore:
    p = rng.dirichlet(np.ones(3))
    own = max(float(p[VALUES.index(span.value)]), 1e-6)
    return SampleScore(
        tubelet_id=span.tubelet_id, axis=AXIS, label=span.value, suggested=VALUES[int(p.argmax())], value=1 - own,
        loss=-np.log(own),        method="out-of-fold-loss", model="cnn-lstm", out_of_sample=True,
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_review_app(workspace: Workspace, port: int, *arguments: str):
    """The real app in a process of its own; yields its address once it answers, and stops it by SIGTERM."""
    log = workspace.folder("logs") / "fiftyone.log"
    command = [sys.executable, "-m", "curation.review.app", "--workspace", str(workspace.root), "--port", str(port)]
    with log.open("w") as stream:
        process = subprocess.Popen([*command, "--no-browser", *arguments], stdout=stream, stderr=stream)
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while not _answers(url):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.25)
            yield url
        finally:
            process.terminate()
            assert process.wait(60) == 0, log.read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/fiftyone", timeout=5).is_success
    except httpx.HTTPError:
        return False


@attrs.frozen
class ReviewApp:
    """A running app on a filled workspace."""

    workspace: Workspace
    url: str
    dataset: str

    def list_verdicts(self):
        with Catalogue.open(self.workspace.catalogue_url) as catalogue:
            return catalogue.list_verdicts(AXIS)

    def list_scores(self):
        """Most loss first, as the page shows them."""
        with Catalogue.open(self.workspace.catalogue_url) as catalogue:
            return sorted(catalogue.list_scores(AXIS), key=lambda score: -score.loss)


@pytest.fixture(scope="session")
def fill_review_workspace():
    """The function that makes a filled workspace."""
    return fill_workspace


@pytest.fixture(scope="session")
def start_review_app():
    """The context manager that runs the app."""
    return run_review_app


@pytest.fixture(scope="module")
def review_app(tmp_path_factory: pytest.TempPathFactory):
    """The app on a workspace of 18 labels, one for each test module."""
    workspace = fill_workspace(tmp_path_factory.mktemp("review-app") / "school")
    with run_review_app(workspace, free_port()) as url:
        yield ReviewApp(workspace, url, f"school-{AXIS}")


@pytest.fixture(scope="session")
def review_workspace(tmp_path_factory: pytest.TempPathFactory):
    """One filled workspace for the session; FiftyOne connects a process to one database, so tests in this process share it."""
    return fill_workspace(tmp_path_factory.mktemp("review") / "school")
