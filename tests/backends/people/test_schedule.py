"""When the whole picture is looked at again."""

import numpy as np
import pytest

from backends.people.schedule import SOONEST, Schedule, Stir


def run(schedule, seconds, *, fresh=lambda t: 0, lost=lambda t: False, stirred=lambda t: False):
    """Return the times of the detections in a video of 6 frames a second."""
    times = []
    for t in np.arange(0, seconds, 1 / 6):
        if schedule.is_due(t, lost=lost(t), stirred=stirred(t)):
            schedule.looked(t, fresh(t))
            times.append(round(float(t), 3))
    return times


def test_a_still_room_is_looked_at_ever_more_rarely():
    assert run(Schedule(4, 16), 60) == [0, 1, 2, 6, 14, 30, 46]


def test_somebody_new_brings_the_wait_back():
    assert run(Schedule(4, 16), 40, fresh=lambda t: t == 14) == [0, 1, 2, 6, 14, 18, 26]


def test_while_something_stirs_it_looks_twice_as_often():
    assert run(Schedule(4, 16), 24, stirred=lambda t: 9 <= t < 13.5) == [0, 1, 2, 6, 9, 11, 13]
    assert run(Schedule(4, 16), 7, stirred=lambda t: True) == [0, 1, 2, 4, 6]


def test_for_whoever_is_lost_it_looks_at_once_but_no_two_times_in_a_second():
    assert run(Schedule(4, 16), 15, lost=lambda t: 9 <= t < 11.5) == [0, 1, 2, 6, 9, 10, 11]


@pytest.mark.parametrize(("every", "rarest", "times"), [(0.5, 0.5, [0, 0.5, 1, 1.5]), (0, 0, list(np.arange(12) / 6))])
def test_every_bounds_all_waits(every, rarest, times):
    assert run(Schedule(every, rarest), 2) == pytest.approx(times, abs=1e-3)


def test_a_rarest_below_every_is_every():
    assert run(Schedule(4, 1), 16) == [0, 1, 2, 6, 10, 14]
    assert SOONEST == 1


NOBODY = np.zeros((0, 4), np.float32)


def room(*people, light=100):
    """A grey room of 960 x 540 px with a noisy sensor and bright people (x, y, width, height)."""
    rng = np.random.default_rng(len(people) + light)
    image = np.full((540, 960, 3), light, np.int16)
    for x, y, width, height in people:
        image[y : y + height, x : x + width] = 220
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("before", "after", "covered", "moves"),
    [
        ((), (), NOBODY, False),
        ((), ((400, 200, 40, 90),), NOBODY, True),
        (((400, 200, 40, 90),), ((440, 200, 40, 90),), NOBODY, True),
        (((400, 200, 40, 90),), ((410, 200, 40, 90),), np.float32([[400, 200, 440, 290]]), False),
        (((400, 200, 40, 90),), ((400, 200, 40, 90), (700, 100, 40, 90)), np.float32([[400, 200, 440, 290]]), True),
        ((), ((400, 200, 4, 4),), NOBODY, False),
        ((), ((460, 220, 40, 8),), np.float32([[400, 200, 440, 290]]), False),
    ],
)
def test_what_moves_where_nobody_is_followed_is_noticed(before, after, covered, moves):
    stir = Stir()
    assert not stir.moves(room(*before), covered)
    assert stir.moves(room(*after), covered) is moves


def test_the_light_is_nobody_and_neither_is_another_size_of_picture():
    stir = Stir()
    stir.moves(room(), NOBODY)
    assert not stir.moves(room(light=160), NOBODY)
    assert not stir.moves(room(light=160)[:300], NOBODY)


def test_boxes_beyond_the_frame_cover_what_is_in_it():
    stir = Stir()
    stir.moves(room((0, 0, 60, 90)), NOBODY)
    assert not stir.moves(room((0, 0, 80, 110)), np.float32([[-20, -20, 90, 120], [950, 530, 960, 540]]))
