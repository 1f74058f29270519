"""Tiles: what they show, that keypoints lie on them, and that they can be made again."""

import attrs
import av
import cv2
import numpy as np
import pytest

from curation.config import create_workspace
from curation.review.crops import write_tiles
from curation.review.tiles import LAYOUT, find_marks, plan_tile, project_pose, tile_path
from curation.store import ArrayStore, Catalogue
from schemas.records import Clip, PoseTrack, Tubelet
from schemas.scores import Fault


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


def test_all_moments_of_the_window_move_and_four_stand_still():
    tile = plan_tile(Tubelet.of("trk_1", "clip_1", 20, 38), make_track(range(0, 60, 2)), make_clip())
    assert tile.frames == tuple(range(20, 39, 2))
    assert tile.rows == tuple(range(10, 20))
    assert tile.moments == (0, 3, 6, 9)
    assert tile.seconds == pytest.approx(np.arange(2.0, 3.9, 0.2))
    assert tile.rate == pytest.approx(5)
    assert tile.size == (480, 320)


def test_a_long_window_is_thinned_out_and_keeps_its_pace():
    tile = plan_tile(Tubelet.of("trk_1", "clip_1", 0, 399), make_track(range(400)), make_clip(n=400))
    assert len(tile.frames) == 36
    assert (tile.frames[0], tile.frames[-1]) == (0, 399)
    assert tile.n_pictures / tile.rate == pytest.approx(40, rel=0.05)


def test_a_still_image_is_shown_twice():
    tile = plan_tile(Tubelet.of("trk_1", "clip_1", 0, 0), make_track([0]), make_clip(n=1))
    assert (tile.frames, tile.n_pictures, tile.moments) == ((0,), 2, (0,))
    assert tile.rate == 2


def test_a_window_without_a_sighting_shows_the_nearest():
    assert plan_tile(Tubelet.of("trk_1", "clip_1", 20, 38), make_track([0, 44]), make_clip()).frames == (44,)


def test_the_region_has_the_panels_proportions_and_holds_the_box_at_all_moments():
    track = make_track([20, 30])
    boxes = track.boxes_xyxy.copy()
    boxes[1] += [40, 20, 40, 20]
    moving = PoseTrack(id="trk_1", clip_id="clip_1", frames=[20, 30], boxes_xyxy=boxes, pose_px=track.pose_px)
    x1, y1, x2, y2 = plan_tile(Tubelet.of("trk_1", "clip_1", 20, 38), moving, make_clip()).region_xyxy
    assert (x2 - x1) / (y2 - y1) == pytest.approx(240 / 320, rel=0.02)
    assert x1 < 300
    assert y1 < 100
    assert x2 > 400
    assert y2 > 240


@pytest.mark.parametrize("box", [(0, 0, 60, 120), (580, 240, 640, 360), (0, 0, 640, 360), (-20, -10, 30, 60), (5, 5, 6, 6)])
def test_the_region_lies_in_the_frame_where_it_fits(box):
    x1, y1, x2, y2 = plan_tile(Tubelet.of("trk_1", "clip_1", 0, 9), make_track([0], box), make_clip()).region_xyxy
    assert x2 - x1 >= 6
    for low, high, limit in ((x1, x2, 640), (y1, y2, 360)):
        if high - low <= limit:
            assert low >= 0
            assert high <= limit
        else:
            assert low <= 0
            assert high >= limit


def test_pose_is_projected_into_the_moving_half_and_what_is_unseen_stays_unseen():
    tile = plan_tile(Tubelet.of("trk_1", "clip_1", 20, 38), make_track(range(0, 60, 2)), make_clip())
    x1, y1, x2, y2 = tile.region_xyxy
    pose = np.full((33, 4), np.nan, np.float32)
    pose[0] = (x1 + x2) / 2, (y1 + y2) / 2, 0, 1
    pose[1] = x1, y1, 0, 0.1
    pose[2] = x2 + 5, y1, 0, 1
    points = project_pose(tile, pose)
    assert points[0] == pytest.approx([120, 160])
    assert np.isnan(points[1:]).all()


@pytest.fixture
def filled(tmp_path, fill_review_workspace):
    workspace = fill_review_workspace(tmp_path / "school", lessons=1)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        clips = {clip.id: clip for clip in catalogue.list_clips()}
        tubelets = catalogue.list_tubelets()
    tracks = {t.id: t for clip in clips for t in ArrayStore(workspace.folder("arrays")).read_tracks(clip)}
    tiles = {t.id: plan_tile(t, tracks[t.track_id], clips[t.clip_id]) for t in tubelets}
    return workspace, clips, tubelets, tiles, tracks


def read_video(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return np.stack(frames), float(container.streams.video[0].average_rate)


def test_tiles_show_the_student_in_motion_where_the_keypoints_say(filled):
    workspace, clips, tubelets, tiles, tracks = filled
    assert write_tiles(workspace, clips, tubelets, tiles, tracks) == {}
    shirts = np.array([(70, 110, 160), (150, 90, 80), (80, 140, 90)])
    bone = np.array((53, 224, 255))
    for tubelet in tubelets:
        tile, track = tiles[tubelet.id], tracks[tubelet.track_id]
        pictures, rate = read_video(tile_path(workspace, tubelet))
        assert pictures.shape == (len(tile.frames), *tile.size[::-1], 3)
        assert rate == pytest.approx(tile.rate, rel=0.01)
        person = int(track.student[-1])
        for row, picture in zip(tile.rows, pictures.astype(int), strict=True):
            points = project_pose(tile, track.pose_px[row])
            chest = np.nanmean(points[[11, 12, 23, 24]], axis=0)
            assert np.abs(shirts - picture[int(chest[1]), int(chest[0])]).sum(axis=1).argmin() == person
            middle = points[[12, 14]].mean(axis=0)
            near = picture[int(middle[1]) - 3 : int(middle[1]) + 4, int(middle[0]) - 3 : int(middle[0]) + 4].reshape(-1, 3)
            assert np.abs(near - bone).sum(axis=1).min() < 120
        still = pictures[:, :310, 240:].astype(int)
        assert np.abs(still - still[0]).mean() < 3
        assert np.abs(still[0] - bone).sum(axis=-1).min() > 60


def test_tiles_are_the_same_bytes_again_and_those_there_are_left_alone(filled):
    workspace, clips, tubelets, tiles, tracks = filled
    write_tiles(workspace, clips, tubelets, tiles, tracks)
    paths = [tile_path(workspace, t) for t in tubelets]
    before = [path.read_bytes() for path in paths]
    kept, gone = paths[0], paths[1]
    stamp = kept.stat().st_mtime_ns
    gone.unlink()
    write_tiles(workspace, clips, tubelets, tiles, tracks)
    assert [path.read_bytes() for path in paths] == before
    assert kept.stat().st_mtime_ns == stamp
    assert not list(workspace.folder("crops").rglob("*.tmp"))


def test_another_layout_makes_all_tiles_again_and_old_filmstrips_go(filled, monkeypatch):
    workspace, clips, tubelets, tiles, tracks = filled
    write_tiles(workspace, clips, tubelets, tiles, tracks)
    strip = tile_path(workspace, tubelets[0]).with_suffix(".jpg")
    strip.write_bytes(b"")
    monkeypatch.setitem(LAYOUT, "height", 300)
    write_tiles(workspace, clips, tubelets[:1], tiles, tracks)
    assert read_video(tile_path(workspace, tubelets[0]))[0].shape[1] == 300
    assert not tile_path(workspace, tubelets[1]).exists()
    assert not strip.exists()


def test_media_that_has_gone_is_reported_and_the_rest_is_made(filled, tmp_path):
    workspace, clips, tubelets, tiles, tracks = filled
    (clip,) = clips.values()
    lost = make_clip(uri=str(tmp_path / "gone.mp4"))
    elsewhere, track = Tubelet.of("trk_1", "clip_1", 0, 9), make_track([0, 8])
    plans = {**tiles, elsewhere.id: plan_tile(elsewhere, track, lost)}
    both = {clip.id: clip, "clip_1": lost}
    problems = write_tiles(workspace, both, [elsewhere, *tubelets], plans, {**tracks, "trk_1": track})
    assert list(problems) == ["clip_1"]
    assert "gone.mp4: no such file" in problems["clip_1"]
    assert tile_path(workspace, tubelets[-1]).is_file()
    assert not tile_path(workspace, elsewhere).exists()


def test_a_region_over_the_edge_is_padded(tmp_path):
    workspace = create_workspace(tmp_path / "w")
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.full((100, 400, 3), 200, np.uint8))
    clip = make_clip(n=1, size=(400, 100), uri=str(picture))
    tubelet, track = Tubelet.of("trk_1", "clip_1", 0, 0), make_track([0], (100, 0, 300, 100))
    tile = plan_tile(tubelet, track, clip)
    assert tile.region_xyxy[1] < 0
    assert write_tiles(workspace, {"clip_1": clip}, [tubelet], {tubelet.id: tile}, {"trk_1": track}) == {}
    pictures, rate = read_video(tile_path(workspace, tubelet))
    assert (len(pictures), rate) == (2, 2)
    assert pictures[0, 10, 120, 0] < 60
    assert pictures[0, 160, 120, 0] > 190


def is_red(picture):
    """Say where a picture (H, W, 3) is red."""
    return (picture[..., 0] > 180) & (picture[..., 1] < 110) & (picture[..., 2] < 150)


def fault(part, first, last, kind="stretched", beside="left_elbow"):
    return Fault(part=part, kind=kind, times=3.0, frame=first, first=first, last=last, beside=beside)


def test_what_cannot_be_right_is_red_at_its_moments_and_leads_out_of_the_picture(filled):
    workspace, clips, tubelets, _, tracks = filled
    tubelet = tubelets[0]
    track = tracks[tubelet.track_id]
    wrist, first, last = 15, tubelet.first + 4, tubelet.first + 8
    pose = track.pose_px.copy()
    pose[(track.frames >= first) & (track.frames <= last), wrist, :2] += (-400, 0)
    broken = attrs.evolve(track, pose_px=pose)
    faults = (fault("left_wrist", first, last),)
    tile = plan_tile(tubelet, broken, clips[tubelet.clip_id], faults)
    assert write_tiles(workspace, clips, [tubelet], {tubelet.id: tile}, {track.id: broken}) == {}
    pictures, _ = read_video(tile_path(workspace, tubelet, faults))
    elbow = [project_pose(tile, broken.pose_px[row])[13] for row in tile.rows]
    for frame, picture, (x, y) in zip(tile.frames, pictures, elbow, strict=True):
        beside = is_red(picture[int(y) - 3 : int(y) + 4, int(x) - 14 : int(x) - 3])
        assert beside.any() == (first <= frame <= last)
        assert is_red(picture[312:, :240]).any()  # the bar tells it in every picture
        assert not is_red(picture[:300, 240:]).any()
    marks = find_marks(tile, broken, workspace.taxonomy.skeleton.nodes)
    assert [sorted(mark.points) for mark in marks] == [[wrist] if first <= f <= last else [] for f in tile.frames]
    assert marks[tile.frames.index(first)].points[wrist][0] < 0


def test_a_bad_box_is_drawn_and_a_bad_skeleton_marks_all_that_is_seen(filled):
    workspace, clips, tubelets, _, tracks = filled
    tubelet, names = tubelets[0], workspace.taxonomy.skeleton.nodes
    track = tracks[tubelet.track_id]
    faults = (
        fault("box", tubelet.first, tubelet.first, "outside"),
        fault("skeleton", tubelet.last, tubelet.last, "leaps"),
    )
    tile = plan_tile(tubelet, track, clips[tubelet.clip_id], faults)
    marks = find_marks(tile, track, names)
    x1, y1, x2, y2 = tile.region_xyxy
    scale = np.array([240 / (x2 - x1), 320 / (y2 - y1)] * 2)
    np.testing.assert_allclose(marks[0].box, (track.boxes_xyxy[tile.rows[0]] - [x1, y1, x1, y1]) * scale, atol=1e-3)
    assert sorted(marks[-1].points) == list(range(25))  # the legs are not seen
    assert [bool(mark) for mark in marks] == [True, *[False] * (len(marks) - 2), True]


def test_other_faults_make_another_tile_and_the_old_one_goes(filled):
    workspace, clips, tubelets, tiles, tracks = filled
    tubelet = tubelets[0]
    track = tracks[tubelet.track_id]
    write_tiles(workspace, clips, tubelets, tiles, tracks)
    faults = (fault("left_wrist", tubelet.first, tubelet.last),)
    marked = {**tiles, tubelet.id: plan_tile(tubelet, track, clips[tubelet.clip_id], faults)}
    write_tiles(workspace, clips, tubelets, marked, tracks)
    assert tile_path(workspace, tubelet, faults).is_file()
    assert not tile_path(workspace, tubelet).is_file()
    assert all(tile_path(workspace, other).is_file() for other in tubelets[1:])
    write_tiles(workspace, clips, tubelets, tiles, tracks)
    assert [path.name for path in tile_path(workspace, tubelet).parent.glob(f"{tubelet.id}*")] == [f"{tubelet.id}.mp4"]
