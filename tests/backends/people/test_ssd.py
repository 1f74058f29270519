"""Detector ``ssd``: boxes in frame px, each person once, and whoever is cut off by the frame's edge."""

import numpy as np
import pytest
from fixtures_people import make_pose

from backends.people.base import Detections
from backends.people.body import compute_ious, share_inside
from backends.people.people import Following
from backends.people.places import PersonPlace
from backends.people.pose import Poses
from backends.people.schedule import Schedule
from backends.people.search import Search
from backends.people.ssd import BoxNetwork, Sights, SsdDetector, list_places, merge_looks
from backends.people.team import PoseTeam
from backends.people.tracker import Tracker

pytestmark = pytest.mark.usefixtures("bundle_folder")


@pytest.fixture(scope="module")
def network(object_boxes):
    network = BoxNetwork()
    yield network
    network.close()


def test_a_box_is_in_frame_px_wherever_the_person_is(network, astronaut):
    boxes = []
    for left, top in ((60, 40), (700, 130)):
        frame = np.full((720, 1280, 3), 120, np.uint8)
        frame[top : top + 512, left : left + 512] = astronaut
        found, scores = network.find(frame, short=300, least=0.3)
        boxes.append(found[scores.argmax()] - [left, top] * 2)
    person = np.array([63, 10, 400, 512])
    assert np.abs(boxes[0] - person).max() < 75
    assert np.abs(boxes[0] - boxes[1]).max() < 60


def test_a_part_of_the_frame_is_seen_as_in_the_whole(network, astronaut):
    frame = np.full((512, 1100, 3), 120, np.uint8)
    frame[:, 560:1072] = astronaut
    found, scores = network.find(frame, short=300, least=0.3, area=(550, 0, 1100, 512))
    beside, _ = network.find(frame, short=300, least=0.3, area=(0, 0, 500, 512))
    assert abs(found[scores.argmax(), 0] - 560 - 63) < 75
    assert (found[:, 0] >= 550).all()
    assert len(beside) == 0


def test_a_person_in_several_looks_is_one_box_and_a_part_of_them_none():
    whole, again, arm, other = [10, 10, 110, 210], [14, 12, 112, 205], [20, 60, 60, 160], [300, 20, 380, 200]
    first, second = np.array([whole, other], float), np.array([again, arm, other], float)
    sights = merge_looks([(first, np.array([0.5, 0.4])), (second, np.array([0.6, 0.55, 0.3]))])
    np.testing.assert_allclose(sights.boxes_xyxy, [again, other])
    np.testing.assert_allclose(sights.scores, [0.6, 0.4])
    np.testing.assert_array_equal(sights.n_looks, [2, 2])


def test_nothing_seen_is_nobody():
    nothing = (np.zeros((0, 4)), np.zeros(0))
    assert len(merge_looks([nothing, nothing]).boxes_xyxy) == 0


def test_at_a_side_of_the_frame_two_looks_count_for_a_high_score_but_not_at_the_lower_edge():
    boxes = np.array([[0, 50, 30, 150], [370, 60, 400, 190], [100, 200, 160, 300], [200, 0, 240, 60], [250, 50, 300, 160]], float)
    sights = Sights(boxes_xyxy=boxes, scores=np.array([0.32, 0.32, 0.32, 0.31, 0.5]), n_looks=np.array([2, 1, 2, 2, 1]))
    places = list_places(sights, 400, 300, least=0.35)
    np.testing.assert_allclose([p.box_xyxy for p in places], boxes[[0, 3, 4]])
    assert [p.is_cut for p in places] == [True, True, False]
    assert [p.box_alone is None for p in places] == [False, False, True]


def test_a_box_belongs_to_whoever_has_the_head_in_it():
    sitting, behind = make_pose(x=200, y=100, head=40), make_pose(x=260, y=60, head=38)
    boxes = np.array([[150, 65, 250, 240], [210, 30, 310, 200]], float)
    place = PersonPlace(score=0.5, box_xyxy=np.array([148.0, 70, 255, 235]))
    np.testing.assert_array_equal(place.belongs_to(np.stack([sitting, behind]), boxes), [True, False])


def test_a_body_that_hardly_fits_a_cut_box_is_none():
    pose, box = make_pose(x=30, y=100, head=40), np.array([0, 75, 70, 230])
    assert PersonPlace(score=0.5, box_xyxy=np.array([0.0, 75, 62, 240]), is_cut=True).agrees(pose, box)
    tall = np.array([0.0, 75, 62, 420])
    assert PersonPlace(score=0.5, box_xyxy=tall).agrees(pose, box)
    assert not PersonPlace(score=0.5, box_xyxy=tall, is_cut=True).agrees(pose, box)


@pytest.fixture
def team():
    team = PoseTeam()
    yield team
    team.close()


def cut_box(x1=0.0, x2=60.0, *, score=0.4, alone=True):
    return PersonPlace(score=score, box_xyxy=np.array([x1, 100.0, x2, 380.0]), is_cut=True, stands_alone=alone)


def test_whom_the_detector_alone_is_sure_of_is_a_box_without_landmarks(team):
    search = Search(np.full((480, 640, 3), 120, np.uint8), team, least=0.5)
    search.try_places([cut_box(), cut_box(x2=66.0, score=0.35), cut_box(580.0, 640.0, alone=False)])
    found = search.result()
    np.testing.assert_allclose(found.boxes_xyxy, [[0, 100, 60, 380]])
    assert found.scores == pytest.approx([0.4])
    assert np.isnan(found.pose_px).all()
    assert found.regions.shape == (1, 4)


def test_a_box_that_holds_some_of_a_body_with_landmarks_is_that_body(team):
    pose = make_pose(x=70, y=130, head=40)
    known = Poses(pose_px=pose[None], scores=np.float32([0.9]), regions=np.array([[70.0, 250, 300, 0]]))
    search = Search(np.full((480, 640, 3), 120, np.uint8), team, least=0.5, known=known)
    search.try_places([cut_box()])
    assert len(search.result()) == 0


def follow(team, found, n_frames):
    schedule = Schedule(1.0, 4.0)
    following = Following(team, lambda *_: found, lambda width, height: Tracker(width, height, lost_after=2.0), schedule)
    for index in range(n_frames):
        following.look(index, index / 6, np.full((480, 640, 3), 120, np.uint8))
    return following.finish()


def test_a_still_image_has_tracks_of_people_without_landmarks_and_a_video_has_none(team):
    boxes, nothing = np.array([[0.0, 100, 60, 380], [600, 90, 640, 400]]), np.full((2, 33, 4), np.nan)
    found = Detections(boxes_xyxy=boxes, scores=[0.4, 0.35], pose_px=nothing)
    still = follow(team, found, 1)
    np.testing.assert_allclose(np.concatenate([track.boxes_xyxy for track in still]), boxes)
    assert [track.number for track in still] == [0, 1]
    assert follow(team, found, 4) == []


def test_half_a_person_at_each_side_is_found(object_boxes, astronaut):
    frame = np.full((512, 900, 3), 150, np.uint8)
    frame[:, :300], frame[:, 640:] = astronaut[:, 212:], astronaut[:, :260]
    with SsdDetector() as detector:
        found = detector.detect(frame)
    halves = np.array([[0, 15, 150, 512], [660, 15, 900, 512]])
    assert (compute_ious(halves, found.boxes_xyxy).max(axis=1) > 0.6).all()
    assert (share_inside(found.boxes_xyxy, halves).max(axis=1) > 0.9).all()
