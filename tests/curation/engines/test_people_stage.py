"""The stage that finds people: the same parts on one thread and on several."""

from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve

from curation.engines.people import _read_ahead, open_people_stage
from curation.ingest import make_clip
from curation.media import probe_media
from schemas.errors import MediaError


def _find(clip, threads):
    with open_people_stage(detector="tiles", detect_every=4.0, window=1.0, fps=3.0, threads=threads) as find_people:
        return list(find_people(clip))


@pytest.mark.usefixtures("bundle_folder")
def test_parts_do_not_depend_on_the_number_of_threads(tiny_lessons):
    clip = make_clip(probe_media(tiny_lessons[0]))
    one, two = (_find(clip, threads) for threads in (1, 2))
    assert [step.units for step in one] == [step.units for step in two]
    assert sum(step.units for step in one) >= 11
    pieces = [[piece for step in steps for piece in step.part or ()] for steps in (one, two)]
    assert len(pieces[0]) == len(pieces[1]) > 0
    for a, b in zip(*pieces, strict=True):
        assert a.number == b.number
        for name in ("frames", "boxes_xyxy", "pose_px", "world_m", "scores", "filled"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    with pytest.raises(MediaError, match="has changed since it was added"):
        _find(evolve(clip, sha256="0" * 64), 2)


def test_reading_ahead_yields_the_same_frames_and_the_error_where_it_is():
    def read(n):
        for i in range(n):
            yield i, i / 5, np.full((2, 2, 3), i, np.uint8)
        raise MediaError("film.mp4", "ends early")

    ahead, frames = _read_ahead(read(3)), []
    with pytest.raises(MediaError, match="ends early"):
        frames.extend(ahead)
    assert [(i, t, int(image[0, 0, 0])) for i, t, image in frames] == [(0, 0, 0), (1, 0.2, 1), (2, 0.4, 2)]
    ahead = _read_ahead(read(3))
    assert next(ahead)[0] == 0
    ahead.close()
