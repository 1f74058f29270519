"""`curate bench models --part cascade`: posture and hands together on rendered lessons that neither has seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult
from schemas.sequences import SequenceSet

__all__ = ["CascadeRun", "HandLessons", "bench_cascade", "describe_cascade", "measure_cascade", "split_hands"]

N_LESSONS, N_TEST, SECONDS, WINDOW, SHOTS = 18, 6, 24.0, 2.0, 4
LEAST = 0.90


@frozen(kw_only=True)
class CascadeRun:
    """On unseen lessons: share of phone and of writing that are told apart, macro-F1 of all eight, and of the posture model alone.

    `told` counts tubelets of people who phone or write, right if the larger of the two probabilities is the true one's; `hand`
    says the same of the hand branch alone.
    """

    told: float
    phone: float
    writing: float
    hand: float
    f1: float


def bench_cascade(*, rounds: int, seed: int = 0) -> BenchResult:
    """Draw, train and measure `rounds` times."""
    return describe_cascade([measure_cascade(number) for number in range(seed, seed + rounds)])


def describe_cascade(runs: list[CascadeRun]) -> BenchResult:
    """Return a row for each run, and what was missed."""
    rows = tuple(
        f"cascade: phone from writing {r.told:.3f} (recall of phone {r.phone:.3f}, of writing {r.writing:.3f}; hands alone "
        f"{r.hand:.3f}); eight behaviours, macro-F1 {r.f1:.3f}"
        for r in runs
    )
    told, least = float(np.mean([r.told for r in runs])), min(r.told for r in runs)
    missed = () if least >= LEAST else (f"the cascade tells phone from writing in {least:.3f} of one round, wanted {LEAST}",)
    line = f"cascade on rendered lessons, {len(runs)} rounds: tells phone from writing in {told:.3f}, least {least:.3f}"
    return BenchResult(rows=rows, line=line, data={"told": [r.told for r in runs], "f1": [r.f1 for r in runs]}, missed=missed)


def measure_cascade(seed: int) -> CascadeRun:
    """Train `drn-lstm` on postures and the hand branch on hands of twelve lessons, and ask both about six others."""
    from sklearn.metrics import f1_score

    from backends.behaviour.cascade import Cascade, join_postures
    from backends.behaviour.drn_lstm import DrnLstm
    from backends.behaviour.hand_images import HandModel

    taught, asked = split_hands(seed)
    posture = DrnLstm().fit(taught.lessons.with_labels(join_postures(taught.lessons.label)), seed=seed)
    hand = HandModel().fit(*taught.list_shots(), seed=seed)
    probs, classes = Cascade(posture, hand).predict_proba(asked.lessons.pose, asked.pictures)
    truth = asked.lessons.label
    said = np.array(classes)[probs.argmax(axis=1)]
    pair = np.isin(truth, ("phone", "write"))
    phones = probs[:, classes.index("phone")] > probs[:, classes.index("write")]
    alone = hand.predict_proba(asked.list_shots()[0]).reshape(len(pair), SHOTS, -1).mean(axis=1)[pair]
    seen = alone[:, hand.classes.index("phone")] > alone[:, hand.classes.index("writing")]
    return CascadeRun(
        told=float((phones[pair] == (truth[pair] == "phone")).mean()),
        phone=float((said[truth == "phone"] == "phone").mean()),
        writing=float((said[truth == "write"] == "write").mean()),
        hand=float((seen == (truth[pair] == "phone")).mean()),
        f1=float(f1_score(truth, said, average="macro", zero_division=0.0)),
    )


@frozen(kw_only=True)
class HandLessons:
    """Lessons as poses, and (N, F, 48, 48, 3) pictures of the hands in the same order."""

    lessons: SequenceSet
    pictures: NDArray[np.uint8]

    def take(self, rows: NDArray[np.bool_]) -> HandLessons:
        """Return those of the rows (N,)."""
        return HandLessons(lessons=self.lessons.take(rows), pictures=self.pictures[rows])

    def list_shots(self) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
        """Return the pictures one by one, (F N, 48, 48, 3), and what each hand does (F N,)."""
        from backends.behaviour.cascade import LOWERED

        hand_of = {behaviour: hand for hand, behaviour in LOWERED.items()}
        held = np.array([hand_of.get(name, "empty-handed") for name in self.lessons.label.tolist()])
        return self.pictures.reshape(-1, *self.pictures.shape[2:]), np.repeat(held, self.pictures.shape[1])


def split_hands(seed: int) -> tuple[HandLessons, HandLessons]:
    """Return rendered lessons to learn from, and others to be asked about."""
    hands = _read_hands(seed)
    names = np.unique(hands.lessons.group)
    test = np.isin(hands.lessons.group, np.random.default_rng(seed).permutation(names)[:N_TEST])
    return hands.take(~test), hands.take(test)


def _read_hands(seed: int) -> HandLessons:
    """Return rendered lessons as poses (see `simulate_poses`) with pictures of the hands, kept from run to run.

    The hands are cut out where the estimator would put them, from drawn frames in mixed light.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate" / "bench"
    path = cache / f"hands-2-{N_LESSONS}-lessons-{SECONDS:g}-s-{seed}.npz"
    if not path.is_file():
        from schemas.files import replace_file

        arrays = _draw(2000 + seed)
        cache.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
    with np.load(path, allow_pickle=False) as data:
        lessons = SequenceSet(pose=data["pose"], label=data["label"], group=data["group"], skeleton=data["skeleton"], fps=6.0)
        return HandLessons(lessons=lessons, pictures=data["pictures"])


def _draw(seed: int, *, n_lessons: int = N_LESSONS, seconds: float = SECONDS) -> dict[str, NDArray[Any]]:
    from curation.render.classroom import RenderConfig
    from curation.render.simulate import simulate_poses

    config = RenderConfig(seed=seed, lessons=n_lessons, seconds=seconds)
    poses = simulate_poses(seed=seed, lessons=n_lessons, seconds=seconds, window=WINDOW, config=config)
    shots = {key: shot for lesson in range(n_lessons) for key, shot in _draw_lesson(config, lesson).items()}
    ids = [] if poses.id is None else poses.id.tolist()
    kept = poses.take(np.array([key in shots for key in ids]))
    return {
        "pose": kept.pose,
        "label": kept.label,
        "group": kept.group,
        "skeleton": np.zeros((0, 2), np.int64) if kept.skeleton is None else kept.skeleton,
        "pictures": np.stack([shots[key] for key in ids if key in shots]),
    }


def _draw_lesson(config: Any, lesson: int) -> dict[str, NDArray[np.uint8]]:
    """Return the pictures (F, 48, 48, 3) of every student's hands in every window, by the ids that `simulate_poses` gives.

    Where the estimator finds nobody at one of the moments, the first one seen stands for it.
    """
    from backends.behaviour.hand_regions import cut_hands, find_hand_regions
    from curation.render.classroom import set_up
    from curation.render.paint import paint_frames
    from curation.render.scene import CAMERAS
    from curation.render.simulate import add_estimator_noise
    from curation.render.stage import observe, seed_for

    room, camera, plan = set_up(config, lesson, list(CAMERAS)[lesson % len(CAMERAS)])
    n_windows = int(config.seconds / WINDOW + 1e-6)
    times = (np.arange(n_windows)[:, None] * WINDOW + (np.arange(SHOTS) + 0.5) / SHOTS * WINDOW).ravel()
    truth, bodies = observe(plan, room, camera, times, SHOTS / WINDOW)
    rng = seed_for(config.seed, "hands", lesson)
    shape = (n_windows, SHOTS, len(plan.members), 33, 4)
    found = add_estimator_noise(truth.pose.reshape(shape).astype(np.float64), rng, 1.0).reshape(-1, *shape[2:])
    shots: dict[str, NDArray[np.uint8]] = {}
    for step, frame in enumerate(paint_frames(plan, room, camera, truth, bodies, config.light_of(lesson), rng)):
        for member, region in zip(plan.members, find_hand_regions(found[step]), strict=True):
            if np.isfinite(region).all():
                key = f"{plan.name}/{member.name}/{step // SHOTS}"
                shot = cut_hands(frame, region)
                shots.setdefault(key, np.repeat(shot[None], SHOTS, axis=0))[step % SHOTS] = shot
    return shots
