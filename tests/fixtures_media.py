"""Real media, made on the spot: videos whose frames carry their own number, images of every kind, and bad files."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

WIDTH, HEIGHT, BITS = 96, 64, 8


def draw_number(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return a picture whose eight columns are the bits of `number`, white for 1; the lower half of each is red for up and down."""
    picture = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        picture[:, left:right] = 255 * (number >> (BITS - 1 - bit) & 1)
    picture[height * 3 // 4 :] = (200, 0, 0)
    return picture


def read_number(rgb: NDArray[np.uint8]) -> int:
    """Return the number that `draw_number` drew."""
    height, width = rgb.shape[:2]
    centres = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    return sum(1 << (BITS - 1 - bit) for bit, x in enumerate(centres) if rgb[height // 4, x].mean() > 127)


def write_video(
    path: Path,
    n_frames: int = 30,
    *,
    fps: int = 25,
    pts: Sequence[int] | None = None,
    codec: str = "libx264",
    time_base: Fraction | None = None,
    gop: int = 12,
    faststart: bool = False,
    audio_seconds: float = 0.0,
) -> Path:
    """Write a video of numbered frames; `pts` are in units of `time_base` (default 1/fps)."""
    import av

    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", gop
        if time_base is not None:
            stream.codec_context.time_base = time_base
        sound = container.add_stream("aac", rate=8000) if audio_seconds else None
        for number in range(n_frames):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame.pts = number if pts is None else pts[number]
            frame.time_base = time_base or Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _write_silence(container, sound, audio_seconds)
    return path


def _write_silence(container: object, sound: object, seconds: float) -> None:
    import av

    for start in range(0, int(seconds * 8000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, start
        container.mux(sound.encode(frame))
    container.mux(sound.encode())


def rotate_video(path: Path, target: Path, degrees: int) -> Path:
    """Copy an mp4 and let its track header ask players to turn the picture clockwise by 90, 180 or 270 degrees."""
    data = bytearray(path.read_bytes())
    header = data.find(b"tkhd")
    start = header + 8 + (20 if data[header + 4] == 0 else 32) + 16
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0), 10: (0.985, 0.174, -0.174, 0.985)}[degrees]
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", *(round(v * one) for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    target.write_bytes(data)
    return target


def cut_file(path: Path, target: Path, share: float) -> Path:
    """Copy the first `share` of a file's bytes."""
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 120 numbered frames at 25 frames/s, with a key frame every 12."""
    return write_video(tmp_path_factory.mktemp("media") / "numbered.mp4", 120)


@pytest.fixture(scope="session")
def bad_media(tmp_path_factory: pytest.TempPathFactory, numbered_video: Path) -> dict[str, Path]:
    """Files that must be refused, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.mp4").write_text("These are the minutes of the lesson.\n" * 40)
    (folder / "zero.mp4").touch()
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(4000))
    (folder / "folder.mp4").mkdir()
    cut_file(numbered_video, folder / "headless.mp4", 0.5)
    front = write_video(folder / "front.mp4", 120, faststart=True)
    cut_file(front, folder / "truncated.mp4", 0.6)
    front.unlink()
    return {
        "missing": folder / "missing.mp4",
        "text": folder / "text.mp4",
        "zero": folder / "zero.mp4",
        "noise": folder / "noise.mp4",
        "folder": folder / "folder.mp4",
        "headless": folder / "headless.mp4",
        "truncated": folder / "truncated.mp4",
    }


@pytest.fixture(scope="session")
def tiny_lessons(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three rendered lessons of two seated students, 4 s each, with truth and sidecar beside them."""
    from curation.render.classroom import render_classroom

    folder = tmp_path_factory.mktemp("lessons")
    return render_classroom(folder, seed=1, lessons=3, cameras=1, rows=1, columns=2, seconds=4, size=(640, 360), light="normal")


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real, quickly trained model of the eight behaviours (on noise: its answers mean nothing)."""
    from backends.behaviour.logreg import LogisticModel
    from schemas.sequences import SequenceSet
    from schemas.vocabulary import load_taxonomy

    values = load_taxonomy("learning-behaviours").primary.values
    rng = np.random.default_rng(0)
    pose = rng.normal(200, 60, (48, 12, 33, 4)).astype(np.float32)
    pose[..., 3] = rng.random((48, 12, 33))
    label = np.array([values[i % len(values)] for i in range(48)])
    group = np.array([f"g{i % 4}" for i in range(48)])
    model = LogisticModel().fit(SequenceSet(pose=pose, label=label, group=group), classes=values)
    folder = tmp_path_factory.mktemp("model")
    model.save(folder, {"taxonomy": "learning-behaviours", "axis": "behaviour"})
    return folder


CURATE = Path(sys.executable).with_name("curate")


def run_curate(
    *words: object, cwd: Path | None = None, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the real command line in a process of its own."""
    known = {name: value for name, value in os.environ.items() if name != "CURATE_WORKSPACE"}
    return subprocess.run(
        [str(CURATE), *map(str, words)],
        cwd=cwd,
        env={**known, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def hash_tree(folder: Path, *, without: Sequence[str] = ("logs",)) -> dict[str, str]:
    """Return file → SHA-256 for everything below `folder` except the database's own files and the folders in `without`."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("catalogue.db"))
    kept = [path for path in files if path.relative_to(folder).parts[0] not in without]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def digest_workspace(root: Path) -> dict[str, str]:
    """Return all that a workspace holds, by hash: the catalogue's rows, the arrays, and every other file."""
    from curation.config import open_workspace
    from curation.store import ArrayStore, Catalogue

    workspace = open_workspace(root)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        rows = catalogue.digest()
    return {**hash_tree(root), "catalogue": rows, "arrays": ArrayStore(workspace.folder("arrays")).digest()}
