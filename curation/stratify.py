"""Dealing groups to the sides of a split so that every class is shared out as asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.checks import check_range
from schemas.errors import NotEnoughData

__all__ = ["assign_groups"]

_STARTS = 16
_MANY = 500


def assign_groups(counts: NDArray[Any], shares: Mapping[str, float], *, seed: int) -> list[str]:
    """Deal groups to sides so that every side gets its share of every class.

    Minimises Σ over sides and classes of (share of the class on that side − asked share)², plus 1 for each class that a side misses
    though enough groups hold it, by moves and swaps of groups from 16 seeded random starts. This is iterative stratification
    (Sechidis, Tsoumakas & Vlahavas 2011) over groups, with a local search instead of one greedy pass. Every side gets a group.

    Args:
        counts: (G, K) tubelets of each class in each group.
        shares: side → asked share, > 0; normalised to sum to 1.
        seed: decides between equally good deals only through the starts.

    Returns:
        The side of each group.

    Raises:
        NotEnoughData: if there are fewer groups than sides.
        InvalidField: if a share is not positive.
    """
    names = list(shares)
    target = np.array([check_range(f"{name} share", shares[name], 1e-9, 1e9) for name in names])
    target = target / target.sum()
    n_groups = len(counts)
    if n_groups < len(names):
        raise NotEnoughData("groups of lessons that share no student, with labels, one for each side", len(names), n_groups)
    table = np.column_stack([np.asarray(counts, float), np.asarray(counts, float).sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    spread = (table > 0).sum(axis=0) >= len(names)
    table = table / table.sum(axis=0)
    rng = np.random.default_rng(seed)
    starts = _STARTS if n_groups <= _MANY else 2
    deals = [_descend(table, target, spread, _start(rng, n_groups, target)) for _ in range(starts)]
    best = min(range(starts), key=lambda i: (round(deals[i][0], 9), i))
    return [names[side] for side in deals[best][1]]


def _start(rng: np.random.Generator, n_groups: int, target: NDArray[np.float64]) -> NDArray[np.int64]:
    sides = rng.choice(len(target), size=n_groups, p=target)
    sides[rng.permutation(n_groups)[: len(target)]] = np.arange(len(target))
    return sides


def _cost(held: NDArray[np.float64], target: NDArray[np.float64], spread: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Cost of (..., S, K) shares held by each side."""
    off = ((held - target[:, None]) ** 2).sum(axis=(-1, -2))
    return np.asarray(off + ((held < 1e-12) & spread).sum(axis=(-1, -2)))


def _descend(
    table: NDArray[np.float64], target: NDArray[np.float64], spread: NDArray[np.bool_], sides: NDArray[np.int64]
) -> tuple[float, NDArray[np.int64]]:
    """Move one group, or swap two, while it helps and leaves no side empty."""
    n_sides = len(target)
    held = np.stack([table[sides == s].sum(axis=0) for s in range(n_sides)])
    cost = float(_cost(held, target, spread))
    improved = True
    while improved:
        improved = False
        for g in range(len(sides)):
            for trial, peer in _trials(table, held, sides, g):
                new = _cost(trial, target, spread)
                best = int(new.argmin())
                if new[best] < cost - 1e-12:
                    cost, held, improved = float(new[best]), trial[best], True
                    old, sides[g] = int(sides[g]), sides[peer[best]] if peer is not None else best
                    if peer is not None:
                        sides[peer[best]] = old
                    break
    return cost, sides


def _trials(
    table: NDArray[np.float64], held: NDArray[np.float64], sides: NDArray[np.int64], g: int
) -> Iterable[tuple[NDArray[np.float64], NDArray[np.int64] | None]]:
    """Yield what the sides hold after moving group `g` to each side, then after swapping it with each group elsewhere."""
    own, n_sides = int(sides[g]), len(held)
    if (sides == own).sum() > 1:
        moved = np.repeat(held[None], n_sides, axis=0)
        moved[:, own] -= table[g]
        moved[np.arange(n_sides), np.arange(n_sides)] += table[g]
        yield moved, None
    peers = np.flatnonzero(sides != own)
    if len(peers) and len(sides) <= _MANY:
        swapped = np.repeat(held[None], len(peers), axis=0)
        change = table[peers] - table[g]
        swapped[:, own] += change
        swapped[np.arange(len(peers)), sides[peers]] -= change
        yield swapped, peers
