"""When the whole picture is looked at again."""

import numpy as np
import pytest

from backends.people.schedule import SOONEST, Schedule, Stir, choose_area


def run(schedule, seconds, *, new=lambda t: 0, lost=lambda t: False, stirred=lambda t: False, fits=True):
    """Return the times of the looks at the whole picture, and at parts, in a video of 6 frames a second."""
    times = {True: [], False: []}
    for t in np.arange(0, seconds, 1 / 6):
        whole = schedule.is_due(t)
        sought = (lost(t) or stirred(t)) and schedule.may_look_for(t, lost=lost(t), whole=not fits)
        if whole or sought:
            schedule.looked(t, new(t), whole=whole or not fits)
            times[whole or not fits].append(round(float(t), 3))
    return times[True], times[False]


def test_a_still_room_is_looked_at_ever_more_rarely():
    assert run(Schedule(4, 16), 60)[0] == [0, 1, 2.5, 6.5, 14.5, 30.5, 46.5]


def test_somebody_new_brings_the_wait_back():
    assert run(Schedule(4, 16), 40, new=lambda t: t == 14.5)[0] == [0, 1, 2.5, 6.5, 14.5, 18.5, 26.5]


def test_somebody_new_in_a_part_of_the_picture_brings_the_wait_back():
    whole, parts = run(Schedule(4, 16), 40, new=lambda t: t == 20, stirred=lambda t: t == 20)
    assert (whole, parts) == ([0, 1, 2.5, 6.5, 14.5, 20.167, 28.167], [20])


def test_where_something_stirs_a_part_is_looked_at_or_all_of_it_half_as_often():
    assert run(Schedule(4, 16), 13, stirred=lambda t: 9 <= t < 11.5) == ([0, 1, 2.5, 6.5], [9, 10, 11])
    assert run(Schedule(4, 16), 14, stirred=lambda t: 9 <= t < 11.5, fits=False) == ([0, 1, 2.5, 6.5, 9, 11], [])


def test_for_whoever_is_lost_it_looks_at_once_but_no_two_times_in_a_second():
    assert run(Schedule(4, 16), 13, lost=lambda t: 9 <= t < 11.5) == ([0, 1, 2.5, 6.5], [9, 10, 11])
    assert run(Schedule(4, 16), 13, lost=lambda t: 9 <= t < 11.5, fits=False) == ([0, 1, 2.5, 6.5, 9, 10, 11], [])


@pytest.mark.parametrize(("every", "rarest", "times"), [(0.5, 0.5, [0, 0.5, 1, 1.5]), (0, 0, list(np.arange(12) / 6))])
def test_every_bounds_all_waits(every, rarest, times):
    assert run(Schedule(every, rarest), 2)[0] == pytest.approx(times, abs=1e-3)


def test_a_rarest_below_every_is_every():
    assert run(Schedule(4, 1), 16)[0] == [0, 1, 2.5, 6.5, 10.5, 14.5]
    assert SOONEST == 1


@pytest.mark.parametrize(
    ("box", "area"),
    [
        ((400, 200, 500, 300), (290, 160, 610, 340)),
        ((400, 200, 500, 340), (210, 135, 690, 405)),
        ((0, 0, 50, 80), (0, 0, 320, 180)),
        ((900, 500, 960, 540), (640, 360, 960, 540)),
        ((300, 100, 500, 350), None),
    ],
)
def test_the_part_that_is_looked_at_lies_around_the_first_box(box, area):
    assert choose_area(np.float32([box, (0, 0, 960, 540)]), 960, 540) == area
    whole = choose_area(np.float32([(10, 10, 20, 20)]), 961, 541)
    assert whole == (0, 0, 321, 181)


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
    assert stir.find(room(*before), covered) is None
    box = stir.find(room(*after), covered)
    assert (box is not None) is moves
    if moves:
        x, y, width, height = after[-1]
        assert (np.abs(box[2:] - (x + width, y + height)) <= 8).all()
        assert box[1] == pytest.approx(y, abs=8)


def test_the_light_is_nobody_and_neither_is_another_size_of_picture():
    stir = Stir()
    stir.find(room(), NOBODY)
    assert stir.find(room(light=160), NOBODY) is None
    assert stir.find(room(light=160)[:300], NOBODY) is None


def test_boxes_beyond_the_frame_cover_what_is_in_it():
    stir = Stir()
    stir.find(room((0, 0, 60, 90)), NOBODY)
    assert stir.find(room((0, 0, 80, 110)), np.float32([[-20, -20, 90, 120], [950, 530, 960, 540]])) is None
