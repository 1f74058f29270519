"""`curate bench vision --part faces` and `--part identity`: face models on rendered faces of people they were not trained on."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.expression import EXPRESSION_MODELS, IDENTITY_MODELS
from backends.expression.identity import IdentityEmbeddings, group_faces
from backends.expression.multitask import MultiTask, measure_top
from curation.benchmarks import BenchResult
from curation.render.portraits import draw_portraits
from schemas.faces import FaceSet

__all__ = ["bench_faces", "bench_identity", "compute_separation"]

PEOPLE, HELD, PICTURES, SIZE = 50, 20, 16, 48
LEAST_TOP1, LEAST_TOP5, LEAST_ATTRIBUTES = 0.60, 0.95, 0.90
LEAST_AUC = 0.95
_TIMED = 40


def _split(seed: int) -> tuple[FaceSet, FaceSet]:
    """Return faces to learn from, and those of other people."""
    faces = draw_portraits(seed=seed, people=PEOPLE + HELD, pictures=PICTURES, size=SIZE)
    test = np.isin(faces.group, sorted(set(faces.group.tolist()))[PEOPLE:])
    return faces.take(~test), faces.take(test)


def bench_faces(*, rounds: int, seed: int = 0) -> BenchResult:
    """Train every multi-task network `rounds` times, on other people each time, and measure both tasks and the latency.

    Args:
        rounds: trainings of each.
        seed: of the first.
    """
    rows: list[str] = []
    data: dict[str, dict[str, Any]] = {}
    missed: list[str] = []
    for name in EXPRESSION_MODELS:
        made = [_train(name, number) for number in range(seed, seed + rounds)]
        model, measured = made[-1][0], [facts for _, facts in made]
        mean = {key: float(np.mean([m[key] for m in measured])) for key in measured[0]}
        latency = _time_engines(model)
        n_params = sum(p.numel() for p in model.network.parameters())
        data[name] = {**mean, "params": n_params, "latency_ms": latency, "rounds": measured}
        rows.append(
            f"{name:22} top-1 {mean['top1']:.3f}  top-5 {mean['top5']:.3f}  attributes {mean['attributes']:.3f} (most frequent "
            f"{mean['majority']:.3f})  {n_params} parameters  trained in {mean['fit_s']:.0f} s of CPU; CPU for one face "
            + ", ".join(
                f"{engine} {ms:.2f} ms" if ms is not None else f"{engine} does not run here" for engine, ms in latency.items()
            )
        )
        limits = {"top1": LEAST_TOP1, "top5": LEAST_TOP5, "attributes": LEAST_ATTRIBUTES}
        missed += [f"{name}: {key} {mean[key]:.3f} is below {least}" for key, least in limits.items() if mean[key] < least]
    best = max(data, key=lambda name: float(data[name]["top1"]))
    line = (
        f"faces (rendered): best {best}, top-1 {data[best]['top1']:.3f}, top-5 {data[best]['top5']:.3f}, attributes "
        f"{data[best]['attributes']:.3f} on people never seen; {rounds} rounds"
    )
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


def _train(name: str, seed: int) -> tuple[MultiTask, dict[str, float]]:
    train, held = _split(seed)
    start = time.process_time()
    model: MultiTask = EXPRESSION_MODELS.load(name)().fit(train, seed=seed)
    fit_s = time.process_time() - start
    return model, {**_measure_tasks(model, held), "fit_s": fit_s}


def _measure_tasks(model: MultiTask, held: FaceSet) -> dict[str, float]:
    truth = np.searchsorted(np.array(model.classes), held.expression)
    probs = model.predict_proba(held.image)
    right = (model.predict_attributes(held.image) >= 0.5) == held.attribute
    share = held.attribute.mean(axis=0)
    return {
        "top1": measure_top(probs, truth, 1),
        "top5": measure_top(probs, truth, 5),
        "attributes": float(right.mean()),
        "majority": float(np.maximum(share, 1 - share).mean()),
    }


def _time_engines(model: MultiTask) -> dict[str, float | None]:
    """Return the median milliseconds of CPU for one face: eager, compiled, and by ONNX Runtime, on one thread each; see `_time`."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        picture = torch.zeros(1, 3, SIZE, SIZE)
        session = _export(model, picture)
        engines: dict[str, Callable[[], object]] = {
            "eager": lambda: model.network(picture),
            "ONNX Runtime": lambda: session.run(None, {"picture": picture.numpy()}),
        }
        compiled = torch.compile(model.network)
        engines["torch.compile"] = lambda: compiled(picture)
        with torch.no_grad():
            return {name: _time(run) for name, run in engines.items()}
    finally:
        torch.set_num_threads(threads)


def _time(run: Callable[[], object]) -> float | None:
    """Return the median milliseconds of CPU of a call, or None if it cannot be made here (`torch.compile` needs a C++ compiler)."""
    try:
        for _ in range(3):
            run()
    except RuntimeError:
        return None
    seconds = []
    for _ in range(_TIMED):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return 1000 * float(np.median(seconds))


def _export(model: MultiTask, picture: Any) -> Any:
    """Return an ONNX Runtime session of the network, after a check that both answer alike."""
    import onnxruntime
    import torch

    buffer: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.network, (picture,), buffer, dynamo=False, input_names=["picture"], output_names=["expression", "attribute"]
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
    drawn = torch.rand(picture.shape) * 2 - 1
    with torch.no_grad():
        ours = model.network(drawn)
    theirs = session.run(None, {"picture": drawn.numpy()})
    if max(float(np.abs(a.numpy() - b).max()) for a, b in zip(ours, theirs, strict=True)) > 1e-4:
        raise ValueError(f"{model.name} answers otherwise as ONNX")
    return session


def bench_identity(*, rounds: int, seed: int = 0) -> BenchResult:
    """Train the embedding `rounds` times and measure how well it tells people apart that it has never seen.

    Args:
        rounds: trainings.
        seed: of the first.
    """
    measured = [_measure_identity(number) for number in range(seed, seed + rounds)]
    mean = {key: float(np.mean([m[key] for m in measured])) for key in measured[0]}
    rows = (
        f"facenet   AUC {mean['auc']:.3f}  pairs right {mean['right']:.3f} at the threshold of the training people  groups F1 "
        f"{mean['group_f1']:.3f}  trained in {mean['fit_s']:.0f} s of CPU",
        f"pixels    AUC {mean['auc_pixels']:.3f}",
    )
    missed = (f"AUC {mean['auc']:.3f} is below {LEAST_AUC}",) if mean["auc"] < LEAST_AUC else ()
    line = (
        f"identity (rendered): AUC {mean['auc']:.3f} on {HELD} people never seen, raw pixels {mean['auc_pixels']:.3f}; "
        f"{rounds} rounds"
    )
    return BenchResult(rows=rows, line=line, data={"facenet": mean, "rounds": measured}, missed=missed)


def _measure_identity(seed: int) -> dict[str, float]:
    train, held = _split(seed)
    start = time.process_time()
    model = IDENTITY_MODELS.load("facenet")().fit(train, seed=seed)
    fit_s = time.process_time() - start
    near, same = _list_pairs(model.embed(train.image), train.group)
    threshold = _choose_threshold(near, same)
    faces = model.embed(held.image)
    near, same = _list_pairs(faces, held.group)
    balanced = ((near[same] < threshold).mean() + (near[~same] >= threshold).mean()) / 2
    groups = group_faces(faces, farthest=threshold)
    pixels = held.image.reshape(len(held), -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-9)
    raw, _ = _list_pairs(IdentityEmbeddings(pixels), held.group)
    return {
        "auc": compute_separation(near, same),
        "auc_pixels": compute_separation(raw, same),
        "right": float(balanced),
        "group_f1": _compute_pair_f1(groups, held.group),
        "fit_s": fit_s,
    }


def _list_pairs(faces: IdentityEmbeddings, group: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the distance of every pair of faces, and whether they are of one person."""
    a, b = np.triu_indices(len(faces), 1)
    return faces.compare(faces)[a, b], group[a] == group[b]


def compute_separation(distances: NDArray[Any], same: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve in [0, 1]: how often a pair of one person is nearer than a pair of two."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(same, -np.asarray(distances)))


def _choose_threshold(distances: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Return the distance at which as large a share of pairs of one person is missed as of pairs of two is taken for one."""
    tried = np.quantile(distances, np.linspace(0.001, 0.5, 400))
    gap = [abs((distances[same] >= t).mean() - (distances[~same] < t).mean()) for t in tried]
    return float(tried[int(np.argmin(gap))])


def _compute_pair_f1(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the F1 of pairs: together in a group, and of one person."""
    a, b = np.triu_indices(len(truth), 1)
    together, same = found[a] == found[b], truth[a] == truth[b]
    return float(2 * (together & same).sum() / max(int(together.sum() + same.sum()), 1))
