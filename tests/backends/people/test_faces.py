"""Where the detector of faces looks closer."""

import numpy as np

from backends.people.dense import Finds
from backends.people.faces import find_crowd

SHAPE = (800, 1600, 3)


def make_finds(*faces):
    """Finds of (x, y, side, score)."""
    x, y, side, scores = np.array(faces, float).reshape(-1, 4).T
    boxes = np.column_stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    return Finds(scores=scores, boxes_xyxy=boxes, points=np.zeros((len(scores), 6, 2)))


def test_part_with_small_sure_faces_is_looked_at_closer_in_eighths_of_the_frame():
    small = make_finds((500, 250, 20, 0.9), (900, 300, 20, 0.6), (200, 700, 80, 0.9), (1500, 90, 20, 0.1))
    assert find_crowd(small, 30, SHAPE, None) == (400, 100, 1000, 400)
    assert find_crowd(small, 30, SHAPE, (600, 0, 1600, 350)) == (600, 100, 1000, 350)


def test_one_small_face_or_none_or_elsewhere_is_no_crowd():
    assert find_crowd(make_finds((500, 250, 20, 0.9), (900, 300, 40, 0.9)), 30, SHAPE, None) is None
    assert find_crowd(make_finds(), 30, SHAPE, None) is None
    assert find_crowd(make_finds((500, 250, 20, 0.9), (600, 250, 20, 0.9)), 30, SHAPE, (0, 500, 1600, 800)) is None
