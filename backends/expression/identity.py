"""Embeddings of who somebody is, closed by type: they group pictures and check consent, and nothing else.

They are no arrays, have no classes and cannot be written, so that no model can learn a label from them and no exporter can take
them; which modules may import this one is a test (tests/backends/expression/test_identity.py).
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from schemas.checks import check_array, check_range
from schemas.errors import InvalidField

__all__ = ["IdentityEmbeddings", "group_faces", "match_consent"]


class IdentityEmbeddings:
    """N unit vectors. What comes out is how far faces are apart; the vectors themselves stay inside.

    Raises:
        InvalidField: if the vectors are not (N, D), finite and of length 1.
    """

    __slots__ = ("_vectors",)

    def __init__(self, vectors: NDArray[Any]) -> None:
        array = check_array("vectors", vectors, (None, None)).astype(np.float32)
        if not np.isfinite(array).all() or (np.abs(np.linalg.norm(array, axis=1) - 1) > 1e-3).any():
            raise InvalidField("vectors", "finite vectors of length 1", f"shape {array.shape}")
        self._vectors = array

    def __len__(self) -> int:
        return len(self._vectors)

    def take(self, index: NDArray[Any]) -> IdentityEmbeddings:
        """Return the embeddings at `index` (integers or a mask)."""
        return IdentityEmbeddings(self._vectors[index])

    def compare(self, other: IdentityEmbeddings) -> NDArray[np.float64]:
        """Return distances (N, M) in [0, 2], 0 = the same face."""
        cosine = np.clip(self._vectors.astype(np.float64) @ other._vectors.T, -1, 1)
        distances: NDArray[np.float64] = np.sqrt(np.maximum(2 - 2 * cosine, 0))
        return distances

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("identity embeddings are no features: they only group pictures and check consent")

    def __reduce__(self) -> NoReturn:
        raise TypeError("identity embeddings are not written anywhere")

    def __repr__(self) -> str:
        return f"IdentityEmbeddings({len(self)} faces)"


def group_faces(embeddings: IdentityEmbeddings, *, farthest: float) -> NDArray[np.int64]:
    """Return the group (N,) of each face: average-linkage clusters that are nearer than `farthest`, numbered as they appear.

    For splits: pictures that may show the same person go to the same side.

    Raises:
        InvalidField: if `farthest` is outside [0, 2].
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    check_range("farthest", farthest, 0, 2)
    if len(embeddings) < 2:
        return np.zeros(len(embeddings), np.int64)
    distances = embeddings.compare(embeddings)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0)
    numbers = fcluster(linkage(squareform(distances, checks=False), "average"), farthest, "distance")
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[inverse], np.int64)


def match_consent(faces: IdentityEmbeddings, enrolled: IdentityEmbeddings, *, farthest: float) -> NDArray[np.int64]:
    """Return for each face (N,) which of the enrolled pictures it is nearest to, or -1 if none is nearer than `farthest`.

    For consent: who is not matched to somebody who gave it counts as somebody who did not.

    Raises:
        InvalidField: if `farthest` is outside [0, 2].
    """
    check_range("farthest", farthest, 0, 2)
    if not len(enrolled):
        return np.full(len(faces), -1, np.int64)
    distances = faces.compare(enrolled)
    nearest = distances.argmin(axis=1)
    return np.where(distances.min(axis=1) < farthest, nearest, -1).astype(np.int64)
