"""`curate bench people --part fuzz`: damaged media files through `add` and through reading again, as the stages after it read.

Small files of every common kind are damaged by chance (bits flipped, parts cut out, zeroed, doubled, two files spliced), seeded.
Each must be added or set aside with a reason; no decoder may take the program down, stop it, or give other frames than promised.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult

__all__ = ["MUTATIONS", "FuzzCount", "bench_fuzz", "keep_priority", "make_seeds", "mutate_file", "run_fuzz"]

_N_FILES = 500
_FRAMES, _SIZE = 48, (96, 64)
_PATIENCE = 10.0
_X265 = {"preset": "ultrafast", "x265-params": "log-level=none"}
_VIDEOS: dict[str, tuple[str, dict[str, str]]] = {
    "h264.mp4": ("libx264", {"preset": "veryfast"}),
    "h264.ts": ("libx264", {"preset": "ultrafast"}),
    "h264.avi": ("libx264", {"preset": "ultrafast"}),
    "raw.h264": ("libx264", {"preset": "ultrafast"}),
    "hevc.mkv": ("libx265", _X265),
    "hevc.mp4": ("libx265", _X265),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "av1.mkv": ("libsvtav1", {"preset": "12"}),
    "mpeg4.mov": ("mpeg4", {}),
    "mpeg2.mpg": ("mpeg2video", {}),
    "mjpeg.avi": ("mjpeg", {}),
    "flash.flv": ("flv", {}),
}
_IMAGES = ("a.png", "a.jpg", "a.webp", "a.tif", "a.bmp", "a.gif", "a.avif")

Mutation = Callable[[bytes, list[bytes], np.random.Generator], bytes]


def _flip_bits(data: bytes, others: list[bytes], rng: np.random.Generator, within: int | None = None) -> bytes:
    out = bytearray(data)
    for place in rng.integers(0, min(len(out), within or len(out)), int(rng.integers(1, 64))):
        out[place] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _flip_header_bits(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    return _flip_bits(data, others, rng, within=1024)


def _truncate(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def _splice(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    tail = others[int(rng.integers(len(others)))]
    return data[: int(rng.integers(1, len(data)))] + tail[int(rng.integers(len(tail))) :]


def _replace_part(data: bytes, rng: np.random.Generator, new: Callable[[int], bytes]) -> bytes:
    start = int(rng.integers(len(data)))
    size = int(rng.integers(1, max(2, len(data) // 8)))
    return data[:start] + new(size) + data[start + size :]


def _zero_part(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    return _replace_part(data, rng, bytes)


def _noise_part(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    return _replace_part(data, rng, rng.bytes)


def _cut_out(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    return _replace_part(data, rng, lambda size: b"")


def _double_part(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    return data[:start] + data[start // 2 : start] + data[start:]


MUTATIONS: dict[str, Mutation] = {
    "bits flipped": _flip_bits,
    "bits flipped in the header": _flip_header_bits,
    "truncated": _truncate,
    "spliced": _splice,
    "zeroed": _zero_part,
    "noise": _noise_part,
    "cut out": _cut_out,
    "doubled": _double_part,
}


@frozen(kw_only=True)
class FuzzCount:
    """What became of the files: names added, (name, reason) set aside, and of those added the ones that could not be read again."""

    added: list[str] = field(factory=list)
    aside: list[tuple[str, str]] = field(factory=list)
    unreadable: list[tuple[str, str]] = field(factory=list)
    lost_frames: int = 0
    unaccounted: list[str] = field(factory=list)


def make_seeds(folder: Path) -> list[Path]:
    """Write one small whole file of every kind."""
    from PIL import Image, features

    os.environ.setdefault("SVT_LOG", "0")  # the AV1 encoder would tell its settings
    folder.mkdir(parents=True, exist_ok=True)
    paths = [_write_video(folder / name, codec, options) for name, (codec, options) in _VIDEOS.items()]
    picture = Image.fromarray(_draw(7))
    for name in _IMAGES:
        if name.endswith(".avif") and not features.check("avif"):
            continue
        picture.save(folder / name)
        paths.append(folder / name)
    return paths


def mutate_file(number: int, seeds: list[bytes], *, seed: int) -> tuple[str, bytes]:
    """Return (kind of damage, damaged bytes) of file `number`; equal arguments give equal bytes."""
    rng = np.random.default_rng([seed, number])
    kind = list(MUTATIONS)[number % len(MUTATIONS)]
    return kind, MUTATIONS[kind](seeds[number // len(MUTATIONS) % len(seeds)], seeds, rng)


def run_fuzz(folder: Path, *, n_files: int, seed: int) -> tuple[FuzzCount, dict[str, str]]:
    """Damage `n_files` files, add them all to a workspace below `folder`, and read again what was added.

    Returns:
        What became of them, and file name → kind of damage.
    """
    from curation.config import create_workspace
    from curation.ingest import add_media
    from curation.store import Catalogue

    paths = make_seeds(folder / "seeds")
    seeds = [path.read_bytes() for path in paths]
    (folder / "files").mkdir()
    kinds: dict[str, str] = {}
    for number in range(n_files):
        kind, data = mutate_file(number, seeds, seed=seed)
        source = paths[number // len(MUTATIONS) % len(paths)]
        name = f"{number:04d}-{source.name}"
        (folder / "files" / name).write_bytes(data)
        kinds[name] = kind
    workspace = create_workspace(folder / "work")
    files = [folder / "files" / name for name in kinds]
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        result = add_media(workspace, catalogue, files, allow_truncated=True, patience=_PATIENCE)
        clips = catalogue.list_clips()
    told = {Path(clip.uri).name for clip in result.added} | {path.name for path, _ in [*result.there, *result.failed]}
    count = FuzzCount(
        added=[Path(clip.uri).name for clip in result.added] + [path.name for path, _ in result.there],
        aside=[(path.name, reason) for path, reason in result.failed],
        unreadable=_read_again(clips),
        lost_frames=sum(clip.n_lost for clip in clips),
        unaccounted=sorted(set(kinds) - told),
    )
    return count, kinds


def bench_fuzz(*, rounds: int, seed: int = 0) -> BenchResult:
    """Run 500 damaged files through `add`; see `run_fuzz`. One run: what counts is that nothing crashes or hangs."""
    with tempfile.TemporaryDirectory(prefix="curate-fuzz-") as folder:
        count, kinds = run_fuzz(Path(folder), n_files=_N_FILES, seed=seed)
    aside = dict(count.aside)
    rows = [
        f"{kind:<28} {sum(k == kind for k in kinds.values()):>4} files  {sum(kinds[n] == kind for n in count.added):>4} added  "
        f"{sum(kinds[n] == kind for n in aside):>4} set aside"
        for kind in MUTATIONS
    ]
    caught = Counter(word for word in ("crashed", "stands still") for reason in aside.values() if word in reason)
    rows.append(f"decoders that crashed: {caught['crashed']}, that stood still: {caught['stands still']} (each cost its file only)")
    missed = [f"{name}: neither added nor set aside" for name in count.unaccounted]
    missed += [f"{name}: {reason}" for name, reason in count.unreadable]
    missed += [f"{name}: set aside without a reason" for name, reason in count.aside if not reason.strip()]
    line = (
        f"fuzz {len(kinds)} damaged files: {len(count.added)} added ({count.lost_frames} lost frames marked), {len(aside)} set "
        f"aside with a reason, {len(count.unaccounted)} crashes or hangs, {len(count.unreadable)} not the same when read again"
    )
    data = {"files": len(kinds), "added": len(count.added), "aside": len(aside), "caught": dict(caught), "seed": seed, "rounds": 1}
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


@contextmanager
def keep_priority() -> Iterator[None]:
    """Leave this thread's scheduling as it was, whatever an encoder makes of it.

    SVT-AV1, run by root, puts the thread that opens it at real-time priority (SCHED_FIFO, 99) for good; every process started from
    there inherits that, and one that spins then holds up the whole machine.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def _write_video(path: Path, codec: str, options: dict[str, str]) -> Path:
    import av

    with keep_priority(), av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.gop_size = *_SIZE, 12
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(_FRAMES):
            frame = av.VideoFrame.from_ndarray(_draw(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def _draw(number: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[: _SIZE[1], : _SIZE[0]]
    return np.stack([(x * 2 + 3 * number) % 256, (y * 3) % 256, (x + y + number) % 256], axis=2).astype(np.uint8)


def _read_again(clips: list[Any]) -> list[tuple[str, str]]:
    """Read frames of every clip by index, in a process apart; return (name, reason) of those that do not keep their promise."""
    out: list[tuple[str, str]] = []
    waiting = list(clips)
    while waiting:
        ours, theirs = get_context("forkserver").Pipe()
        process = get_context("forkserver").Process(target=_serve_reading, args=(theirs, waiting), daemon=True)
        process.start()
        theirs.close()
        try:
            while waiting:
                if not ours.poll(_PATIENCE):
                    raise EOFError
                reason = ours.recv()
                clip = waiting.pop(0)
                out += [(Path(clip.uri).name, reason)] if reason else []
        except EOFError:
            out.append((Path(waiting.pop(0).uri).name, "crashed or stood still when it was read again"))
        finally:
            process.kill()
            process.join()
    return out


def _serve_reading(connection: Connection, clips: list[Any]) -> None:
    from schemas.errors import MediaError

    for clip in clips:
        try:
            connection.send(_compare_readings(clip))
        except MediaError as error:
            connection.send(error.reason)


def _compare_readings(clip: Any) -> str:
    """Return what differs between reading a clip through and reading single frames of it by index; "" if nothing does.

    Where frames are lost the decoder may have made up parts of those that are left, another way each time: no pixels count there.
    """
    from curation.media import iter_frames

    through = {index: rgb for index, _, rgb in iter_frames(clip.uri, range(clip.n_frames), timestamps=clip.timestamps)}
    if list(through) != list(range(clip.n_frames)):
        return f"{len(through)} frames instead of {clip.n_frames}"
    for index in sorted({0, clip.n_frames // 2, clip.n_frames - 1}):
        ((_, _, rgb),) = iter_frames(clip.uri, [index], timestamps=clip.timestamps)
        if rgb.shape != (clip.height, clip.width, 3) or not (clip.gaps or np.array_equal(rgb, through[index])):
            return f"frame {index} is another one when it is read alone"
    return ""
