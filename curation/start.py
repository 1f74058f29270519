"""Building the start that ships for `default`: its graph networks, trained on rendered lessons of other seeds than anything else.

Every window is simulated at four rates of frames and under one of three amounts of an estimator's noise; training takes rates at
random and hides what other data may lack: legs, face, fingers, depth, visibility. Rebuild with ``python -m curation.start``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from schemas.sequences import SequenceSet
from schemas.vocabulary import BLAZEPOSE_33

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from backends.behaviour.graph import PoseGraph

__all__ = ["SEEDS", "build_start", "simulate_windows"]

SEEDS = 910_000
"""Rendered lessons of seeds from here on teach the start, and nothing else uses them."""
RATES = {3.0: 0.15, 6.0: 0.45, 12.0: 0.2, 16.0: 0.2}
"""Frames a second → share of the batches."""
NOISES, SECONDS, WINDOW = (0.7, 1.0, 1.3), 24.0, 2.0
N_LESSONS, N_EPOCHS, N_NETWORKS = 360, 24, 2
_HIDDEN = {(25, 33): 0.6, (1, 11): 0.15, (17, 23): 0.15}
"""Landmarks from, to (legs; face but for the nose; fingers) → share of the sequences in which they are hidden."""
_FLAT = 0.15
"""Share of the sequences without depth, and of those without visibility."""


@frozen(kw_only=True, eq=False)
class Windows:
    """Features (N, sum of `lengths`, V, F): each window at every rate, one after the other; labels (N,) among `classes`."""

    features: NDArray[np.float32]
    label: NDArray[np.int64]
    lengths: tuple[int, ...]
    classes: tuple[str, ...]
    skeleton: NDArray[np.int64]


def build_start(
    out: str | Path, *, seed: int = 0, lessons: int = N_LESSONS, epochs: int = N_EPOCHS, networks: int = N_NETWORKS
) -> dict[str, Any]:
    """Train the networks and write them to the folder `out`; return what the card says of the training.

    Args:
        out: the folder.
        seed: of the lessons (added to `SEEDS`) and of the networks.
        lessons: how many are simulated, in equal parts for each amount of noise.
        epochs: how often every window is seen.
        networks: how many are trained.

    Raises:
        StorageError: if `out` cannot be written to.
    """
    from backends.behaviour.bones import find_parents
    from backends.behaviour.start import save_start

    windows = simulate_windows(seed=seed, lessons=lessons)
    positions = np.where(windows.features[..., -1:] > 0, windows.features[..., :3], np.nan)
    parents = [int(i) for i in find_parents(positions, windows.skeleton)]
    trained = [_train(windows, parents, seed=seed + number, epochs=epochs) for number in range(networks)]
    training: dict[str, Any] = {
        "data": "rendered classrooms (curation.render): exact landmarks with simulated landmark noise; no real person",
        "sequences": len(windows.label),
        "lessons": lessons,
        "rates": list(RATES),
        "noises": list(NOISES),
        "seed": seed,
        "lesson_seeds": [_seed_of(seed, part) for part in range(len(NOISES))],
        "note": "a start for training on labelled sequences; it has no layer of classes and says nothing by itself",
    }
    card = {
        "classes": windows.classes,
        "input": "pose (N, T, 33, C): MediaPipe landmarks, any unit; T from 6 to 32 frames of 2 s",
        "training": training,
        "licence": "Apache-2.0",
        "rebuild": f"python -m curation.start --seed {seed} --lessons {lessons} --epochs {epochs} --out backends/data/start",
    }
    save_start(out, trained, card)
    return training


def simulate_windows(*, seed: int, lessons: int) -> Windows:
    """Return windows of rendered lessons as features of all 33 landmarks; only those in which somebody is found at every rate."""
    from backends.behaviour.reading import PoseInput

    read = PoseInput(n_nodes=33, n_channels=4, nodes=tuple(range(33)), depth=True)
    features, labels = [], []
    for part, noise in enumerate(NOISES):
        sets = [_simulate(_seed_of(seed, part), max(1, lessons // len(NOISES)), rate, noise) for rate in RATES]
        ids = [_list_ids(one) for one in sets]
        common = sorted(set.intersection(*map(set, ids)))
        kept = [one.take(np.isin(names, common)) for one, names in zip(sets, ids, strict=True)]
        features.append(np.concatenate([read.prepare(one.pose) for one in kept], axis=1))
        labels.append(kept[0].label)
    classes = tuple(sorted(set(np.concatenate(labels).tolist())))
    return Windows(
        features=np.concatenate(features),
        label=np.searchsorted(np.array(classes), np.concatenate(labels)).astype(np.int64),
        lengths=tuple(round(WINDOW * rate) for rate in RATES),
        classes=classes,
        skeleton=np.array(BLAZEPOSE_33.edges, np.int64),
    )


def _list_ids(sequences: SequenceSet) -> list[str]:
    return [] if sequences.id is None else sequences.id.tolist()


def _seed_of(seed: int, part: int) -> int:
    return SEEDS + len(NOISES) * seed + part


def _simulate(seed: int, lessons: int, rate: float, noise: float) -> SequenceSet:
    from curation.render import simulate_poses

    return simulate_poses(seed=seed, lessons=lessons, seconds=SECONDS, window=WINDOW, fps=rate, noise=noise)


def _train(windows: Windows, parents: Sequence[int], *, seed: int, epochs: int) -> PoseGraph:
    import torch

    from backends.behaviour.network import standardise
    from backends.behaviour.start import make_graph
    from backends.training import TrainingPlan, isolate_random, train_classifier

    features = torch.from_numpy(windows.features)
    plan = TrainingPlan(schedule="one-cycle", lr=4e-3, decay=0.02, val_share=0.0, epochs=epochs, batch_size=64)
    with isolate_random(seed) as generator:
        network = make_graph(parents, len(windows.classes))
        standardise(network, features)
        train_classifier(
            network,
            (features, torch.from_numpy(windows.label)),
            None,
            plan=plan,
            generator=generator,
            augment=partial(_augment, lengths=windows.lengths, means=network.shift),
            on_epoch=_report(seed, epochs),
        )
    return network


def _report(seed: int, epochs: int) -> Callable[[int, float, float | None], None]:
    def report(epoch: int, train_loss: float, _: float | None) -> None:
        sys.stderr.write(f"network {seed}: epoch {epoch} of {epochs}, loss {train_loss:.3f}\n")

    return report


def _augment(batch: Tensor, generator: torch.Generator, *, lengths: Sequence[int], means: Tensor) -> Tensor:
    """Return the windows (B, sum of lengths, V, F) at one rate, augmented, with landmarks and channels hidden in some."""
    import torch

    from backends.behaviour.augment import augment_strongly
    from backends.behaviour.normalise import find_counterparts

    n, n_nodes = len(batch), batch.shape[2]
    which = int(torch.multinomial(torch.tensor(list(RATES.values())), 1, generator=generator))
    start = sum(lengths[:which])
    shown = batch[:, start : start + lengths[which]].clone()
    for (first, last), share in _HIDDEN.items():
        shown[:, :, first:last] *= (torch.rand(n, 1, 1, 1, generator=generator) >= share).float()
    moved = augment_strongly(shown, generator, n_dims=3, mirror=find_counterparts(range(n_nodes), n_nodes))
    for channel in (2, 3):
        hidden = torch.rand(n, 1, 1, generator=generator) < _FLAT
        moved[..., channel] = torch.where(hidden, means[channel] * moved[..., -1], moved[..., channel])
    return moved


def main(arguments: list[str] | None = None) -> None:
    """Rebuild the start from the command line."""
    from backends.behaviour.start import START

    parser = argparse.ArgumentParser(prog="python -m curation.start", description=__doc__)
    parser.add_argument("--out", default=str(START))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lessons", type=int, default=N_LESSONS)
    parser.add_argument("--epochs", type=int, default=N_EPOCHS)
    options = parser.parse_args(arguments)
    training = build_start(options.out, seed=options.seed, lessons=options.lessons, epochs=options.epochs)
    sys.stdout.write(f"{options.out}: trained on {training['sequences']} sequences of {training['lessons']} lessons\n")


if __name__ == "__main__":
    main()
