"""Recording part by part: the same rows and bytes as at once, whatever the parts; what is there after every part."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from backends.people.base import PersonTrack
from curation.config import create_workspace
from curation.proposals import load_proposer
from curation.recording import UNFINISHED, ClipRecorder, Desk, make_tracks
from curation.store import ArrayStore, Catalogue
from curation.tubelets import cut_tubelets, plan_windows, sample_frames
from schemas.errors import StorageError
from schemas.records import Clip, PoseTrack, Seat, Tubelet

SEATS = (Seat(student="ann", box_xyxy=(0, 0, 400, 400)), Seat(student="ben", box_xyxy=(500, 0, 900, 400)))


@pytest.fixture
def clip():
    times = np.arange(300) / 25
    return Clip(
        id="clip_a", uri="a.mp4", sha256="0", n_frames=300, fps=25, width=960, height=540, timestamps=times, lesson="a", seats=SEATS
    )


@pytest.fixture
def desk(tmp_path, clip, small_model):
    workspace = create_workspace(tmp_path / "work")
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        catalogue.add_clips([clip])
        yield Desk(
            catalogue=catalogue,
            arrays=ArrayStore(workspace.folder("arrays")),
            pipeline="test/1",
            window=2.0,
            fps=6.0,
            taxonomy=workspace.taxonomy,
            proposer=load_proposer(small_model),
        )


def make_person(number, frames, x, *, hidden=()):
    """Somebody around (x, 200) px; frames in `hidden` are filled."""
    rng = np.random.default_rng(number)
    n = len(frames)
    pose = rng.uniform(0, 1, (n, 33, 4)) + np.array([x, 200, 0, 0])
    boxes = np.array([x - 40, 100, x + 40, 300]) + rng.uniform(0, 1, (n, 4))
    world = rng.normal(size=(n, 33, 3))
    return PersonTrack(
        number=number,
        frames=frames,
        boxes_xyxy=boxes,
        pose_px=pose,
        world_m=world,
        scores=np.ones(n),
        filled=np.isin(frames, hidden),
    )


def list_people():
    """Ann all the time; Ben until the middle; a stranger for a moment; Ann's neighbour, hidden now and then."""
    every = sample_frames(plan_windows(np.arange(300) / 25, window=2.0, fps=6.0))
    return [
        make_person(0, every, 200),
        make_person(1, every[:40], 700),
        make_person(2, every[20:24], 450),
        make_person(3, every[5:], 300, hidden=every[[12, 30, 31]]),
    ]


def cut(people, frames):
    """Cut people into parts that begin at these frames; as in life, no part of a track ends with a filled frame."""
    borders = [0, *frames, 10_000]
    parts = [[] for _ in borders[1:]]
    for person in people:
        seen = np.flatnonzero(~person.filled)
        stops = [max(seen[person.frames[seen] < border] + 1, default=0) for border in borders]
        for part, (start, stop) in zip(parts, pairwise(stops), strict=True):
            if stop > start:
                columns = ("frames", "boxes_xyxy", "pose_px", "world_m", "scores", "filled")
                part.append(PersonTrack(number=person.number, **{name: getattr(person, name)[start:stop] for name in columns}))
    return parts


def record(clip, desk, parts, *, n=None):
    recorder = ClipRecorder(clip, desk)
    for part in parts[:n]:
        recorder.add(part)
    if n is None:
        recorder.finish()
    return recorder


def look(desk):
    return desk.catalogue.digest(), desk.arrays.digest()


@pytest.mark.parametrize("borders", [[], [150], [30, 60, 90, 200], list(range(10, 300, 10))])
def test_parts_make_the_same_rows_and_bytes_as_the_whole(clip, desk, borders):
    recorder = record(clip, desk, cut(list_people(), borders))
    tracks = make_tracks(clip, list_people(), "test/1")
    tubelets = cut_tubelets(tracks, clip, window=2.0, fps=6.0)
    assert desk.arrays.read_tracks(clip.id) == tracks
    assert {t.id for t in desk.catalogue.list_tubelets()} == {t.id for t in tubelets}
    assert [(t.id, t.student, t.n_frames, t.first, t.last) for t in desk.catalogue.list_tracks()] == [
        (t.id, t.student, len(t.frames), t.start_frame, int(t.frames[-1])) for t in tracks
    ]
    assert (recorder.n_people, recorder.n_tubelets, recorder.n_proposals) == (4, len(tubelets), len(tubelets))
    assert desk.catalogue.list_done("test/1") == {clip.id: None}
    arrays = desk.arrays.digest()
    desk.arrays.write_tracks(clip.id, tracks)
    assert desk.arrays.digest() == arrays
    assert sorted(span.tubelet_id for span in desk.catalogue.list_predictions("behaviour")) == sorted(t.id for t in tubelets)


def test_proposals_do_not_depend_on_the_parts(clip, desk):
    record(clip, desk, cut(list_people(), [100]))
    before = look(desk)
    record(clip, desk, cut(list_people(), [30, 60, 90, 120, 280]))
    assert look(desk) == before


def test_after_each_part_what_it_completes_can_be_seen(clip, desk):
    parts = cut(list_people(), [60, 110, 290])[:-1]
    recorder = ClipRecorder(clip, desk)
    seen = []
    for part in parts:
        recorder.add(part)
        tubelets = desk.catalogue.list_tubelets()
        seen.append((len(tubelets), max(tubelet.last for tubelet in tubelets)))
        by_id = {track.id: track for track in desk.arrays.read_tracks(clip.id)}
        assert all(int(by_id[tubelet.track_id].frames[-1]) >= tubelet.last for tubelet in tubelets)
        assert desk.catalogue.list_done("test/1") == {clip.id: UNFINISHED}
    recorder.finish()
    assert [last for _, last in seen] == [45, 95, 245]
    assert len(desk.catalogue.list_tubelets()) > seen[-1][0]


def test_a_window_can_be_seen_with_its_last_frame(clip, desk):
    (part,) = cut(list_people(), [46])[:1]
    ClipRecorder(clip, desk).add(part)
    assert {tubelet.last for tubelet in desk.catalogue.list_tubelets()} == {45}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_clip_that_was_cut_off_is_begun_anew_and_ends_the_same(clip, desk, n):
    parts = cut(list_people(), [60, 110, 200])
    record(clip, desk, parts, n=n)
    begun = desk.arrays.read_tracks(clip.id)
    recorder = ClipRecorder(clip, desk)
    recorder.add(parts[0])
    for track in begun:
        again = next(t for t in desk.arrays.read_tracks(clip.id) if t.id == track.id)
        assert len(again.frames) >= len(track.frames)
    for part in parts[1:]:
        recorder.add(part)
    recorder.finish()
    after = look(desk)
    record(clip, desk, parts)
    assert look(desk) == after
    assert desk.arrays.read_tracks(clip.id) == make_tracks(clip, list_people(), "test/1")


def test_people_whom_annotators_draw_meanwhile_stay(clip, desk):
    parts = cut(list_people(), [60, 110])
    recorder = ClipRecorder(clip, desk)
    recorder.add(parts[0])
    boxes = np.array([[1, 1, 9, 9]])
    drawn = PoseTrack(id="trk_drawn", clip_id=clip.id, frames=[48], boxes_xyxy=boxes, pose_px=np.full((1, 33, 4), np.nan))
    assert desk.arrays.add_tracks(clip.id, [drawn]) == 1
    desk.catalogue.add_tracks([drawn], [Tubelet.of(drawn.id, clip.id, 0, 46)])
    for part in parts[1:]:
        recorder.add(part)
    recorder.finish()
    assert sorted(t.id for t in desk.arrays.read_tracks(clip.id)) == sorted(t.id for t in desk.catalogue.list_tracks())
    assert next(t for t in desk.arrays.read_tracks(clip.id) if t.id == drawn.id) == drawn


def test_a_clip_set_aside_in_the_middle_keeps_what_was_found(clip, desk):
    recorder = ClipRecorder(clip, desk)
    recorder.add(cut(list_people(), [110])[0])
    recorder.finish("has a hole")
    assert desk.catalogue.list_done("test/1") == {clip.id: "has a hole"}
    tubelets, tracks = desk.catalogue.list_tubelets(), {track.id for track in desk.arrays.read_tracks(clip.id)}
    assert len(tubelets) > 0
    assert {tubelet.track_id for tubelet in tubelets} <= tracks


def test_a_clip_set_aside_at_once_has_no_arrays(clip, desk):
    record(clip, desk, [], n=0).finish("has a hole")
    assert not desk.arrays.has_tracks(clip.id)


def test_nobody_there_is_recorded_too(clip, desk):
    record(clip, desk, [])
    assert desk.arrays.read_tracks(clip.id) == []
    assert desk.catalogue.list_done("test/1") == {clip.id: None}


def test_two_tracks_that_begin_in_the_same_place_are_one_person(clip, desk):
    one = make_person(0, np.arange(0, 100, 4), 200)
    columns = ("frames", "boxes_xyxy", "pose_px", "world_m", "scores")
    twice = [one, PersonTrack(number=7, **{name: getattr(one, name)[:10] for name in columns})]
    recorder = record(clip, desk, [twice])
    assert recorder.n_people == 1
    assert len(desk.arrays.read_tracks(clip.id)[0].frames) == 25


def test_a_damaged_part_is_one_clear_error(clip, desk, tmp_path):
    record(clip, desk, cut(list_people(), [60]), n=1)
    (part,) = (tmp_path / "work" / "arrays" / "parts" / clip.id).iterdir()
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(Exception, match=r"000000.parquet: file: expected arrays that curate wrote"):
        desk.arrays.join_parts(clip.id)


def test_a_full_disk_keeps_the_parts_before(clip, desk, monkeypatch):
    parts = cut(list_people(), [60, 110])
    recorder = ClipRecorder(clip, desk)
    recorder.add(parts[0])
    before = desk.catalogue.list_tubelets()

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(StorageError, match="No space left on device"):
            recorder.add(parts[1])
    assert desk.catalogue.list_tubelets() == before
    record(clip, desk, parts)
    assert desk.arrays.read_tracks(clip.id) == make_tracks(clip, list_people(), "test/1")
