import numpy as np
import pytest

from curation.sequences import collect_sequences, read_by_clip
from curation.tubelets import stack_poses
from schemas.errors import InvalidField, NotEnoughData, UnknownName


def test_poses_come_in_the_order_asked_for_and_are_those_of_the_tracks(make_school):
    school = make_school(3, windows=3)
    pairs = [pair for lesson in school.pairs.values() for pair in lesson]
    order = np.random.default_rng(0).permutation(len(pairs))
    ids, labels = [pairs[i][0].id for i in order], [pairs[i][1] for i in order]
    found = collect_sequences(*school.all, ids, labels)
    assert found.pose.shape == (18, 12, 33, 4)
    assert found.id.tolist() == ids
    assert found.label.tolist() == labels
    assert found.fps == 6.0
    np.testing.assert_array_equal(found.skeleton, school.workspace.taxonomy.skeleton.edges)
    for row, i in enumerate(order):
        tubelet = pairs[i][0]
        track = next(t for t in school.arrays.read_tracks(tubelet.clip_id) if t.id == tubelet.track_id)
        expected = track.pose_px[(track.frames >= tubelet.first) & (track.frames <= tubelet.last)]
        np.testing.assert_array_equal(found.pose[row], expected)
    assert np.isnan(found.pose[:, :, 27:, :3]).all()


def test_a_group_is_the_lessons_that_share_a_student(make_school):
    school = make_school(4, windows=2, students=[("ann", "bo"), ("cy", None), ("bo", "di"), (None, None)])
    pairs = [pair for lesson in school.pairs.values() for pair in lesson]
    ids, labels = [t.id for t, _ in pairs], [v for _, v in pairs]
    found = collect_sequences(*school.all, ids, labels)
    assert found.group.tolist() == ["lesson-0"] * 4 + ["lesson-1"] * 4 + ["lesson-0"] * 4 + ["lesson-3"] * 4
    one = collect_sequences(*school.all, ids[8:9], labels[8:9])
    assert one.group.tolist() == ["lesson-0"]
    named = collect_sequences(*school.all, ids[:1], labels[:1], groups={"lesson-0": "mine"})
    assert named.group.tolist() == ["mine"]


def test_every_clip_is_read_once(make_school):
    school = make_school(3, windows=2)
    tubelets = [t for lesson in school.pairs.values() for t, _ in lesson][::-1]
    visits = list(read_by_clip(school.arrays, tubelets))
    assert [clip_id for clip_id, _, _ in visits] == sorted({t.clip_id for t in tubelets})
    assert sorted(int(i) for _, rows, _ in visits for i in rows) == list(range(len(tubelets)))
    clip_id, rows, tracks = visits[0]
    clips = {clip_id: school.catalogue.get_clip(clip_id)}
    assert stack_poses(tracks, [tubelets[i] for i in rows], clips, window=2.0, fps=6.0).shape == (4, 12, 33, 4)


def test_what_is_not_there_is_named(make_school):
    school = make_school(2, windows=2)
    tubelet = school.pairs["lesson-0"][0][0]
    with pytest.raises(UnknownName, match="unknown tubelet 'tub_0'"):
        collect_sequences(*school.all, ["tub_0"], ["write"])
    with pytest.raises(InvalidField, match="labels: expected 1, one for each tubelet, got 2"):
        collect_sequences(*school.all, [tubelet.id], ["write", "sleep"])
    with pytest.raises(NotEnoughData, match="tubelets to collect"):
        collect_sequences(*school.all, [], [])
    school.arrays.write_tracks(tubelet.clip_id, [])
    with pytest.raises(UnknownName, match=rf"unknown track of {tubelet.clip_id} '{tubelet.track_id}'"):
        collect_sequences(*school.all, [tubelet.id], ["write"])
