"""Key frames of an export as JPEG files, beside the format that names them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.formats.base import ExportItem
from curation.media import hash_file
from curation.side_by_side import map_side_by_side
from schemas.errors import MediaError
from schemas.records import Clip

__all__ = ["JPEG_QUALITY", "write_pictures"]

JPEG_QUALITY = 95


ReadFrames = Callable[[Clip, Sequence[int]], Iterator[tuple[int, float, NDArray[np.uint8]]]]


def write_pictures(folder: Path, wanted: Mapping[str, ExportItem], read: ReadFrames) -> None:
    """Write key frames under `folder`, at the names wanted, in one pass per clip, clips side by side; equal clips give equal bytes.

    Args:
        folder: of the export.
        wanted: file name relative to it → an item whose key frame the picture shows.
        read: gives frames (index, seconds, rgb uint8 (H, W, 3)) of a clip; see `curation.privacy.open_shown_frames`.

    Raises:
        MediaError: if a clip's file is gone, cannot be read, or is not what was added.
        OSError: if a picture cannot be written.
    """
    from PIL import Image

    by_clip: dict[str, dict[int, Path]] = defaultdict(dict)
    clips = {item.clip.id: item.clip for item in wanted.values()}
    for name, item in wanted.items():
        by_clip[item.clip.id][item.key_frame] = folder / name

    def write_clip(clip_id: str) -> None:
        clip, paths = clips[clip_id], by_clip[clip_id]
        if hash_file(clip.uri) != clip.sha256:
            raise MediaError(clip.uri, "has changed since it was added; its pictures would not fit the labels")
        for index, _, rgb in read(clip, sorted(paths)):
            paths[index].parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb).save(paths[index], format="JPEG", quality=JPEG_QUALITY, subsampling=0)

    deque(map_side_by_side(write_clip, sorted(by_clip)), maxlen=0)
