"""The sequence file as an export format: ``<side>.npz``, see `schemas.sequences`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.formats.base import ExportFacts, ExportItem, Sample, sort_samples
from schemas.errors import FormatError
from schemas.sequences import SequenceSet, read_sequences, write_sequences

__all__ = ["SequenceExporter"]


class SequenceExporter:
    """Pose sequences (N, S, V, 4) float32 px with label, group and tubelet id, and pictures where the items have them."""

    def write(self, folder: Path, side: str, items: Sequence[ExportItem], facts: ExportFacts) -> list[str]:
        """Write ``<side>.npz``, in the order of `items`."""
        crops = [item.crops for item in items if item.crops is not None]
        sequences = SequenceSet(
            pose=np.stack([item.sequence for item in items]),
            label=np.array([item.record.label for item in items]),
            group=np.array([item.record.group for item in items]),
            id=np.array([item.record.tubelet_id for item in items]),
            skeleton=np.asarray(facts.taxonomy.skeleton.edges, np.int64),
            fps=facts.fps,
            crops=np.stack(crops) if len(crops) == len(items) else None,
        )
        name = f"{side}.npz"
        write_sequences(folder / name, sequences)
        return [name]

    def list_pictures(self, items: Sequence[ExportItem]) -> dict[str, ExportItem]:
        """Return nothing: a sequence file has no pictures."""
        return {}

    def read(self, folder: Path, side: str) -> list[Sample]:
        """Read ``<side>.npz``."""
        path = folder / f"{side}.npz"
        sequences = read_sequences(path)
        if sequences.id is None or sequences.fps is None:
            raise FormatError(path, "id, fps", "arrays that an export has", "none")
        rows = zip(sequences.id.tolist(), sequences.label.tolist(), sequences.group.tolist(), strict=True)
        facts = {"fps": sequences.fps}
        found = [
            Sample(tubelet_id=id_, label=label, facts={**facts, "group": group}, arrays=_pick_arrays(sequences, i))
            for i, (id_, label, group) in enumerate(rows)
        ]
        return sort_samples(found)

    def reduce(self, items: Sequence[ExportItem], facts: ExportFacts) -> list[Sample]:
        """Keep label, group, the whole sequence and its pictures."""
        kept = [
            Sample(
                tubelet_id=item.record.tubelet_id,
                label=item.record.label,
                facts={"fps": facts.fps, "group": item.record.group},
                arrays={"pose": item.sequence} | ({} if item.crops is None else {"crops": item.crops}),
            )
            for item in items
        ]
        return sort_samples(kept)


def _pick_arrays(sequences: SequenceSet, row: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"pose": sequences.pose[row]}
    return arrays if sequences.crops is None else {**arrays, "crops": sequences.crops[row]}
