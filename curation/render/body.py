"""Forward kinematics: controls to a body in 3-D, with the 33 landmarks of BlazePose and what is needed to draw it."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.render.behaviours import column
from curation.render.geometry import rotate, solve_elbow, unit
from curation.render.looks import Look

__all__ = ["Body", "build_body"]

Array = NDArray[np.float64]

SEAT_HIP = 0.50
TORSO, SHOULDER, HIP, UPPER, FORE = 0.47, 0.175, 0.105, 0.275, 0.245
HEAD_RADII = np.array([0.080, 0.118, 0.100])
"""Half width, height and depth of a head in metres."""

_FACE = np.array(
    [
        [0.0, -0.022, -0.118], [0.015, 0.018, -0.094], [0.032, 0.018, -0.09], [0.046, 0.018, -0.08], [-0.015, 0.018, -0.094],
        [-0.032, 0.018, -0.09], [-0.046, 0.018, -0.08], [0.079, -0.002, 0.0], [-0.079, -0.002, 0.0], [0.026, -0.06, -0.092],
        [-0.026, -0.06, -0.092],
    ]
)  # fmt: skip
"""Landmarks 0..10 in the head's frame (left, up, back) around its centre."""


@frozen(kw_only=True)
class Body:
    """One student over T steps, in the seat frame (metres).

    `points` (T, 33, 3) landmarks; `head` (T, 3) centre and `head_turn` (T, 3, 3); `torso_turn` (T, 3, 3); `neck`, `chest` (T, 3);
    `fists` (T, 2) left and right, 0 open .. 1 closed; `objects` (T, C) the controls, for what lies on the desk and in the hands.
    """

    points: Array
    head: Array
    head_turn: Array
    torso_turn: Array
    neck: Array
    chest: Array
    fists: Array
    objects: Array


def build_body(controls: Array, look: Look, hand: int) -> Body:
    """Return the body that `controls` (T, C) put a student with this look in; `hand` (+1 left) makes the fast strokes."""
    n, size = len(controls), look.height
    value = {name: controls[:, column(name)] for name in ("stand", "lean", "turn", "tilt")}
    hip = np.zeros((n, 3))
    hip[:, 1] = SEAT_HIP + 0.02 * (size - 1) + value["stand"] * (0.90 * size - SEAT_HIP)
    hip[:, 2] = 0.10 * value["stand"] - 0.05 * np.clip(value["lean"] - 0.5, 0, 1)
    torso = rotate(value["turn"], value["lean"], value["tilt"])
    left, up, back = torso[..., 0], torso[..., 1], torso[..., 2]
    chest = hip + up * (TORSO * size)
    neck = chest + up * 0.03
    head_turn, head = _place_head(controls, value["turn"], neck, up, look)
    points = np.zeros((n, 33, 3))
    points[:, :11] = head[:, None] + (_FACE * look.head * [look.face, 1, 1]) @ np.swapaxes(head_turn, 1, 2)
    for k, side in enumerate((1, -1)):
        shoulder = chest + left * (side * SHOULDER * size * look.build**0.5) - back * 0.015
        arm = _place_arm(controls, shoulder, side, hand, size)
        points[:, 11 + k], points[:, 13 + k], points[:, 15 + k], points[:, 17 + k : 23 + k : 2] = arm[0], arm[1], arm[2], arm[3]
        points[:, 23 + k] = hip + left * (side * HIP * size)
        points[:, 25 + k : 33 + k : 2] = _place_leg(points[:, 23 + k], side, value["stand"], size)
    fists = controls[:, [column("l_fist"), column("r_fist")]]
    return Body(
        points=points, head=head, head_turn=head_turn, torso_turn=torso, neck=neck, chest=chest, fists=fists, objects=controls
    )


def _place_head(controls: Array, turn: Array, neck: Array, up: Array, look: Look) -> tuple[Array, Array]:
    pitch, yaw, roll = (controls[:, column(name)] for name in ("head_pitch", "head_yaw", "head_roll"))
    head_turn = rotate(turn + yaw, pitch, roll)
    head_up, ahead = head_turn[..., 1], -head_turn[..., 2]
    centre = neck + 0.055 * unit(up + head_up) + 0.108 * look.head * head_up + 0.028 * ahead
    return head_turn, centre


def _place_arm(controls: Array, shoulder: Array, side: int, hand: int, size: float) -> tuple[Array, Array, Array, Array]:
    """Return shoulder, elbow, wrist (T, 3) and pinky, index, thumb (T, 3, 3)."""
    name = "l" if side > 0 else "r"
    target = controls[:, [column(f"{name}x"), column(f"{name}y"), column(f"{name}z")]].copy()
    if side == hand:
        target += controls[:, [column("fast_x"), column("fast_y"), column("fast_z")]]
    out, lift = controls[:, column(f"{name}_out")], controls[:, column(f"{name}_up")]
    high = np.clip((target[:, 1] - shoulder[:, 1]) / 0.3, 0, 1)
    shoulder = shoulder + np.stack([0 * high, 0.035 * high, 0 * high], axis=-1)
    lying = np.clip((controls[:, column("lean")] - 0.4) / 0.35, 0, 1)
    pole = np.stack([side * out, -1 + 0.9 * high + 1.15 * lying, 0.25 - 0.5 * high + 0.25 * lying], axis=-1)
    elbow, wrist = solve_elbow(shoulder, target, pole, UPPER * size, FORE * size)
    fore = unit(wrist - elbow)
    flat = np.stack([0.5 * fore[:, 0] - 0.2 * side, -0.12 + 0 * fore[:, 1], -0.8 + 0 * fore[:, 2]], axis=-1)
    upward = np.stack([fore[:, 0] * 0.6, 1 + 0 * fore[:, 1], 0.6 * fore[:, 2]], axis=-1)
    hang = np.clip((0.0 - wrist[:, 2] + 0.05) / 0.15, 0, 1)[:, None]
    resting = unit(hang * unit(flat) + (1 - hang) * fore)
    ahead = unit((1 - lift[:, None]) * resting + lift[:, None] * unit(upward))
    across = unit(np.cross(ahead, np.array([0.0, 0.7, 0.7])))
    across *= -side * np.sign(across[:, :1] + 1e-12)
    fist = controls[:, column(f"{name}_fist")][:, None]
    reach = (1 - 0.4 * fist) * size
    fingers = np.stack(
        [wrist + ahead * 0.075 * reach - across * 0.028, wrist + ahead * 0.09 * reach + across * 0.014,
         wrist + ahead * 0.045 * reach + across * 0.042], axis=1,
    )  # fmt: skip
    return shoulder, elbow, wrist, fingers


def _place_leg(hip: Array, side: int, stand: Array, size: float) -> Array:
    """Return knee, ankle, heel and toe (T, 4, 3), between sitting (0) and standing (1)."""
    folded = [[0.04, -0.02, -0.42], [0.05, -0.42, -0.38], [0.05, -0.46, -0.33], [0.06, -0.46, -0.5]]
    stretched = [[0.01, -0.43, -0.02], [0.02, -0.83, 0.0], [0.02, -0.88, 0.04], [0.03, -0.88, -0.14]]
    sit = hip[:, None] + np.array(folded) * [side, 1, 1]
    up = hip[:, None] + size * np.array(stretched) * [side, 1, 1]
    mix = stand[:, None, None]
    leg: Array = (1 - mix) * sit + mix * up
    return leg
