"""Several landmark networks side by side, for a video that has more cores to itself than one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from backends.people.covers import Cover
from backends.people.pose import PoseEstimator, Poses

__all__ = ["PoseTeam"]

T = TypeVar("T")


class PoseTeam:
    """Landmark networks on several threads, one each; they compute outside of Python's lock. `close` frees them.

    Args:
        size: how many. With one nothing is computed beside the caller.
        network: the size of each, see `backends.people.networks.POSE_NETWORKS`.
    """

    def __init__(self, size: int = 1, network: str = "full") -> None:
        self.size = size
        self._estimators = [PoseEstimator(network) for _ in range(size)]
        self._idle: SimpleQueue[PoseEstimator] = SimpleQueue()
        for estimator in self._estimators:
            self._idle.put(estimator)
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="poses") if size > 1 else None

    def begin(self, work: Callable[[PoseEstimator], T]) -> Callable[[], T]:
        """Have work done by whichever network is free first, and return what waits for its result.

        Alone, the network does it when it is waited for.
        """
        return partial(self._lend, work) if self._pool is None else self._pool.submit(self._lend, work).result

    def _lend(self, work: Callable[[PoseEstimator], T]) -> T:
        estimator = self._idle.get()
        try:
            return work(estimator)
        finally:
            self._idle.put(estimator)

    def estimate_regions(self, image_rgb: NDArray[np.uint8], regions: NDArray[Any], covers: Sequence[Cover] | None = None) -> Poses:
        """Return the poses in regions (N, 4) of an RGB image (H, W, 3), one look each, in order; `covers` are as many.

        They are those of `PoseEstimator.estimate_regions`, bit for bit.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        n = max(min(self.size, len(regions)), 1)
        order = np.concatenate([np.arange(len(regions))[i::n] for i in range(n)])
        given = np.asarray(regions, np.float64).reshape(-1, 4)

        def look(i: int, estimator: PoseEstimator) -> Poses:
            return estimator.estimate_regions(image_rgb, given[i::n], None if covers is None else covers[i::n])

        looks = [self.begin(partial(look, i)) for i in range(n)]
        return Poses.join([wait() for wait in looks]).take(np.argsort(order))

    def close(self) -> None:
        """End the threads and free the networks."""
        if self._pool is not None:
            self._pool.shutdown()
        for estimator in self._estimators:
            estimator.close()
