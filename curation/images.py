"""Still images of any common kind as upright RGB, 8 bit; `curation.media` says what becomes of alpha, 16 bit, grey, palettes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import MediaError

__all__ = ["load_image"]

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def load_image(path: Path) -> NDArray[np.uint8] | None:
    """Return an image as upright RGB uint8 (H, W, 3), or None if the file is not a still image (a moving GIF or WebP is not one).

    Raises:
        MediaError: if it is an image that is truncated, too large, or of floating-point pixels.
    """
    import warnings

    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
                if image.format not in ("MPO", "TIFF") and getattr(image, "n_frames", 1) > 1:
                    return None
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        return None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise MediaError(path, f"cannot be read as an image ({' '.join(str(error).split())})") from error


def _to_rgb(image: Any) -> NDArray[np.uint8]:
    from PIL import Image

    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point pixels; expected 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
    return np.array(image.convert("RGB"), dtype=np.uint8)
