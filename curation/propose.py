"""Proposals without a workspace: pictures and videos in, Label Studio tasks with predictions out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from curation.blur import Blurrer, Frame, Level
from curation.config import Preannotation
from curation.engines.people import list_options, open_people_stage
from curation.ingest import make_clip
from curation.media import iter_frames
from curation.preannotate import name_pipeline
from curation.probing import Prober
from curation.proposals import Proposer, load_proposer
from curation.recording import make_tracks
from curation.tubelets import Window, box_at, cut_tubelets, plan_windows, pose_at, sample_frames, stack_poses
from schemas.errors import InvalidField
from schemas.files import write_bytes, write_text
from schemas.labelstudio import Person, encode_task, format_model_version
from schemas.records import Clip, PoseTrack, PredictedSpan, Tubelet
from schemas.vocabulary import Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from backends.people.base import PersonTrack

__all__ = ["ProposeResult", "propose_tasks", "write_tasks"]

SHOWN_BY_BROWSERS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})
_QUALITY = 92


@frozen(kw_only=True)
class ProposeResult:
    """Tasks as Label Studio imports them, and how many people (tracks), regions (tubelets) and proposals are in them."""

    tasks: list[dict[str, Any]] = field(factory=list, repr=False)
    people: int = 0
    regions: int = 0
    proposals: int = 0


def propose_tasks(
    paths: Sequence[str | Path],
    *,
    pictures: str | Path,
    image_root: str | Path | None = None,
    taxonomy: Taxonomy | None = None,
    settings: Preannotation | None = None,
    proposer: Proposer | None = None,
    allow_truncated: bool = False,
    blur: Level = "none",
    progress: Callable[[int, int], None] | None = None,
) -> ProposeResult:
    """Find the people in images and videos and propose what they do: one task per image, and one per window of a video.

    Each person is a box, a skeleton and a behaviour with its probability. A video's task shows the window's middle frame, which is
    written to `pictures` as JPEG, and so is an image of a kind that browsers do not show (TIFF, PPM, AVIF).

    Args:
        paths: images and videos; all are read to their end before anything is written.
        pictures: folder for pictures that have to be made.
        image_root: Label Studio's local-files root: pictures are then addressed as ``/data/local-files/?d=<path below it>``.
            None = by their absolute path.
        taxonomy: the vocabulary of the tasks; None = `learning-behaviours`.
        settings: window, samples per second, detector; None = the defaults of a workspace.
        proposer: None = the model that ships with the tool.
        allow_truncated: take what can be decoded of a damaged or truncated video.
        blur: what to cover in the pictures; the tasks then show pictures that are made, also of images.
        progress: called as ``progress(frames, of how many)``.

    Raises:
        MediaError: if a file is missing, empty, damaged or no media; nothing is written then.
        InvalidField: if a picture does not lie below `image_root`.
        ModelError: if the models are not there.
    """
    settings, taxonomy = settings or Preannotation(), taxonomy or load_taxonomy("learning-behaviours")
    with Prober() as prober:
        clips = [make_clip(prober.probe(path), allow_truncated=allow_truncated) for path in paths]
    places = _Places(Path(pictures).resolve(), None if image_root is None else Path(image_root).resolve(), blur)
    for clip in clips:
        places.check(clip)
    proposer = proposer or load_proposer()
    plans = [plan_windows(clip.timestamps, window=settings.window, fps=settings.fps, gaps=clip.gaps) for clip in clips]
    total, seen = sum(len(sample_frames(plan)) for plan in plans), 0

    def tick(units: int) -> None:
        nonlocal seen
        seen += units
        if progress is not None:
            progress(seen, total)

    result = ProposeResult()
    with _open_reader(blur) as read, open_people_stage(**list_options(settings)) as find_people:
        for clip, plan in zip(clips, plans, strict=True):
            found: list[PersonTrack] = []
            for step in find_people(clip):
                found += step.part or []
                tick(step.units)
            tracks = make_tracks(clip, found, name_pipeline(settings))
            described = _describe(clip, tracks, settings, proposer, taxonomy)
            tasks = list(_make_tasks(clip, plan, described, partial(_make_pictures, places, partial(read, clip, tracks))))
            spans = [span for _, _, span in described if span is not None]
            result = evolve(
                result,
                tasks=[*result.tasks, *tasks],
                people=result.people + len({tubelet.track_id for tubelet, _, _ in described}),
                regions=result.regions + len(described),
                proposals=result.proposals + len(spans),
            )
    return result


def write_tasks(path: str | Path, tasks: Sequence[dict[str, Any]]) -> None:
    """Write tasks as the JSON list that Label Studio imports, whole or not at all; equal tasks give equal bytes.

    Raises:
        StorageError: if it cannot be written.
    """
    write_text(path, json.dumps(list(tasks), indent=1, sort_keys=True, ensure_ascii=False) + "\n")


_Described = list[tuple[Tubelet, PoseTrack, PredictedSpan | None]]


@frozen
class _Places:
    """Where pictures lie and how tasks address them."""

    pictures: Path
    root: Path | None
    blur: Level = "none"

    def check(self, clip: Clip) -> None:
        """Raise InvalidField if the clip's pictures cannot be addressed."""
        self.address(self.find(clip, 0))

    def find(self, clip: Clip, frame: int) -> Path:
        """Return the file of a frame: the image itself, or the JPEG that is made of it."""
        source = Path(clip.uri)
        if self.blur == "none" and clip.n_frames == 1 and source.suffix.lower() in SHOWN_BY_BROWSERS:
            return source
        mark = "" if self.blur == "none" else f"-{self.blur}"
        return self.pictures / f"{clip.id}-{frame:06d}{mark}.jpg"

    def address(self, picture: Path) -> str:
        """Return what a task says in `image`."""
        if self.root is None:
            return str(picture)
        if not picture.is_relative_to(self.root):
            raise InvalidField("image_root", f"a folder above {picture}", str(self.root))
        return "/data/local-files/?d=" + quote(str(picture.relative_to(self.root)))


def _describe(
    clip: Clip, tracks: Sequence[PoseTrack], settings: Preannotation, proposer: Proposer, taxonomy: Taxonomy
) -> _Described:
    by_id = {track.id: track for track in tracks}
    tubelets = cut_tubelets(tracks, clip, window=settings.window, fps=settings.fps)
    poses = stack_poses(by_id, tubelets, {clip.id: clip}, window=settings.window, fps=settings.fps)
    span_of = {span.tubelet_id: span for span in proposer.propose(tubelets, poses, taxonomy)}
    return [(tubelet, by_id[tubelet.track_id], span_of.get(tubelet.id)) for tubelet in tubelets]


def _make_tasks(
    clip: Clip, plan: Sequence[Window], described: _Described, make_pictures: Callable[[Clip, Sequence[Window]], Iterator[str]]
) -> Iterator[dict[str, Any]]:
    version = format_model_version([span for _, _, span in described if span is not None])
    for window, address in zip(plan, make_pictures(clip, plan), strict=True):
        frame = window.key_frame
        people = [
            Person.of(tubelet.id, _pull_inside(box_at(track, frame), clip), pose_at(track, frame), [span] if span else [])
            for tubelet, track, span in described
            if (tubelet.first, tubelet.last) == (window.first, window.last)
        ]
        yield encode_task(
            f"{clip.id}/{window.first}-{window.last}",
            address,
            (clip.width, clip.height),
            people,
            model_version=version,
            data={"source": Path(clip.uri).name, "frame": frame, "seconds": float(clip.timestamps[frame])},
        )


@contextmanager
def _open_reader(blur: Level) -> Iterator[Callable[[Clip, Sequence[PoseTrack], Sequence[int]], Iterator[Frame]]]:
    """Yield the function that reads a clip's frames for pictures, covered as `blur` says."""
    if blur == "none":
        yield lambda clip, tracks, indices: iter_frames(clip.uri, indices, timestamps=clip.timestamps)
        return
    with Blurrer(blur) as blurrer:
        yield blurrer.iter_frames


def _make_pictures(
    places: _Places, read: Callable[[Sequence[int]], Iterator[Frame]], clip: Clip, plan: Sequence[Window]
) -> Iterator[str]:
    """Yield the address of the picture of each window's key frame, written where it is not a file yet."""
    for frame, _, rgb in read(sorted({window.key_frame for window in plan})):
        path = places.find(clip, frame)
        if path != Path(clip.uri):
            write_bytes(path, _encode_jpeg(rgb))
        for window in plan:
            if window.key_frame == frame:
                yield places.address(path)


def _encode_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


def _pull_inside(box: NDArray[np.float32], clip: Clip) -> tuple[float, float, float, float]:
    """Return the box cut to the picture, which Label Studio's percent coordinates cannot leave; at least one px wide and high."""
    x1, y1 = (float(np.clip(box[i], 0, size - 1)) for i, size in ((0, clip.width), (1, clip.height)))
    x2, y2 = float(np.clip(box[2], x1 + 1, clip.width)), float(np.clip(box[3], y1 + 1, clip.height))
    return x1, y1, x2, y2
