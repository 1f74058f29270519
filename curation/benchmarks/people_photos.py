"""`curate bench people --part photos`: people in real photos and in a filmed street, fetched when it runs and never kept."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult

if TYPE_CHECKING:
    from backends.people.base import PersonDetector

__all__ = ["Picture", "bench_photos", "list_detectors"]

Image = NDArray[np.uint8]
_LEAST_IOU = 0.3
_SECONDS = 300


@frozen(kw_only=True)
class Picture:
    """What is in a picture: `boxes` xyxy px around people of at least 80 px, drawn by hand; `exact`: there is nobody else."""

    name: str
    boxes: tuple[tuple[int, int, int, int], ...]
    exact: bool = False


_ASTRONAUT = Picture(name="astronaut", boxes=((20, 10, 440, 512),), exact=True)
_ZIDANE = Picture(name="zidane.jpg", boxes=((120, 200, 1155, 720), (750, 40, 1140, 720)), exact=True)
_BUS = Picture(name="bus.jpg", boxes=((50, 398, 245, 903), (225, 405, 345, 860), (670, 393, 810, 880), (0, 550, 80, 870)))

_STREET = {
    0: Picture(name="vtest.avi 0", boxes=((254, 220, 283, 308), (640, 240, 684, 322))),
    400: Picture(name="vtest.avi 400", boxes=((273, 201, 302, 286), (688, 300, 744, 411))),
}
"""Frame of the film → what is in it; the people of less than 80 px are not marked."""


def bench_photos(*, rounds: int, seed: int = 0) -> BenchResult:
    """Look for the people in photos that are not of this project: how many of those marked by hand are found, how many others.

    A picture that cannot be had is a row that says so; `ssd` looks where its network is there (`curate models pull --extra
    object-boxes`). The detector that misses fewest is held against what is wanted. `rounds` and `seed` change nothing.
    """
    from backends.people.detector import open_detector

    with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder:
        pictures, absent = _gather(Path(folder))
    rows, data = [f"{name}: not to be had here ({why})" for name, why in absent], {}
    missed_by: dict[str, list[str]] = {}
    for name in list_detectors():
        missed_by[name] = []
        with open_detector(name) as detector:
            for picture, image in pictures:
                n_found, n_hit = _look(detector, picture, image)
                wrong = n_hit < len(picture.boxes) or (picture.exact and n_found != len(picture.boxes))
                rows.append(
                    f"{picture.name:<14} {name:<6} {n_hit} of {len(picture.boxes)} people of 80 px and more, {n_found} found"
                )
                data[f"{picture.name}, {name}"] = {"there": len(picture.boxes), "hit": n_hit, "found": n_found}
                missed_by[name] += [f"{picture.name} ({name}): {n_hit} of {len(picture.boxes)}, {n_found} found"] if wrong else []
    best = min(missed_by, key=lambda name: len(missed_by[name]))
    missed = missed_by[best]
    missed += [f"{name}: not looked at" for name, _ in absent]
    line = f"photos: {len(pictures)} looked at, {best} misses {len(missed)} figures"
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


def list_detectors() -> tuple[str, ...]:
    """Return the detectors that need no network of the user's; `ssd` if its own is there."""
    from backends.people.bundles import list_bundles

    there = {status.name for status in list_bundles() if status.state == "there"}
    return ("tiles", "faces", "ssd") if "object-boxes" in there else ("tiles", "faces")


def _look(detector: PersonDetector, picture: Picture, image: Image) -> tuple[int, int]:
    """Return how many people were found, and how many of those there are among them."""
    from scipy.optimize import linear_sum_assignment

    from backends.people.body import compute_ious

    found = detector.detect(image)
    ious = compute_ious(found.boxes_xyxy, np.array(picture.boxes, np.float64))
    rows, columns = linear_sum_assignment(-ious)
    return len(found), int((ious[rows, columns] >= _LEAST_IOU).sum())


def _gather(folder: Path) -> tuple[list[tuple[Picture, Image]], list[tuple[str, str]]]:
    """Return the pictures that can be had, and the names of the others with the reason."""
    sources: list[tuple[str, Callable[[Path], list[tuple[Picture, Image]]]]] = [
        ("astronaut", _read_astronaut), ("bus.jpg and zidane.jpg", _read_assets), ("vtest.avi", _read_street)
    ]  # fmt: skip
    pictures, absent = [], []
    for name, read in sources:
        try:
            pictures += read(folder)
        except (ImportError, OSError, KeyError, IndexError, subprocess.SubprocessError) as error:
            absent.append((name, str(error).splitlines()[0][:120] if str(error) else type(error).__name__))
    return pictures, absent


def _read_astronaut(folder: Path) -> list[tuple[Picture, Image]]:
    from skimage.data import astronaut

    return [(_ASTRONAUT, astronaut())]


def _read_assets(folder: Path) -> list[tuple[Picture, Image]]:
    from PIL import Image as Pictures

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    subprocess.run([*command, "ultralytics"], check=True, capture_output=True, timeout=_SECONDS)
    with zipfile.ZipFile(sorted(folder.glob("ultralytics-*.whl"))[0]) as archive:
        content = {picture: archive.read(f"ultralytics/assets/{picture.name}") for picture in (_ZIDANE, _BUS)}
    return [(p, np.asarray(Pictures.open(io.BytesIO(data)).convert("RGB"))) for p, data in content.items()]


def _read_street(folder: Path) -> list[tuple[Picture, Image]]:
    """Return frames of OpenCV's street film out of Debian's package."""
    from curation.media import iter_frames

    subprocess.run(["apt-get", "download", "opencv-doc"], cwd=folder, check=True, capture_output=True, timeout=_SECONDS)
    package = sorted(folder.glob("opencv-doc_*.deb"))[0]
    subprocess.run(["dpkg", "-x", str(package), str(folder / "doc")], check=True, capture_output=True, timeout=_SECONDS)
    film = sorted((folder / "doc").rglob("vtest.avi*"))[0]
    return [(_STREET[index], rgb) for index, _, rgb in iter_frames(film, list(_STREET))]
