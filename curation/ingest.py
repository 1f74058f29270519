"""Adding media: every file is read to its end, named by its content, and recorded as a clip. Nothing is copied or changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from attrs import field, frozen
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curation.config import FOLDERS, Workspace
from curation.engines.local import count_cores
from curation.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES, MediaInfo
from curation.probing import probe_files
from curation.store import Catalogue
from schemas.errors import CurationError, FormatError, InvalidField, MediaError
from schemas.records import CONTEXT_CATEGORIES, Clip, Seat

__all__ = ["SIDECAR_SUFFIX", "AddResult", "add_media", "find_media", "make_clip", "parse_context", "read_sidecar"]

SIDECAR_SUFFIX = ".clip.json"


class _SeatFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    student: str
    box_xyxy: tuple[float, float, float, float]


class Sidecar(BaseModel):
    """What ``<stem>.clip.json`` beside a media file may say; all of it may be left out."""

    model_config = ConfigDict(extra="forbid")
    lesson: str | None = None
    camera: str | None = None
    school: str | None = None
    context: dict[str, str] = Field(default_factory=dict)
    seats: list[_SeatFile] = Field(default_factory=list)
    render: dict[str, Any] | None = Field(default=None, description="settings of a rendered clip; not used here")
    capture: dict[str, Any] | None = Field(default=None, description="where a recording comes from; not used here")


@frozen(kw_only=True)
class AddResult:
    """What `add_media` did: new clips; (file, clip id) of content that is there already; (file, reason) of files left out."""

    added: list[Clip] = field(factory=list)
    there: list[tuple[Path, str]] = field(factory=list)
    failed: list[tuple[Path, str]] = field(factory=list)


def add_media(
    workspace: Workspace,
    catalogue: Catalogue,
    paths: Iterable[str | Path],
    *,
    lesson: str | None = None,
    camera: str | None = None,
    school: str | None = None,
    context: Mapping[str, str] | None = None,
    allow_truncated: bool = False,
    patience: float = 60.0,
    workers: int = 0,
    progress: Any = None,
) -> AddResult:
    """Record videos and images as clips, each in one transaction; a bad file is left out and the others are added.

    A clip's id comes from its content, so the same file twice, or under two names, is one clip. What a file's ``<stem>.clip.json``
    says (lesson, camera, school, context, seats) is overridden by the arguments; without either the lesson is the file's stem.
    Files are read in a process apart: one that crashes its decoder, or on which it stands still, is a bad file like any other.

    Args:
        workspace: where to; what lies in its own folders (crops, exports, …) is not media to add.
        catalogue: the workspace's catalogue.
        paths: files, and folders that are walked for media (hidden files and folders are passed over).
        lesson: what was filmed; clips of one lesson never stand on two sides of a split.
        camera: which camera.
        school: where.
        context: any of the six categories of `CONTEXT_CATEGORIES`.
        allow_truncated: take what can be decoded of a damaged or truncated video instead of refusing it.
        patience: seconds without a new frame after which a file is left out.
        workers: how many files are read at a time; 0 = as many as there are cores.
        progress: called as ``progress(files, total=…, label=…, unit=…)``, yields the files again.

    Raises:
        InvalidField: if a category of `context` is unknown; nothing is added then.
    """
    flags = {name: value for name, value in (("lesson", lesson), ("camera", camera), ("school", school)) if value}
    context = _check_context(context or {})
    result = AddResult()
    files = list(_find_all(paths, result, [workspace.root / name for name in FOLDERS]))
    known = {clip.id: clip.uri for clip in catalogue.list_clips()}
    is_known = partial(_is_known, known)
    with closing(probe_files(files, is_known=is_known, patience=patience, workers=workers or count_cores())) as probed:
        for path in files if progress is None else progress(files, total=len(files), label="add", unit="file"):
            found = next(probed)
            if isinstance(found.outcome, CurationError):
                result.failed.append((path, _reason(path, found.outcome)))
                continue
            clip_id = Clip.compute_id(found.sha256)
            if found.outcome is None or clip_id in known:
                result.there.append((path, clip_id))
                continue
            try:
                clip = make_clip(found.outcome, flags, context, allow_truncated=allow_truncated)
            except CurationError as error:
                result.failed.append((path, _reason(path, error)))
                continue
            catalogue.add_clips([clip])
            known[clip.id] = clip.uri
            result.added.append(clip)
    return result


def _is_known(known: Mapping[str, str], sha256: str) -> bool:
    return Clip.compute_id(sha256) in known


def find_media(path: str | Path) -> Iterator[Path]:
    """Yield the media files that `path` names: itself, or those in the folder and its subfolders, in order of name.

    Raises:
        MediaError: if there is no such file, or the folder holds no media.
    """
    source = Path(path)
    if not source.is_dir():
        if not source.exists():
            raise MediaError(path, "no such file")
        yield source
        return
    suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    found = [
        entry
        for entry in sorted(source.rglob("*"))
        if entry.suffix.lower() in suffixes
        and entry.is_file()
        and not any(part.startswith(".") for part in entry.relative_to(source).parts)
    ]
    if not found:
        raise MediaError(path, "holds no video and no image")
    yield from found


def parse_context(pairs: Sequence[str]) -> dict[str, str]:
    """Return the context that ``category=value`` pairs say.

    Raises:
        InvalidField: if a pair is not of that form, or the category is none of `CONTEXT_CATEGORIES`.
    """
    context = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value.strip():
            raise InvalidField("context", "category=value", pair)
        context[name.strip()] = value.strip()
    return _check_context(context)


def read_sidecar(media: str | Path) -> Sidecar:
    """Return what the ``<stem>.clip.json`` beside a media file says; an empty one if there is none.

    Raises:
        FormatError: if it is not JSON, or says something that is not known.
    """
    path = Path(media).with_name(Path(media).stem + SIDECAR_SUFFIX)
    if not path.is_file():
        return Sidecar()
    try:
        return Sidecar.model_validate(json.loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(path, ".".join(map(str, first["loc"])) or "file", "what a clip sidecar may say", first["msg"]) from error
    except ValueError as error:
        raise FormatError(path, "file", "JSON", str(error)) from error


def make_clip(
    info: MediaInfo,
    flags: Mapping[str, str] | None = None,
    context: Mapping[str, str] | None = None,
    *,
    allow_truncated: bool = False,
) -> Clip:
    """Return the clip that a probed file is: what its sidecar says and, over that, `flags` (lesson, camera, school) and `context`.

    Raises:
        MediaError: if the file is damaged and `allow_truncated` is false.
        FormatError: if the sidecar is not as it must be.
        InvalidField: if it names an unknown context category or a box that is none.
    """
    if info.problem and not allow_truncated:
        raise MediaError(info.path, f"{info.problem}; --allow-truncated takes those")
    sidecar = read_sidecar(info.path)
    says = {name: value for name, value in sidecar.model_dump(include={"lesson", "camera", "school"}).items() if value}
    return Clip(
        id=Clip.compute_id(info.sha256),
        uri=str(info.path.resolve()),
        sha256=info.sha256,
        n_frames=info.n_frames,
        fps=info.fps,
        width=info.width,
        height=info.height,
        timestamps=info.timestamps,
        gaps=info.gaps,
        context=_check_context({**sidecar.context, **(context or {})}),
        seats=tuple(Seat(student=seat.student, box_xyxy=seat.box_xyxy) for seat in sidecar.seats),
        **{"lesson": info.path.stem.strip(), **says, **(flags or {})},
    )


def _check_context(context: Mapping[str, str]) -> dict[str, str]:
    for name in context:
        if name not in CONTEXT_CATEGORIES:
            raise InvalidField("context", f"a category among {', '.join(CONTEXT_CATEGORIES)}", name)
    return dict(context)


def _find_all(paths: Iterable[str | Path], result: AddResult, own: Sequence[Path]) -> Iterator[Path]:
    """Yield every media file that `paths` name, once and outside of `own`; what is not there goes to `result.failed`."""
    seen: set[Path] = set()
    for path in paths:
        try:
            for found in find_media(path):
                place = found.resolve()
                if place not in seen and not any(place.is_relative_to(folder) for folder in own):
                    seen.add(place)
                    yield found
        except MediaError as error:
            result.failed.append((Path(path), error.reason))


def _reason(path: Path, error: CurationError) -> str:
    """Return the error's line without the file's own name in front."""
    return str(error).removeprefix(f"{path}: ")
