"""A keypoint and a box that cannot be right, in a real browser: red in the clip, named in the panel, in a view of their own."""

import base64
from io import BytesIO

import numpy as np
import pytest
from attrs import evolve
from fixtures_review import AXIS, ReviewApp, free_port, run_review_app
from fixtures_review_page import CARD, TILE, take_picture, wait_until
from fixtures_review_rendered import fill_rendered_workspace
from PIL import Image

from curation.scoring.watch import inspect_tubelets
from curation.sequences import collect_sequences
from curation.store import ArrayStore, Catalogue
from schemas.vocabulary import BLAZEPOSE_33

pytestmark = pytest.mark.browser
WRIST, ELBOW = (BLAZEPOSE_33.nodes.index(name) for name in ("left_wrist", "left_elbow"))
PICTURE = """clip => { const c = document.createElement('canvas'); c.width = clip.videoWidth; c.height = clip.videoHeight;
c.getContext('2d').drawImage(clip, 0, 0); return c.toDataURL('image/png').split(',')[1]; }"""


def spoil(arrays, tubelets):
    """Put one student's wrist far away for three frames, and another's box for all; return the two tubelets."""
    clip_id = tubelets[0].clip_id
    tracks = {track.id: track for track in arrays.read_tracks(clip_id)}
    own = [tubelet for tubelet in tubelets if tubelet.clip_id == clip_id]
    wrist = next(t for t in own if np.isfinite(tracks[t.track_id].pose_px[:, [WRIST, ELBOW], 0]).all())
    box = next(t for t in own if t.track_id != wrist.track_id)
    track, other = tracks[wrist.track_id], tracks[box.track_id]
    pose, boxes = track.pose_px.copy(), other.boxes_xyxy.copy()
    shown = np.flatnonzero((track.frames >= wrist.first) & (track.frames <= wrist.last))[4:7]
    pose[shown, WRIST, :2] = pose[shown, 0, :2] - (0, 2.5 * np.ptp(track.boxes_xyxy[0, 1::2]))
    pose[shown, WRIST, 3] = pose[shown, ELBOW, 3] = 1
    inside = (other.frames >= box.first) & (other.frames <= box.last)
    boxes[inside] += (1.5 * np.ptp(boxes[0, ::2]), 0) * 2
    tracks |= {track.id: evolve(track, pose_px=pose), other.id: evolve(other, boxes_xyxy=boxes)}
    arrays.write_tracks(clip_id, list(tracks.values()))
    return wrist, box


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """The app on two rendered lessons whose scores say what cannot be right; and the tubelets with a bad wrist and a bad box."""
    workspace = fill_rendered_workspace(tmp_path_factory.mktemp("faults") / "school")
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        arrays = ArrayStore(workspace.folder("arrays"))
        scores = catalogue.list_scores(AXIS)
        known = {tubelet.id: tubelet for tubelet in catalogue.list_tubelets()}
        tubelets = [known[score.tubelet_id] for score in scores]
        wrist, box = spoil(arrays, tubelets)
        sequences = collect_sequences(workspace, catalogue, arrays, [t.id for t in tubelets], [s.label for s in scores])
        found = inspect_tubelets(catalogue, arrays, tubelets, sequences)
        catalogue.add_scores([evolve(s, faults=f) for s, f in zip(scores, found, strict=True)], run="faults")
    with run_review_app(workspace, free_port()) as url:
        yield ReviewApp(workspace, url, f"school-{AXIS}"), wrist, box


def is_red(pixels):
    return (pixels[..., 0] > 180) & (pixels[..., 1] < 110) & (pixels[..., 2] < 150)


def look(page, second):
    """Stop the panel's clip at a moment, and return its picture."""
    clip = page.locator("[data-cy='cr-clip']")
    clip.evaluate("(clip, t) => new Promise(done => { clip.pause(); clip.onseeked = done; clip.currentTime = t; })", second)
    return np.asarray(Image.open(BytesIO(base64.b64decode(clip.evaluate(PICTURE)))).convert("RGB")).astype(int)


def test_what_cannot_be_right_is_red_and_named(spoilt, open_review, tmp_path):
    app, wrist, box = spoilt
    scores = {score.tubelet_id: score for score in app.list_scores()}
    assert {t for t, score in scores.items() if score.faults} == {wrist.id, box.id}
    first = sorted((wrist.id, box.id), key=lambda tubelet: -scores[tubelet].value)
    with open_review(app, "?view=bad-box-or-keypoint&workspace=review") as page:
        assert page.locator(TILE).count() == 2
        told = []
        for tubelet in first:
            card = page.locator(CARD)
            faults = card.locator("[data-cy='cr-faults']")
            wait_until(lambda faults=faults: faults.count() == 1, "the panel names what cannot be right")
            said = faults.inner_text()
            told.append(said)
            assert ("left_wrist at " in said) == (tubelet == wrist.id)
            assert ("box at " in said) == (tubelet == box.id)
            bad = look(page, 0.9 if tubelet == wrist.id else 0.5)
            assert is_red(bad[:300, :240]).sum() > 50  # a line that leads away, or the box
            assert is_red(bad[312:, :240]).any()  # the bar
            if tubelet == wrist.id:
                assert is_red(look(page, 0.1)[:300, :240]).sum() < 5
                look(page, 0.9)
                take_picture(page, "fiftyone-faults.png", tmp_path)
            page.keyboard.press("n")
            wait_until(lambda seen=said: seen not in page.locator("[data-cy='cr-panel']").inner_text(), "the next label, or none")
        assert page.strangers == []
