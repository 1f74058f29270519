"""Opening MediaPipe Tasks quietly, and handing them images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.people.bundles import find_bundle, quiet_native
from schemas.errors import ModelError

__all__ = ["open_task", "to_task_image"]


def open_task(task: str, bundle: str, **options: Any) -> Any:
    """Return a Tasks object (e.g. "HandLandmarker") in image mode; the caller closes it.

    Raises:
        ModelError: if the bundle is missing or does not load.
    """
    path = find_bundle(bundle)
    try:
        with quiet_native():
            from mediapipe.tasks.python import BaseOptions, vision

            base = BaseOptions(model_asset_path=str(path))
            return getattr(vision, task).create_from_options(getattr(vision, f"{task}Options")(base_options=base, **options))
    except (RuntimeError, ValueError) as error:
        raise ModelError(path, f"does not load: {str(error).splitlines()[0]}") from error


def to_task_image(image_rgb: NDArray[np.uint8]) -> Any:
    """Return the image as MediaPipe wants it (RGB, contiguous)."""
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image_rgb))
