"""Boxes and poses come back bit by bit, on a local folder and on an object store."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow.parquet as pq
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from curation.store import ArrayStore
from curation.store.trackfile import TrackFile
from schemas.errors import DuplicateName, FormatError, InvalidField, StorageError, WorkspaceError
from schemas.records import PoseTrack


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return ArrayStore(tmp_path / "arrays" if request.param == "local" else f"memory://{uuid.uuid4().hex}/arrays")


def _same_bits(a, b):
    assert [(t.id, t.clip_id, t.student) for t in a] == [(t.id, t.clip_id, t.student) for t in b]
    for one, two in zip(a, b, strict=True):
        for name in ("frames", "boxes_xyxy", "pose_px"):
            x, y = getattr(one, name), getattr(two, name)
            assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


def test_tracks_come_back_exactly(store, maker):
    clip = maker.clip()
    tracks = [maker.track(clip, place=i, student="ann" if i else None, n=3 + i) for i in range(4)]
    store.write_tracks(clip.id, tracks[::-1])
    _same_bits(store.read_tracks(clip.id), tracks)


def test_world_metres_come_back_where_they_are_known_and_older_files_have_none(store, maker):
    clip = maker.clip()
    known, unknown = maker.track(clip), maker.track(clip, place=1)
    known = evolve(known, world_m=np.random.default_rng(0).normal(0, 0.4, (6, 33, 3)))
    store.write_tracks(clip.id, [known, unknown])
    first, second = store.read_tracks(clip.id)
    assert first.world_m.tobytes() == known.world_m.tobytes()
    assert second.world_m is None
    store.write_tracks(clip.id, [unknown])
    assert store.read_tracks(clip.id)[0] == unknown
    with pytest.raises(InvalidField, match=r"track\.world_m"):
        evolve(known, world_m=np.zeros((6, 33, 2)))


def test_filled_frames_stay_marked_and_files_without_the_mark_have_none(store, maker):
    clip = maker.clip()
    whole, bridged = maker.track(clip), evolve(maker.track(clip, place=1), filled=[False, True, True, False, False, False])
    store.write_tracks(clip.id, [whole, bridged])
    found = {track.id: track for track in store.read_tracks(clip.id)}
    assert found == {whole.id: whole, bridged.id: bridged}
    assert found[bridged.id].filled.tolist() == bridged.filled.tolist()
    assert found[bridged.id].seen_frames.tolist() == bridged.frames[[0, 3, 4, 5]].tolist()
    store.write_tracks(clip.id, [whole])
    assert store.read_tracks(clip.id) == [whole]
    assert whole != evolve(whole, filled=bridged.filled)


def test_a_file_of_before_there_were_filled_frames_is_read(tmp_path, maker):
    store, clip = ArrayStore(tmp_path), maker.clip()
    track = evolve(maker.track(clip), filled=[False, True, False, False, False, False])
    store.write_tracks(clip.id, [track])
    path = tmp_path / f"{clip.id}.parquet"
    pq.write_table(pq.read_table(path).drop_columns("filled"), path, write_page_checksum=True)
    (old,) = store.read_tracks(clip.id)
    assert not old.filled.any()
    assert old.frames.tolist() == track.frames.tolist()


@pytest.mark.parametrize("filled", [[True] * 6, [False] * 5])
def test_a_track_is_seen_somewhere_and_marked_everywhere(maker, filled):
    with pytest.raises(InvalidField, match=r"track\.filled"):
        evolve(maker.track(maker.clip()), filled=filled)


def test_nobody_there_is_kept_too(store, maker):
    clip = maker.clip()
    assert store.has_tracks(clip.id) is False
    store.write_tracks(clip.id, [])
    assert store.has_tracks(clip.id) is True
    assert store.read_tracks(clip.id) == []


@pytest.mark.parametrize("n_keypoints", [0, 1, 17, 21, 478])
def test_any_number_of_keypoints(store, maker, n_keypoints):
    clip = maker.clip()
    track = maker.track(clip, n_keypoints=n_keypoints)
    store.write_tracks(clip.id, [track])
    _same_bits(store.read_tracks(clip.id), [track])


@given(
    npst.arrays(np.float32, (3, 2, 4), elements=st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)),
    st.lists(st.integers(0, 2**40), min_size=3, max_size=3, unique=True),
    st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_every_float_survives(pose, frames, student):
    boxes = np.tile(np.float32([-0.0, 1e-42, 1e30, 3.4e38]), (3, 1))
    track = PoseTrack(id="t", clip_id="c", frames=sorted(frames), boxes_xyxy=boxes, pose_px=pose, student=student)
    store = ArrayStore("memory://floats")
    store.write_tracks("c", [track])
    _same_bits(store.read_tracks("c"), [track])


def test_equal_tracks_give_equal_bytes(tmp_path, maker):
    clip = maker.clip()
    tracks = [maker.track(clip, place=i) for i in range(3)]
    for name, order in (("a", tracks), ("b", tracks[::-1])):
        ArrayStore(tmp_path / name).write_tracks(clip.id, order)
    files = [tmp_path / name / f"{clip.id}.parquet" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert ArrayStore(tmp_path / "a").digest() == ArrayStore(tmp_path / "b").digest()


@pytest.mark.parametrize("step", [700, 2048, 3000])
def test_a_long_track_is_joined_some_rows_at_a_time_to_the_bytes_of_the_whole(tmp_path, maker, monkeypatch, step):
    clip, read = maker.clip(), TrackFile.read
    tracks = [maker.track(clip, place=i, n=5000 + i) for i in range(2)]
    tracks = [evolve(track, world_m=np.random.default_rng(0).normal(0, 0.4, (*track.pose_px.shape[:2], 3))) for track in tracks]
    whole, parts = ArrayStore(tmp_path / "whole"), ArrayStore(tmp_path / "parts")
    whole.write_tracks(clip.id, [evolve(track, student="ann") for track in tracks])
    for number, start in enumerate(range(0, 5001, step)):
        rows = slice(start, start + step)
        parts.write_part(clip.id, number, [evolve(t.select(rows), id=t.id) for t in tracks if start < len(t.frames)])
    sizes = []

    def note(*args):
        track = read(*args)
        sizes.append(len(track.frames))
        return track

    monkeypatch.setattr(TrackFile, "read", note)
    parts.join_parts(clip.id, {track.id: "ann" for track in tracks})
    name = f"{clip.id}.parquet"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert max(sizes) <= 2048
    assert pq.ParquetFile(tmp_path / "whole" / name).num_row_groups == 6
    _same_bits(whole.read_tracks(clip.id), [evolve(track, student="ann") for track in tracks])


def test_writing_replaces_and_adding_keeps(store, maker):
    clip = maker.clip()
    first, second = maker.track(clip), maker.track(clip, place=1)
    assert store.add_tracks(clip.id, [first]) == 1
    changed = evolve(first, pose_px=np.zeros_like(first.pose_px))
    assert store.add_tracks(clip.id, [changed, second]) == 1
    _same_bits(store.read_tracks(clip.id), [first, second])
    store.write_tracks(clip.id, [changed])
    _same_bits(store.read_tracks(clip.id), [changed])


def test_the_digest_says_what_is_there(store, maker):
    empty = store.digest()
    clips = [maker.clip(name) for name in "ab"]
    for clip in clips:
        store.write_tracks(clip.id, [maker.track(clip)])
    assert store.list_clip_ids() == sorted(clip.id for clip in clips)
    both = store.digest()
    store.write_tracks(clips[0].id, [maker.track(clips[0], seed=1)])
    assert len({empty, both, store.digest()}) == 3
    store.write_tracks(clips[0].id, [maker.track(clips[0])])
    assert store.digest() == both


def test_leftovers_of_interrupted_writes_do_not_count(tmp_path, maker):
    clip = maker.clip()
    store = ArrayStore(tmp_path)
    store.write_tracks(clip.id, [maker.track(clip)])
    before = store.digest()
    (tmp_path / f".{clip.id}.parquet.abcd.tmp").write_bytes(b"half")
    assert store.digest() == before
    assert store.list_clip_ids() == [clip.id]


def test_a_failed_write_leaves_the_old_file(tmp_path, maker):
    clip = maker.clip()
    store = ArrayStore(tmp_path)
    store.write_tracks(clip.id, [maker.track(clip)])
    before = store.digest()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="nothing was changed"):
        ArrayStore(tmp_path / "file" / "arrays").write_tracks(clip.id, [])
    with pytest.raises(InvalidField, match=r"track\.clip_id"):
        store.write_tracks(clip.id, [maker.track(maker.clip("other"))])
    with pytest.raises(InvalidField, match="same number of keypoints"):
        store.write_tracks(clip.id, [maker.track(clip), maker.track(clip, place=1, n_keypoints=17)])
    with pytest.raises(DuplicateName, match="track"):
        store.write_tracks(clip.id, [maker.track(clip), maker.track(clip)])
    assert store.digest() == before


def test_a_missing_file_says_what_to_do(store):
    with pytest.raises(WorkspaceError, match="no arrays of clip_x; run `curate preannotate`"):
        store.read_tracks("clip_x")


@pytest.mark.parametrize("spoil", [lambda d: b"", lambda d: b"not parquet" * 99, lambda d: d[: len(d) // 2], lambda d: d[:-1]])
def test_a_damaged_file_is_one_line(tmp_path, maker, spoil):
    clip = maker.clip()
    store = ArrayStore(tmp_path)
    store.write_tracks(clip.id, [maker.track(clip)])
    path = tmp_path / f"{clip.id}.parquet"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(FormatError, match=r"arrays that curate wrote \(Parquet\)") as caught:
        store.read_tracks(clip.id)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_never_becomes_another_pose(tmp_path, maker):
    clip = maker.clip()
    store = ArrayStore(tmp_path)
    tracks = [maker.track(clip)]
    store.write_tracks(clip.id, tracks)
    path = tmp_path / f"{clip.id}.parquet"
    whole = path.read_bytes()
    refused = 0
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            _same_bits(store.read_tracks(clip.id), tracks)
        except FormatError:
            refused += 1
    assert refused > 20


def test_another_programs_parquet_and_another_clips_file_are_refused(tmp_path, maker):
    import pyarrow as pa
    import pyarrow.parquet as pq

    clip = maker.clip()
    store = ArrayStore(tmp_path)
    store.write_tracks(clip.id, [maker.track(clip)])
    (tmp_path / f"{clip.id}.parquet").rename(tmp_path / "clip_other.parquet")
    with pytest.raises(FormatError, match=rf"curate\.clip: expected clip_other, got {clip.id}"):
        store.read_tracks("clip_other")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "clip_theirs.parquet")
    with pytest.raises(FormatError, match=r"curate\.format: expected 1, got none"):
        store.read_tracks("clip_theirs")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_an_id_cannot_leave_the_folder(store, name):
    with pytest.raises(InvalidField, match="clip_id"):
        store.write_tracks(name, [])


def test_an_unknown_protocol_is_one_line():
    with pytest.raises(WorkspaceError, match="cannot be used for arrays"):
        ArrayStore("nope://bucket/arrays")
