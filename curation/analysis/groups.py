"""Who does things together: groups of students as communities of a graph of co-occurring events. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.checks import check_range

__all__ = ["count_common", "find_groups"]

_CLEAR = 2.0
Events = Mapping[str, Sequence[tuple[str, float]]]


def count_common(a: Sequence[tuple[str, float]], b: Sequence[tuple[str, float]], *, within: float = 2.0) -> int:
    """Return how many events of `a` have one of the same kind in `b` at most `within` seconds away, each of `b` used once.

    Args:
        a: (kind, seconds) of each event.
        b: the same.
        within: seconds.
    """
    free = sorted(b, key=lambda event: event[1])
    n = 0
    for kind, at in sorted(a, key=lambda event: event[1]):
        match = next((event for event in free if event[0] == kind and abs(event[1] - at) <= within), None)
        if match is not None:
            free.remove(match)
            n += 1
    return n


def find_groups(events: Events, *, seconds: float, within: float = 2.0, seed: int = 0) -> dict[str, int]:
    """Return student → number of the group, from 0, the largest first; who has nothing in common with anybody is a group alone.

    Students are joined by how many more events they have in common than two who act independently would, which is about Σ_kind n_a
    n_b · 2 `within` / `seconds`, if that is two standard deviations (of a count) more;
    communities are those of greatest modularity (V. D. Blondel et al., "Fast unfolding of communities in large networks", 2008;
    networkx).

    Args:
        events: student → (kind, seconds) of each event.
        seconds: length of the lesson.
        within: how near in time two events are one common event.
        seed: of the order in which students are joined.

    Raises:
        InvalidField: if `seconds` or `within` is not above 0.
    """
    import networkx as nx

    check_range("seconds", seconds, 1e-6, 1e9)
    check_range("within", within, 1e-6, 1e9)
    graph = nx.Graph()
    names = sorted(events)
    graph.add_nodes_from(names)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            common = count_common(events[a], events[b], within=within)
            expected = _expect_common(events[a], events[b], seconds, within)
            if common >= 2 and common - expected > _CLEAR * expected**0.5:
                graph.add_edge(a, b, weight=common - expected)
    found = nx.community.louvain_communities(graph, weight="weight", seed=seed)
    ordered = sorted((sorted(group) for group in found), key=lambda group: (-len(group), group))
    return {name: number for number, group in enumerate(ordered) for name in group}


def _expect_common(a: Sequence[tuple[str, float]], b: Sequence[tuple[str, float]], seconds: float, within: float) -> float:
    kinds = {kind for kind, _ in a} & {kind for kind, _ in b}
    share = min(1.0, 2 * within / seconds)
    counts = [(sum(k == kind for k, _ in a), sum(k == kind for k, _ in b)) for kind in kinds]
    return float(np.sum([min(n * m * share, n, m) for n, m in counts]))
