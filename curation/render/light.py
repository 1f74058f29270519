"""What light and sensor do to a drawn frame: level, unevenness, blur, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIGHTS", "Sensor"]

Image = NDArray[np.uint8]

LIGHTS = {"bright": (1.1, 0.10, 1.6), "normal": (0.95, 0.08, 2.2), "dim": (0.5, 0.12, 4.0), "uneven": (0.86, 0.45, 2.8)}
"""Light level → gain, unevenness (share lost at the dark side), noise (standard deviation in grey levels)."""

_FIELDS = 5


class Sensor:
    """One camera's light and noise in one lesson; `shoot` turns drawn frames into recorded ones, in order."""

    def __init__(self, light: str, size: tuple[int, int], rng: np.random.Generator) -> None:
        import cv2

        gain, uneven, noise = LIGHTS[light]
        width, height = size
        angle = rng.uniform(0, 2 * np.pi)
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        slope = (x * np.cos(angle) + y * np.sin(angle)) / 1.42
        level = gain * rng.uniform(0.95, 1.05) * (1 - uneven * (0.5 + 0.5 * slope))
        tint = 1 + rng.normal(0, 0.02, 3)
        self._level = np.clip(level[..., None] * tint * 180, 0, 255).astype(np.uint8)
        self._blur = float(rng.uniform(0.55, 0.95))
        fields = rng.normal(0, noise, (_FIELDS, height + 64, width + 64)).astype(np.float32)
        coarse = [cv2.GaussianBlur(f, (3, 3), 0.7) * 0.8 + f * 0.6 for f in fields]
        self._more = [np.clip(np.repeat(f[..., None], 3, axis=2), 0, 255).astype(np.uint8) for f in coarse]
        self._less = [np.clip(-np.repeat(f[..., None], 3, axis=2), 0, 255).astype(np.uint8) for f in coarse]
        self._rng = rng

    def shoot(self, image: Image) -> Image:
        """Return the recorded frame (H, W, 3) of a drawn one."""
        import cv2

        height, width = image.shape[:2]
        lit = cv2.multiply(cv2.GaussianBlur(image, (3, 3), self._blur), self._level, scale=1 / 180)
        k, (dx, dy) = int(self._rng.integers(_FIELDS)), self._rng.integers(0, 64, 2)
        window = np.s_[dy : dy + height, dx : dx + width]
        noisy: Image = cv2.subtract(cv2.add(lit, self._more[k][window]), self._less[k][window])
        return noisy
