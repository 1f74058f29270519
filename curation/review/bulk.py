"""Many samples into FiftyOne at once: its own documents, written by the thousand, without an object for each field of each sample.

`Row` says what is in a sample. `insert_rows` writes what ``dataset.add_samples`` would write of `make_sample`'s samples (a test
compares the two), an order of magnitude faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
from attrs import frozen

__all__ = ["Row", "insert_rows", "make_sample"]

_BATCH = 2000


@frozen(kw_only=True)
class Row:
    """One sample: a video with its `metadata` (fields of ``fiftyone.VideoMetadata``), and plain and label fields.

    `labels` maps a field to (label, confidence or None). `values` holds strings, numbers and lists of strings. None is left out.
    """

    filepath: str
    metadata: Mapping[str, Any]
    labels: Mapping[str, tuple[str, float | None] | None]
    values: Mapping[str, Any]


def make_sample(row: Row) -> Any:
    """Return the `fiftyone.Sample` of a row."""
    import fiftyone as fo

    labels = {name: fo.Classification(label=said[0], confidence=said[1]) for name, said in row.labels.items() if said is not None}
    values = {name: value for name, value in row.values.items() if value is not None}
    return fo.Sample(filepath=row.filepath, metadata=fo.VideoMetadata(**row.metadata), **labels, **values)


def insert_rows(dataset: Any, rows: Iterable[Row]) -> list[str]:
    """Add a sample for each row to an empty dataset whose fields are declared; return their ids, in the same order.

    Raises:
        ValueError: if the database refuses a document.
    """
    dataset.media_type = "video"
    stamp = datetime.now(UTC).replace(tzinfo=None)
    rng, ids = np.random.default_rng(0), []
    for batch in _in_batches(rows):
        documents = [
            _make_document(row, dataset._doc.id, stamp, float(order))
            for row, order in zip(batch, rng.random(len(batch)), strict=True)
        ]
        dataset._sample_collection.insert_many(documents, ordered=False)
        ids += [str(document["_id"]) for document in documents]
    return ids


def _in_batches(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _make_document(row: Row, dataset_id: Any, stamp: datetime, order: float) -> dict[str, Any]:
    from bson import ObjectId

    document: dict[str, Any] = {
        "_id": ObjectId(),
        "filepath": row.filepath,
        "tags": [],
        "metadata": {"_cls": "VideoMetadata", **row.metadata},
        "_media_type": "video",
        "_rand": order,
        "_dataset_id": dataset_id,
        "created_at": stamp,
        "last_modified_at": stamp,
    }
    for name, said in row.labels.items():
        if said is not None:
            label = {"_id": ObjectId(), "_cls": "Classification", "tags": [], "label": said[0]}
            document[name] = label if said[1] is None else {**label, "confidence": said[1]}
    document.update((name, value) for name, value in row.values.items() if value is not None)
    return document
