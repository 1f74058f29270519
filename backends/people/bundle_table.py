"""Which files there are: Tasks bundles, tagged face detectors, bare networks for LiteRT."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from attrs import field, frozen

from backends.people.sources import Network, Official

__all__ = ["BUNDLES", "EXTRAS", "Bundle"]

_POSE_DETECTOR = Network(
    path="pose_detection/pose_detection.tflite",
    sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    mean=127.5,
    std=127.5,
)
_POSE_LANDMARKS = Network(
    path="pose_landmark/pose_landmark_full.tflite", sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"
)
_POSE_HEAVY = Network(
    path="pose_landmark_heavy.tflite",
    sha256="59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    node_package="@mediapipe/pose@0.5.1675469404",
)
_BOXES = Network(
    path="objectron_solution_packed_assets.data",
    sha256="d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
    node_package="@mediapipe/objectron@0.4.1675468480",
    skip=184,
)
_LANDMARKS = ((1, 195), (1, 1), (1, 64, 64, 39), (1, 117))
"""Landmarks, whether a body is there, heatmaps, landmarks in metres; the mask of the body is not needed."""
_PALM = Network(
    path="palm_detection/palm_detection_full.tflite", sha256="1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54"
)
_HAND = Network(
    path="hand_landmark/hand_landmark_full.tflite", sha256="11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3"
)
_FACE_SHORT = Network(
    path="face_detection/face_detection_short_range.tflite",
    sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    mean=127.5,
    std=127.5,
)
_FACE_FULL = Network(
    path="face_detection/face_detection_full_range_sparse.tflite",
    sha256="2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    mean=127.5,
    std=127.5,
)
_FACE_MESH = Network(
    path="face_landmark/face_landmark.tflite", sha256="1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"
)
_IRIS = Network(
    path="iris_landmark/iris_landmark.tflite", sha256="d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f"
)


@frozen(kw_only=True)
class Bundle:
    """One file that the tool needs: a Tasks bundle, a tagged network for Tasks, or a bare network for LiteRT.

    `networks` maps the member of the bundle to the network in the wheel ("" = the file is that one network); `taken_from` names
    the bundle and the member that a bare network is taken out of, `outputs` the shapes of the outputs it keeps (all if empty);
    `task` is the Tasks class that loads it, None for LiteRT.
    """

    name: str
    file: str
    task: str | None = None
    official: Official | None = None
    networks: dict[str, Network] = field(factory=dict)
    taken_from: tuple[str, str] | None = None
    outputs: tuple[tuple[int, ...], ...] = ()

    @property
    def recipe(self) -> str:
        """Changes whenever the way in which the file is made changes, so that an older file is made anew."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def _list_all() -> Iterator[Bundle]:
    yield Bundle(
        name="pose",
        file="pose_landmarker.task",
        task="PoseLandmarker",
        official=Official(
            path="pose_landmarker/pose_landmarker_full/float16/1/pose_landmarker_full.task",
            sha256="4eaa5eb7a98365221087693fcc286334cf0858e2eb6e15b506aa4a7ecdcec4ad",
        ),
        networks={"pose_detector.tflite": _POSE_DETECTOR, "pose_landmarks_detector.tflite": _POSE_LANDMARKS},
    )
    yield Bundle(name="pose-detector", file="pose_detector.tflite", taken_from=("pose", "pose_detector.tflite"))
    yield Bundle(
        name="pose-landmarks",
        file="pose_landmarks.tflite",
        taken_from=("pose", "pose_landmarks_detector.tflite"),
        outputs=_LANDMARKS,
    )
    yield Bundle(
        name="hand",
        file="hand_landmarker.task",
        task="HandLandmarker",
        official=Official(
            path="hand_landmarker/hand_landmarker/float16/1/hand_landmarker.task",
            sha256="fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1",
        ),
        networks={"hand_detector.tflite": _PALM, "hand_landmarks_detector.tflite": _HAND},
    )
    yield Bundle(
        name="face",
        file="face_short_range.tflite",
        task="FaceDetector",
        official=Official(
            path="face_detector/blaze_face_short_range/float16/1/blaze_face_short_range.tflite",
            sha256="b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
        ),
        networks={"": _FACE_SHORT},
    )
    yield Bundle(name="face-full-range", file="face_full_range.tflite", task="FaceDetector", networks={"": _FACE_FULL})
    yield Bundle(name="face-mesh", file="face_mesh.tflite", networks={"": _FACE_MESH})
    yield Bundle(name="iris", file="iris.tflite", networks={"": _IRIS})


BUNDLES: dict[str, Bundle] = {bundle.name: bundle for bundle in _list_all()}
"""Name → bundle, in the order in which they are made.

There is no ``face_landmarker.task``: the wheel's face network gives 468 points, which Tasks 1.x reads as 478 and scrambles, so the
478 points come from ``face-mesh`` and ``iris`` through LiteRT.
"""

EXTRAS: dict[str, Bundle] = {
    bundle.name: bundle
    for bundle in (
        Bundle(
            name="pose-landmarks-heavy",
            file="pose_landmarks_heavy.tflite",
            official=Official(path=_POSE_HEAVY.path, sha256=_POSE_HEAVY.sha256, store="mediapipe-assets"),
            networks={"": _POSE_HEAVY},
            outputs=_LANDMARKS,
        ),
        Bundle(
            name="object-boxes",
            file="object_boxes.tflite",
            official=Official(
                path="object_detection_ssd_mobilenetv2_oidv4_fp16.tflite", sha256=_BOXES.sha256, store="mediapipe-assets"
            ),
            networks={"": _BOXES},
        ),
    )
}
"""Bundles that nobody needs and that are made when they are asked for."""
