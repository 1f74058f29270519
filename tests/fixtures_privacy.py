"""Workspaces with faces in them, and what it takes to say that none can be recognised."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from curation.config import Config, create_workspace

STRONG = 0.5
"""Structural similarity to the source below which nothing of a head is left but its place and its colours."""

SMALL = 400
"""Pictures lower than this (px) are looked for faces at twice their size."""

LEAST_FACE = 16
"""px; the detector takes letters for faces of 9 px."""


def fill_photo(root, photo):
    """Return a workspace with one photo, in which one person is known, and labelled."""
    from fixtures_people import make_pose

    from curation.ingest import add_media
    from curation.store import ArrayStore, Catalogue
    from schemas.records import HumanSpan, PoseTrack, Tubelet

    workspace = create_workspace(root, Config())
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        (clip,) = add_media(workspace, catalogue, [photo]).added
        box = np.float32([[60, 20, 460, 510]])
        track = PoseTrack(id="trk_1", clip_id=clip.id, frames=[0], boxes_xyxy=box, pose_px=make_pose(224, 118, 110)[None])
        tubelet = Tubelet.of(track.id, clip.id, 0, 0)
        ArrayStore(workspace.folder("arrays")).write_tracks(clip.id, [track])
        catalogue.commit_clip(clip.id, pipeline="test", tracks=[track], tubelets=[tubelet], predictions=[])
        catalogue.add_annotations([HumanSpan(tubelet_id=tubelet.id, axis="behaviour", value="attend", annotator="a")])
    return workspace


def fill_rendered(root: Path, lesson: Path, **settings):
    """Return a workspace with one rendered lesson and its people by their ground truth, all labelled, and the truth."""
    from fixtures_review_rendered import add_lesson, label_lessons

    from curation.render import read_truth
    from curation.store import Catalogue

    workspace = create_workspace(root, Config(**settings))
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        label_lessons(workspace, catalogue, add_lesson(workspace, catalogue, lesson))
    return workspace, read_truth(lesson)


def find_true_heads(truth, frame):
    """Return the heads (N, 4) xyxy px that a rendered frame shows: eyes, ears, nose and mouth, and a little around them."""
    points = truth.pose[frame, :, :11, :2]
    points = points[np.isfinite(points).all(axis=(1, 2))]
    low, high = points.min(axis=1), points.max(axis=1)
    return np.concatenate([low - 0.15 * (high - low), high + 0.15 * (high - low)], axis=1)


def compare_heads(source_rgb, copy_rgb, boxes_xyxy):
    """Return for each head the structural similarity of copy and source, and the share of the source's detail that is left."""
    from skimage.metrics import structural_similarity

    out = []
    for x1, y1, x2, y2 in np.asarray(boxes_xyxy).round().astype(int):
        cuts = [cv2.cvtColor(p[max(y1, 0) : y2, max(x1, 0) : x2], cv2.COLOR_RGB2GRAY) for p in (source_rgb, copy_rgb)]
        if min(cuts[0].shape) < 7:
            continue
        detail = [float(cv2.Laplacian(cut, cv2.CV_64F).std()) for cut in cuts]
        out.append((structural_similarity(*cuts, data_range=255, win_size=7), detail[1] / detail[0]))
    return np.array(out).reshape(-1, 2)


def read_copy(path):
    """Return a copy's picture, RGB: of a tile the four moments that stand still, where nothing is drawn."""
    if path.suffix != ".mp4":
        return cv2.imread(str(path))[:, :, ::-1]
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return picture[:, picture.shape[1] // 2 :]


def list_true_heads(workspace, truth):
    """Return picture → heads (N, 4) xyxy px, by ground truth, for every picture that `label push` and `review open` make."""
    from curation.labelstudio.tasks import find_frame, plan_tasks
    from curation.review.tiles import plan_tile, project_pose, tile_path
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue:
        heads = {find_frame(workspace, plan): find_true_heads(truth, plan.frame) for plan in plan_tasks(workspace, catalogue)}
        tubelets, clips = catalogue.list_tubelets(), {clip.id: clip for clip in catalogue.list_clips()}
    tracks = {t.id: t for clip in clips for t in ArrayStore(workspace.folder("arrays")).read_tracks(clip)}
    for tubelet in tubelets:
        track = tracks[tubelet.track_id]
        tile = plan_tile(tubelet, track, clips[tubelet.clip_id])
        boxes = []
        for place, moment in enumerate(tile.moments):
            points = project_pose(tile, track.pose_px[tile.rows[moment]])[:11] * (118 / 240, 158 / 320)
            points += (120 * (place % 2) + 2, 160 * (place // 2) + 2)
            boxes.append([*np.nanmin(points, axis=0) - 2, *np.nanmax(points, axis=0) + 2])
        heads[tile_path(workspace, tubelet)] = np.array(boxes)
    return heads


class FaceCounter:
    """Counts the faces that the detector sees in a picture and in overlapping parts of it."""

    def __init__(self):
        from backends.people.face import FaceEstimator

        self._faces = FaceEstimator(least_score=0.5)
        self.close = self._faces.close

    def count(self, rgb, boxes_xyxy):
        """Return for each box (N, 4) px how many faces have their middle in it."""
        if len(rgb) < SMALL:
            rgb, boxes_xyxy = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), 2 * np.asarray(boxes_xyxy)
        height, width = rgb.shape[:2]
        tiles = [(0, 0, height, width)]
        for side in (min(height, width), min(height, width) // 2):
            step = max(side // 2, 1)
            tiles += [(y, x, side, side) for y in range(0, height - side + 1, step) for x in range(0, width - side + 1, step)]
        middles = np.concatenate([self._find(rgb, *tile) for tile in tiles])
        return np.array([((middles > box[:2]) & (middles < box[2:])).all(axis=1).sum() for box in np.asarray(boxes_xyxy)])

    def _find(self, rgb, top, left, height, width):
        boxes = self._faces.detect(np.ascontiguousarray(rgb[top : top + height, left : left + width]))[0]
        boxes = boxes[boxes[:, 2] - boxes[:, 0] >= LEAST_FACE]
        return (boxes[:, :2] + boxes[:, 2:]) / 2 + (left, top)


@pytest.fixture(scope="session")
def count_faces(bundle_folder):
    counter = FaceCounter()
    yield counter.count
    counter.close()


def list_media(folder):
    """Return every picture and video below a folder, by what is in the file and not by its name."""
    from curation.media import probe_media
    from schemas.errors import MediaError

    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            probe_media(path)
        except MediaError:
            continue
        found.append(path)
    return found
