"""One small rendered lesson for all tests of the renderer."""

from __future__ import annotations

import numpy as np
import pytest

SMALL = {"lessons": 1, "cameras": 1, "rows": 2, "columns": 2, "seconds": 2.0, "fps": 6.0, "size": (640, 360)}


@pytest.fixture(scope="session")
def small():
    return dict(SMALL)


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    from curation.render import render_classroom

    (path,) = render_classroom(tmp_path_factory.mktemp("classroom"), seed=5, **(SMALL | {"light": "bright"}))
    return path


@pytest.fixture(scope="session")
def frames(clip):
    import av

    with av.open(str(clip)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
