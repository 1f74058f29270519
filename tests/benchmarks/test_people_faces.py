"""How blinks are counted: each true one once, none for eyes that the camera does not see."""

import numpy as np

from backends.people.eyes import Blink
from curation.benchmarks.people_faces import BlinkScore, score_blinks

TIMES = np.arange(120) / 12
TOWARDS = np.zeros((120, 3))


def eyes_closed(*spans):
    opened = np.ones(120)
    for first, last in spans:
        opened[first : last + 1] = 0.1
    return opened


def at(frame):
    return Blink(start=frame / 12 - 0.05, end=frame / 12 + 0.1, depth=0.7)


def test_hits_misses_and_false_ones():
    score = score_blinks([at(20), at(80)], TIMES, eyes_closed((20, 21), (50, 52)), TOWARDS)
    assert score == BlinkScore(n_true=2, n_hit=1, n_false=1)
    assert score.f1 == 0.5


def test_a_true_blink_counts_once():
    assert score_blinks([at(20), at(21)], TIMES, eyes_closed((20, 21)), TOWARDS) == BlinkScore(n_true=1, n_hit=1, n_false=1)


def test_eyes_turned_away_count_neither_way():
    away = TOWARDS + np.array([60, 0, 0])
    for n, found in enumerate(([], [at(20)])):
        assert score_blinks(found, TIMES, eyes_closed((20, 21)), away) == BlinkScore(n_hidden=1, n_hidden_hit=n)
    assert np.isnan(BlinkScore(n_hidden=1).f1)


def test_sleep_is_no_blink_and_finding_one_there_is_false():
    assert score_blinks([], TIMES, eyes_closed((20, 60)), TOWARDS) == BlinkScore()
    assert score_blinks([at(30)], TIMES, eyes_closed((20, 60)), TOWARDS) == BlinkScore(n_false=1)


def test_scores_add_up():
    assert BlinkScore(n_true=3, n_hit=2) + BlinkScore(n_true=1, n_hit=1, n_false=1) == BlinkScore(n_true=4, n_hit=3, n_false=1)
