"""Readings of faces and hands come back bit by bit, by track and frame."""

import uuid

import numpy as np
import pytest

from curation.store.readings import FACE_COLUMNS, HAND_COLUMNS, KINDS, Readings, ReadingStore
from schemas.errors import FormatError, InvalidField, UnknownName, WorkspaceError


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return ReadingStore(tmp_path / "arrays" if request.param == "local" else f"memory://{uuid.uuid4().hex}/arrays")


def make_rows(kind, n=20, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 50, (n, len(KINDS[kind]))).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 0] = rng.integers(0, 2, n)
    return Readings(kind=kind, track_id=rng.choice(["trk_b", "trk_a"], n), frame=rng.permutation(n), values=values)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_rows_come_back_exactly_in_order(store, kind):
    rows = make_rows(kind)
    store.write("clip_1", rows)
    back, want = store.read(kind, "clip_1"), rows.sort()
    assert back.track_id.tolist() == want.track_id.tolist() == sorted(rows.track_id.tolist())
    assert back.frame.tolist() == want.frame.tolist()
    assert (back.values.dtype, back.values.tobytes()) == (np.float32, want.values.tobytes())
    one = back.of("trk_a")
    assert (np.diff(one.frame) > 0).all()
    assert len(one) + len(back.of("trk_b")) == len(back)


def test_nothing_read_is_kept_too(store):
    assert store.has("faces", "clip_1") is False
    store.write("clip_1", Readings.join("faces", []))
    assert store.has("faces", "clip_1") is True
    assert store.has("hands", "clip_1") is False
    assert len(store.read("faces", "clip_1")) == 0


def test_equal_rows_give_equal_bytes_whatever_their_order(tmp_path):
    rows = make_rows("hands")
    halves = [
        Readings(kind="hands", track_id=rows.track_id[p], frame=rows.frame[p], values=rows.values[p])
        for p in (slice(10, None), slice(10))
    ]
    ReadingStore(tmp_path / "a").write("c", rows)
    ReadingStore(tmp_path / "b").write("c", Readings.join("hands", halves))
    assert (tmp_path / "a/hands/c.parquet").read_bytes() == (tmp_path / "b/hands/c.parquet").read_bytes()
    assert [path.name for path in (tmp_path / "a/hands").iterdir()] == ["c.parquet"]


def test_columns_have_names():
    rows = make_rows("faces")
    np.testing.assert_array_equal(rows["yaw"], rows.values[:, FACE_COLUMNS.index("yaw")])
    assert len(HAND_COLUMNS) == 2 + 21 * 3
    with pytest.raises(UnknownName, match="column"):
        rows["identity"]


def test_the_tracks_beside_them_do_not_see_them(tmp_path):
    from curation.store import ArrayStore

    ReadingStore(tmp_path).write("clip_1", make_rows("faces"))
    assert ArrayStore(tmp_path).list_clip_ids() == []


def test_what_is_missing_damaged_or_strange_is_one_line(tmp_path):
    store = ReadingStore(tmp_path)
    with pytest.raises(WorkspaceError, match="no faces of clip_1; set `faces = true`"):
        store.read("faces", "clip_1")
    store.write("clip_1", make_rows("faces"))
    path = tmp_path / "faces/clip_1.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match=r"readings that curate wrote \(Parquet\)"):
        store.read("faces", "clip_1")
    with pytest.raises(UnknownName, match="kind of reading"):
        store.read("feet", "clip_1")
    with pytest.raises(InvalidField, match="clip_id"):
        store.has("faces", "../clip")
    with pytest.raises(InvalidField, match=r"readings\.values"):
        Readings(kind="faces", track_id=["a"], frame=[0], values=np.zeros((1, 3)))
