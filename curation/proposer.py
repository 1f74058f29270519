"""Building the proposer that ships with the tool: the pose CNN-LSTM of seed D, trained on rendered classrooms.

Nothing is drawn for the training: `curation.render.simulate_poses` says what a pose estimator would see of every student. Rebuild
with ``python -m curation.proposer``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.sequences import SequenceSet, read_sequences
from schemas.vocabulary import load_taxonomy

if TYPE_CHECKING:
    from backends.base import BehaviourModel

__all__ = ["AXIS", "TAXONOMY", "build_proposer", "measure_recall"]

TAXONOMY, AXIS = "learning-behaviours", "behaviour"
N_LESSONS = 40


def build_proposer(
    out: str | Path, *, seed: int = 0, lessons: int = N_LESSONS, seconds: float = 48.0, check: SequenceSet | None = None
) -> dict[str, Any]:
    """Train the proposer, measure it on other simulated lessons, write it to the folder `out`, as ONNX too; return the measurement.

    Args:
        out: the model folder.
        seed: of the lessons (training seed + 1, measurement seed + 2) and of the network.
        lessons: how many are simulated for the training.
        seconds: length of each.
        check: labelled sequences of another kind (poses that were found in rendered lessons) to be measured on as well.

    Raises:
        StorageError: if `out` cannot be written to.
    """
    from backends.behaviour.cnn_lstm_motion import CnnLstmMotion
    from backends.onnx_export import export_onnx
    from curation.render import simulate_poses

    taught = simulate_poses(seed=seed + 1, lessons=lessons, seconds=seconds)
    asked = simulate_poses(seed=seed + 2, lessons=max(2, lessons // 5), seconds=seconds)
    model = CnnLstmMotion(mirror=True).fit(taught, classes=load_taxonomy(TAXONOMY).axis(AXIS).values, seed=seed)
    training: dict[str, Any] = {
        "data": "rendered classrooms (curation.render): exact landmarks with simulated landmark noise; no real person",
        "sequences": len(taught),
        "lessons": lessons,
        "seed": seed,
        "rendered_other_lessons": measure_recall(model, asked),
        "note": "figures are on rendered students; on real ones it only makes first proposals",
    }
    if check is not None:
        training["rendered_found_poses"] = measure_recall(model, check)
    card = {
        "taxonomy": TAXONOMY,
        "axis": AXIS,
        "input": "pose (N, 12, 33, 4): MediaPipe landmarks x px, y px, z, visibility, 2 s at 6 frames/s; NaN for unseen",
        "training": training,
        "licence": "Apache-2.0",
        "rebuild": f"python -m curation.proposer --seed {seed} --lessons {lessons} --out backends/data/proposer",
    }
    export_onnx(model, out, n_frames=asked.pose.shape[1], card=card)
    return training


def measure_recall(model: BehaviourModel, sequences: SequenceSet) -> dict[str, Any]:
    """Return the number of sequences, the accuracy and the recall of each class, each in [0, 1]."""
    right = np.array(model.classes)[model.predict_proba(sequences.pose).argmax(axis=1)] == sequences.label
    recall = {name: round(float(right[sequences.label == name].mean()), 3) for name in sequences.classes}
    return {"sequences": len(sequences), "accuracy": round(float(right.mean()), 3), "recall": recall}


def main(arguments: list[str] | None = None) -> None:
    """Rebuild the proposer from the command line."""
    from backends.behaviour import PROPOSER

    parser = argparse.ArgumentParser(prog="python -m curation.proposer", description=__doc__)
    parser.add_argument("--out", default=str(PROPOSER))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lessons", type=int, default=N_LESSONS)
    parser.add_argument("--check", help="sequence file of found poses to measure on as well")
    options = parser.parse_args(arguments)
    check = read_sequences(options.check) if options.check else None
    training = build_proposer(options.out, seed=options.seed, lessons=options.lessons, check=check)
    accuracy = training["rendered_other_lessons"]["accuracy"]
    sys.stdout.write(f"{options.out}: {training['sequences']} sequences, accuracy {accuracy} on other simulated lessons\n")


if __name__ == "__main__":
    main()
