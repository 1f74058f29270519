"""People in the rendered classroom, against its exact truth."""

import numpy as np
import pytest

from backends.people.measure import measure_people, pool_scores
from backends.people.people import PeopleFinder

pytestmark = [pytest.mark.usefixtures("bundle_folder"), pytest.mark.slow]


def read_clip(path):
    import av

    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            yield index, float(frame.time), frame.to_ndarray(format="rgb24")


def score_tracks(tracks, truth):
    scores = []
    for index in range(len(truth["boxes"])):
        here = [(t.boxes_xyxy[k], t.pose_px[k]) for t in tracks for k in np.flatnonzero(t.frames == index)]
        boxes = np.array([box for box, _ in here]).reshape(-1, 4)
        poses = np.array([pose for _, pose in here]).reshape(-1, 33, 4)
        scores.append(measure_people(boxes, poses, truth["boxes"][index], truth["pose"][index], least_iou=0.4))
    return pool_scores(scores)


def test_students_are_found_and_their_upper_bodies_lie_right(tmp_path):
    from curation.render.classroom import render_classroom

    clips = render_classroom(tmp_path, seed=11, lessons=2, cameras=1, seconds=4.0, fps=6.0)
    scores = []
    with PeopleFinder() as finder:
        for clip in clips:
            with np.load(clip.with_suffix(".truth.npz"), allow_pickle=False) as truth:
                scores.append(score_tracks(finder.process(read_clip(clip)), truth))
    score = pool_scores(scores)
    assert score.recall >= 0.90
    assert score.precision >= 0.95
    assert score.pck >= 0.80
