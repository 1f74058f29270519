"""World landmarks: metres around the hips, as MediaPipe's own pose landmarker gives them."""

import numpy as np
import pytest

from backends.people.bundles import find_bundle
from backends.people.dense import BODIES, DenseNetwork
from backends.people.people import PeopleFinder
from backends.people.pose import PoseEstimator
from backends.people.regions import region_from_points

pytestmark = pytest.mark.usefixtures("bundle_folder")


@pytest.mark.parametrize("turned", [False, True])
def test_world_metres_are_those_of_mediapipes_landmarker(astronaut, turned):
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    image = np.ascontiguousarray(np.rot90(astronaut)) if turned else astronaut
    options = vision.PoseLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(find_bundle("pose"))))
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image))
    theirs = np.array([(p.x, p.y, p.z) for p in found.pose_world_landmarks[0]])
    network = DenseNetwork(BODIES)
    (centre, edge, _, _), *_ = network.find(image, short=224, least=0.5).points
    network.close()
    with PoseEstimator() as estimator:
        ours = estimator.estimate_regions(image, region_from_points(centre[None], edge[None])).world_m[0]
    assert np.abs(ours[:13, :2] - theirs[:13, :2]).max() < 0.06  # arms and legs leave the picture, depth depends on the crop
    assert np.linalg.norm(ours[[23, 24]].mean(axis=0)) < 0.02
    assert 0.25 < np.linalg.norm(ours[11] - ours[12]) < 0.5


def test_tracks_carry_world_metres(astronaut):
    with PeopleFinder() as finder:
        (track,) = finder.process((i, i / 6, astronaut) for i in range(3))
    assert track.world_m.shape == (3, 33, 3)
    assert np.isfinite(track.world_m).all()
    assert track.world_m[:, 0, 1].max() < track.world_m[:, 11, 1].min() < 0
