"""Several landmark networks side by side, for a video that has more cores to itself than one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.people.covers import Cover
from backends.people.pose import PoseEstimator, Poses

__all__ = ["PoseTeam"]


class PoseTeam:
    """Poses in given regions, as `PoseEstimator.estimate_regions` gives them, bit for bit, on several threads. `close` frees it.

    Each thread has a network of its own; the networks compute outside of Python's lock.
    """

    def __init__(self, threads: int = 1) -> None:
        self._estimators = [PoseEstimator() for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="poses") if threads > 1 else None

    def estimate_regions(self, image_rgb: NDArray[np.uint8], regions: NDArray[Any], covers: Sequence[Cover] | None = None) -> Poses:
        """Return the poses in regions (N, 4) of an RGB image (H, W, 3), one look each, in order; `covers` are as many.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        n = len(self._estimators)
        if self._pool is None or len(regions) < 2:
            return self._estimators[0].estimate_regions(image_rgb, regions, covers)
        shares = [np.asarray(regions)[i::n] for i in range(n)]
        hidden = [None if covers is None else covers[i::n] for i in range(n)]
        looks = self._pool.map(PoseEstimator.estimate_regions, self._estimators, [image_rgb] * n, shares, hidden)
        order = np.concatenate([np.arange(len(regions))[i::n] for i in range(n)])
        return Poses.join(list(looks)).take(np.argsort(order))

    def close(self) -> None:
        """End the threads and free the networks."""
        if self._pool is not None:
            self._pool.shutdown()
        for estimator in self._estimators:
            estimator.close()
