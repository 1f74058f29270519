"""Which class is taken for which: found from labels and opinions, swap by swap, and not where wrong labels go no one way."""

import numpy as np
import pytest

from curation.scoring.noise import combine_opinions, count_confident, spread_evenly
from curation.scoring.pairs import Pairs, count_pairs, find_pairs, measure_swaps

CYCLE = (np.arange(6) + 1) % 6


def pair_noise(rate, n_classes=6):
    return (1 - rate) * np.eye(n_classes) + rate * np.roll(np.eye(n_classes), 1, axis=1)


def draw(noise, *, n=1500, sure=3.0, seed=0, blind=()):
    """Return log-probabilities of a guesser who never names the `blind` classes, and labels drawn from `noise`."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(noise), n)
    scores = rng.normal(0, 1, (n, len(noise)))
    scores[np.arange(n), truth] += sure
    scores[:, list(blind)] -= 4
    labels = (noise[truth].cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
    return combine_opinions([scores], np.ones(1)), labels


def find(noise, **drawn):
    guess, labels = draw(noise, **drawn)
    return find_pairs([guess], labels, spread_evenly(0.3, len(noise)), count_confident(guess, labels))


@pytest.mark.parametrize("rate", [0.2, 0.4])
@pytest.mark.parametrize("blind", [(), (2,)])
def test_every_partner_is_found_even_of_a_class_that_nobody_names(rate, blind):
    found = find(pair_noise(rate), blind=blind)
    assert found.partners.tolist() == CYCLE.tolist()
    assert found.trust.min() == 1
    noise = found.spread(spread_evenly(0.3, 6))
    np.testing.assert_allclose(noise.sum(axis=1), 1)
    np.testing.assert_array_equal((noise - np.diag(np.diag(noise))).argmax(axis=1), CYCLE)


def test_swaps_lead_from_a_wrong_match_to_the_right_one():
    guess, labels = draw(pair_noise(0.4))
    wrong = Pairs(partners=np.array([3, 2, 1, 4, 5, 0]), rate=0.4, trust=np.ones(6))
    found = find_pairs([guess], labels, spread_evenly(0.3, 6), 60 * spread_evenly(0.4, 6), before=wrong)
    assert found.partners.tolist() == CYCLE.tolist()
    assert found.rate == 0.4


def test_a_swap_is_worth_what_the_labels_say():
    guess, labels = draw(pair_noise(0.3), n=400)
    probs, partners = np.exp(guess), np.array([3, 2, 1, 4, 5, 0])

    def likelihood(partners):
        noise = Pairs(partners=partners, rate=0.3, trust=np.ones(6)).spread(np.eye(6))
        return np.log((probs * noise[:, labels].T).sum(axis=1)).sum()

    gains = measure_swaps(probs, labels, partners, 0.3)
    swapped = np.array([3, 4, 1, 2, 5, 0])
    assert gains[1, 3] == pytest.approx(likelihood(swapped) - likelihood(partners), abs=1e-6)
    assert gains[1, 3] == gains[3, 1]
    assert gains[1, 2] == gains[4, 4] == -np.inf


def test_a_class_that_is_right_is_not_believed_to_be_taken_for_another():
    noise = pair_noise(0.4)
    noise[3] = np.eye(6)[3]
    found = find(noise, sure=6.0, n=3000)
    assert found.trust[3] == 0
    assert (np.delete(found.trust, 3) == 1).all()
    np.testing.assert_allclose(found.spread(np.eye(6))[3], np.eye(6)[3])


@pytest.mark.parametrize("way", ["both ways", "to all", "nowhere"])
def test_where_wrong_labels_do_not_go_one_way_nothing_is_matched(way):
    pairs = np.kron(np.eye(3), [[0.7, 0.3], [0.3, 0.7]])
    assert find({"both ways": pairs, "to all": spread_evenly(0.3, 6), "nowhere": np.eye(6)}[way], sure=6.0) is None


def test_of_two_classes_nothing_is_matched():
    assert find(np.array([[0.6, 0.4], [0.0, 1.0]])) is None


def test_labels_that_are_no_pair_do_not_count_in_the_rate():
    counts = 60 * pair_noise(0.25)
    counts[0, 3] = counts[2, 5] = 40  # the guesser's own errors
    pairs = Pairs(partners=CYCLE, rate=0.4, trust=np.ones(6))
    assert count_pairs(counts, pairs) == pytest.approx(0.25, abs=0.01)
