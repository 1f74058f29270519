"""Filmstrips: what they show, that keypoints lie on them, and that they can be made again."""

import cv2
import numpy as np
import pytest

from curation.config import create_workspace
from curation.review.crops import LAYOUT, plan_strip, project_pose, strip_path, write_strips
from curation.store import ArrayStore, Catalogue
from schemas.records import Clip, PoseTrack, Tubelet


def make_clip(n=60, size=(640, 360), uri="a.mp4"):
    return Clip(
        id="clip_1",
        uri=uri,
        sha256="00",
        n_frames=n,
        fps=10,
        width=size[0],
        height=size[1],
        timestamps=np.arange(n) / 10,
        lesson="l",
    )


def make_track(frames, box=(300, 100, 360, 220)):
    boxes = np.tile(np.array(box, np.float32), (len(frames), 1))
    return PoseTrack(
        id="trk_1", clip_id="clip_1", frames=frames, boxes_xyxy=boxes, pose_px=np.full((len(frames), 33, 4), np.nan, np.float32)
    )


def test_four_evenly_spaced_moments_of_the_window():
    strip = plan_strip(Tubelet.of("trk_1", "clip_1", 20, 38), make_track(range(0, 60, 2)), make_clip())
    assert strip.frames == (20, 26, 32, 38)
    assert strip.seconds == pytest.approx((2.0, 2.6, 3.2, 3.8))
    assert strip.size == (4 * 240 + 3 * 4, 320)


def test_a_still_image_has_one_panel():
    strip = plan_strip(Tubelet.of("trk_1", "clip_1", 0, 0), make_track([0]), make_clip(n=1))
    assert strip.frames == (0,)
    assert strip.size == (240, 320)


def test_a_student_seen_twice_in_the_window_has_two_panels():
    strip = plan_strip(Tubelet.of("trk_1", "clip_1", 20, 38), make_track([0, 24, 30, 50]), make_clip())
    assert strip.frames == (24, 30)


def test_a_window_without_a_sighting_shows_the_nearest():
    assert plan_strip(Tubelet.of("trk_1", "clip_1", 20, 38), make_track([0, 44]), make_clip()).frames == (44,)


def test_the_region_has_the_panels_proportions_and_holds_the_box_at_all_moments():
    track = make_track([20, 30])
    boxes = track.boxes_xyxy.copy()
    boxes[1] += [40, 20, 40, 20]
    moving = PoseTrack(id="trk_1", clip_id="clip_1", frames=[20, 30], boxes_xyxy=boxes, pose_px=track.pose_px)
    x1, y1, x2, y2 = plan_strip(Tubelet.of("trk_1", "clip_1", 20, 38), moving, make_clip()).region_xyxy
    assert (x2 - x1) / (y2 - y1) == pytest.approx(240 / 320, rel=0.02)
    assert x1 < 300
    assert y1 < 100
    assert x2 > 400
    assert y2 > 240


@pytest.mark.parametrize("box", [(0, 0, 60, 120), (580, 240, 640, 360), (0, 0, 640, 360), (-20, -10, 30, 60), (5, 5, 6, 6)])
def test_the_region_lies_in_the_frame_where_it_fits(box):
    x1, y1, x2, y2 = plan_strip(Tubelet.of("trk_1", "clip_1", 0, 9), make_track([0], box), make_clip()).region_xyxy
    assert x2 - x1 >= 6
    for low, high, limit in ((x1, x2, 640), (y1, y2, 360)):
        if high - low <= limit:
            assert low >= 0
            assert high <= limit
        else:
            assert low <= 0
            assert high >= limit


def test_pose_is_projected_into_its_panel_and_what_is_unseen_stays_unseen():
    strip = plan_strip(Tubelet.of("trk_1", "clip_1", 20, 38), make_track(range(0, 60, 2)), make_clip())
    x1, y1, x2, y2 = strip.region_xyxy
    pose = np.full((33, 4), np.nan, np.float32)
    pose[0] = (x1 + x2) / 2, (y1 + y2) / 2, 0, 1
    pose[1] = x1, y1, 0, 0.1
    pose[2] = x2 + 5, y1, 0, 1
    points = project_pose(strip, 2, pose)
    assert points[0] * strip.size == pytest.approx([2 * 244 + 120, 160])
    assert np.isnan(points[1:]).all()


@pytest.fixture
def filled(tmp_path, fill_review_workspace):
    workspace = fill_review_workspace(tmp_path / "school", lessons=1)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        clips = {clip.id: clip for clip in catalogue.list_clips()}
        tubelets = catalogue.list_tubelets()
    tracks = {t.id: t for clip in clips for t in ArrayStore(workspace.folder("arrays")).read_tracks(clip)}
    strips = {t.id: plan_strip(t, tracks[t.track_id], clips[t.clip_id]) for t in tubelets}
    return workspace, clips, tubelets, strips, tracks


def test_strips_show_the_student_where_the_keypoints_say(filled):
    workspace, clips, tubelets, strips, tracks = filled
    assert write_strips(workspace, clips, tubelets, strips) == {}
    shirts = np.array([(70, 110, 160), (150, 90, 80), (80, 140, 90)])
    for tubelet in tubelets:
        strip, track = strips[tubelet.id], tracks[tubelet.track_id]
        picture = cv2.imread(str(strip_path(workspace, tubelet)))[:, :, ::-1]
        assert picture.shape[:2] == strip.size[::-1]
        for panel, frame in enumerate(strip.frames):
            pose = track.pose_px[list(track.frames).index(frame)]
            chest = np.nanmean(project_pose(strip, panel, pose)[[11, 12, 23, 24]], axis=0) * strip.size
            colour = picture[int(chest[1]), int(chest[0])].astype(int)
            person = int(track.student[-1])
            assert np.abs(shirts - colour).sum(axis=1).argmin() == person


def test_strips_are_the_same_bytes_again_and_those_there_are_left_alone(filled):
    workspace, clips, tubelets, strips, _ = filled
    write_strips(workspace, clips, tubelets, strips)
    paths = [strip_path(workspace, t) for t in tubelets]
    before = [path.read_bytes() for path in paths]
    kept, gone = paths[0], paths[1]
    stamp = kept.stat().st_mtime_ns
    gone.unlink()
    write_strips(workspace, clips, tubelets, strips)
    assert [path.read_bytes() for path in paths] == before
    assert kept.stat().st_mtime_ns == stamp
    assert not list(workspace.folder("crops").rglob("*.tmp"))


def test_another_layout_makes_all_strips_again(filled, monkeypatch):
    workspace, clips, tubelets, strips, _ = filled
    write_strips(workspace, clips, tubelets, strips)
    monkeypatch.setitem(LAYOUT, "height", 300)
    write_strips(workspace, clips, tubelets[:1], strips)
    assert cv2.imread(str(strip_path(workspace, tubelets[0]))).shape[0] == 300
    assert not strip_path(workspace, tubelets[1]).exists()


def test_media_that_has_gone_is_reported_and_the_rest_is_made(filled, tmp_path):
    workspace, clips, tubelets, strips, _ = filled
    (clip,) = clips.values()
    lost = make_clip(uri=str(tmp_path / "gone.mp4"))
    elsewhere = Tubelet.of("trk_1", "clip_1", 0, 9)
    plans = {**strips, elsewhere.id: plan_strip(elsewhere, make_track([0, 8]), lost)}
    problems = write_strips(workspace, {clip.id: clip, "clip_1": lost}, [elsewhere, *tubelets], plans)
    assert list(problems) == ["clip_1"]
    assert "gone.mp4: no such file" in problems["clip_1"]
    assert strip_path(workspace, tubelets[-1]).is_file()
    assert not strip_path(workspace, elsewhere).exists()


def test_a_region_over_the_edge_is_padded(tmp_path):
    workspace = create_workspace(tmp_path / "w")
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.full((100, 400, 3), 200, np.uint8))
    clip = make_clip(n=1, size=(400, 100), uri=str(picture))
    tubelet = Tubelet.of("trk_1", "clip_1", 0, 0)
    strip = plan_strip(tubelet, make_track([0], (100, 0, 300, 100)), clip)
    assert strip.region_xyxy[1] < 0
    assert write_strips(workspace, {"clip_1": clip}, [tubelet], {tubelet.id: strip}) == {}
    made = cv2.imread(str(strip_path(workspace, tubelet)))
    assert made[10, 120, 0] < 60
    assert made[160, 120, 0] > 190
