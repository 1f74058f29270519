import numpy as np
import pytest

from curation.render import measure_people, read_truth, truth_of_tubelets
from schemas.records import PoseTrack, Tubelet


def _tracks(truth, people, shift=0.0, frames=None):
    frames = np.arange(len(truth.boxes)) if frames is None else frames
    return [
        PoseTrack(
            id=f"t{p}",
            clip_id="c",
            frames=frames,
            boxes_xyxy=truth.boxes[frames, p] + shift,
            pose_px=truth.pose[frames, p] + [shift, shift, 0, 0],
        )
        for p in people
    ]


def test_truth_itself_scores_one(clip):
    truth = read_truth(clip)
    score = measure_people({"c": _tracks(truth, range(4))}, {"c": truth})
    assert (score.person_recall, score.person_precision, score.pck) == (1.0, 1.0, 1.0)


def test_missing_extra_and_shifted_people_count(clip):
    truth = read_truth(clip)
    missing = measure_people({"c": _tracks(truth, [0, 1, 2])}, {"c": truth})
    assert (missing.person_recall, missing.person_precision) == (0.75, 1.0)
    extra = _tracks(truth, range(4))
    extra.append(
        PoseTrack(
            id="x", clip_id="c", frames=np.arange(12), boxes_xyxy=np.tile([[0, 0, 9, 9]], (12, 1)), pose_px=np.zeros((12, 33, 4))
        )
    )
    assert measure_people({"c": extra}, {"c": truth}).person_precision == 0.8
    torso = np.median(np.linalg.norm(truth.pose[:, :, 11:13, :2].mean(2) - truth.pose[:, :, 23:25, :2].mean(2), axis=-1))
    shifted = measure_people({"c": _tracks(truth, range(4), 0.18 * torso)}, {"c": truth})
    assert shifted.person_recall == 1.0
    assert shifted.pck < 0.3


def test_a_box_down_to_hidden_knees_still_finds_the_person(clip):
    truth = read_truth(clip)
    boxes = truth.boxes[:, 0].copy()
    boxes[:, 3] += 1.5 * (boxes[:, 3] - boxes[:, 1])
    track = PoseTrack(id="t", clip_id="c", frames=np.arange(12), boxes_xyxy=boxes, pose_px=truth.pose[:, 0])
    assert measure_people({"c": [track]}, {"c": truth}).person_precision == 1.0


def test_nobody_found_is_recall_zero(clip):
    score = measure_people({}, {"c": read_truth(clip)})
    assert (score.person_recall, score.person_precision, score.pck) == (0.0, 0.0, 0.0)


def test_tubelets_get_the_behaviour_of_most_frames_of_the_student_in_the_box(clip):
    truth = read_truth(clip)
    truth.behaviour[:, 0] = ["write"] * 5 + ["phone"] * 7
    tracks = {track.id: track for track in _tracks(truth, range(4), 2.0, np.arange(0, 12, 2))}
    tubelets = [Tubelet.of(f"t{p}", "c", 0, 11) for p in range(4)] + [Tubelet.of("t0", "c", 0, 8)]
    said = truth_of_tubelets(truth, tubelets, tracks)
    assert said[tubelets[0].id] == "phone"
    assert said[tubelets[4].id] == "write"
    assert said[tubelets[1].id] in truth.behaviour[:, 1]


def test_a_tubelet_of_nobody_is_none(clip):
    truth = read_truth(clip)
    nobody = PoseTrack(
        id="n", clip_id="c", frames=np.arange(12), boxes_xyxy=np.tile([[0, 0, 20, 20]], (12, 1)), pose_px=np.zeros((12, 33, 4))
    )
    tubelet = Tubelet.of("n", "c", 0, 11)
    assert truth_of_tubelets(truth, [tubelet], {"n": nobody}) == {tubelet.id: None}


def test_the_real_pose_network_sees_the_drawn_students(tmp_path):
    from backends.people.pose import PoseEstimator
    from curation.render import render_classroom

    (path,) = render_classroom(tmp_path, seed=1, lessons=1, cameras=1, rows=1, columns=3, seconds=8.0, fps=1.0, light="normal")
    import av

    truth = read_truth(path)
    close, seen = 0, 0
    joints = [0, 11, 12, 13, 14, 15, 16]
    with PoseEstimator() as estimator, av.open(str(path)) as container:
        for step, frame in enumerate(container.decode(video=0)):
            if step % 2:
                continue
            pose, scores = estimator.estimate(frame.to_ndarray(format="rgb24"), truth.boxes[step])
            true = truth.pose[step][:, joints]
            torso = np.linalg.norm(truth.pose[step, :, 11:13, :2].mean(1) - truth.pose[step, :, 23:25, :2].mean(1), axis=-1)
            near = np.linalg.norm(pose[:, joints, :2] - true[..., :2], axis=-1) < 0.2 * torso[:, None]
            close += int((near & (true[..., 3] > 0.5)).sum())
            seen += int((true[..., 3] > 0.5).sum())
            assert (scores > 0.5).all()
    assert close / seen >= 0.7


@pytest.mark.slow
def test_the_real_finder_finds_people_and_points_as_well_as_promised(tmp_path):
    import av

    from backends.people.people import PeopleFinder
    from curation.render import render_classroom

    tracks, truths = {}, {}
    for path in render_classroom(tmp_path, seed=11, lessons=4, cameras=2, seconds=8.0):
        truths[path.name] = read_truth(path)
        with av.open(str(path)) as container, PeopleFinder() as finder:
            frames = ((i, i / 12, f.to_ndarray(format="rgb24")) for i, f in enumerate(container.decode(video=0)) if i % 2 == 0)
            found = finder.process(frames)
        tracks[path.name] = [
            PoseTrack(id=f"{path.name}{k}", clip_id=path.name, frames=t.frames, boxes_xyxy=t.boxes_xyxy, pose_px=t.pose_px)
            for k, t in enumerate(found)
        ]
    score = measure_people(tracks, truths)
    assert score.person_recall >= 0.90
    assert score.pck >= 0.80
