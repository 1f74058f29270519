"""One real Label Studio for the whole test run, and small workspaces attached to it."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from fixtures_media import hash_tree

from curation.config import Config, Ports, create_workspace
from schemas.records import Clip, PoseTrack, PredictedSpan

_numbers = itertools.count(1)


def find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LabelStudio:
    """A running server: `url`, `token`, `user`, `password`; `root` is the folder below which its pictures must be."""

    def __init__(self, root: Path) -> None:
        from curation.labelstudio.account import find_account, make_account, save_account
        from curation.labelstudio.server import start_label_studio

        self.root = root
        config = Config(ports=Ports(label_studio=find_free_port()))
        self.home = create_workspace(root / "server", config)
        self._save = save_account
        save_account(self.home, make_account(f"http://127.0.0.1:{config.ports.label_studio}", root))
        start_label_studio(self.home)
        self.account = find_account(self.home)
        self.url, self.token = self.account.url, self.account.token
        self.user, self.password = self.account.user, self.account.password

    def make_workspace(self, **settings):
        """Return a new workspace that uses this server, with a project title of its own."""
        number = next(_numbers)
        workspace = create_workspace(self.root / f"w{number}", Config(project=f"project {os.getpid()} {number}", **settings))
        self.attach(workspace)
        return workspace

    def attach(self, workspace):
        """Let a workspace below `root` use this server."""
        self._save(workspace, self.account)

    def connect(self):
        from curation.labelstudio.client import Client

        return Client(self.account)


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory):
    """A real Label Studio; started at the first use, stopped at the end."""
    from curation.processes import stop_server

    server = LabelStudio(tmp_path_factory.mktemp("label-studio"))
    yield server
    stop_server(server.home, "label-studio")


def make_pose(box, hidden=range(25, 33)):
    """A front view of somebody in `box`, legs hidden."""
    x1, y1, x2, y2 = box
    places = {
        0: (0.5, 0.18), 1: (0.53, 0.14), 2: (0.56, 0.14), 3: (0.58, 0.14), 4: (0.47, 0.14), 5: (0.44, 0.14), 6: (0.42, 0.14),
        7: (0.62, 0.16), 8: (0.38, 0.16), 9: (0.53, 0.24), 10: (0.47, 0.24), 11: (0.75, 0.4), 12: (0.25, 0.4), 13: (0.85, 0.6),
        14: (0.15, 0.6), 15: (0.7, 0.75), 16: (0.3, 0.75), 17: (0.68, 0.8), 18: (0.32, 0.8), 19: (0.66, 0.8), 20: (0.34, 0.8),
        21: (0.66, 0.76), 22: (0.34, 0.76), 23: (0.65, 0.9), 24: (0.35, 0.9),
    }  # fmt: skip
    pose = np.zeros((33, 4), np.float32)
    for node in range(33):
        x, y = places.get(node, (0.5, 0.98))
        pose[node] = (x1 + x * (x2 - x1), y1 + y * (y2 - y1), -0.25 * node, 0.1 if node in hidden else 0.9)
    return pose


def fill_workspace(workspace, *, clips=1, people=3, windows=2, version="v1", values=("write", "attend", "raise-hand")):
    """Put short videos with people and proposals into a workspace; return the open catalogue and the arrays."""
    from curation.store import ArrayStore, Catalogue

    catalogue, arrays = Catalogue.open(workspace.catalogue_url), ArrayStore(workspace.folder("arrays"))
    settings = workspace.config.preannotation
    for number in range(clips):
        path = workspace.root / f"clip{number}.mp4"
        clip = _write_clip(path, number, seconds=windows * settings.window)
        catalogue.add_clips([clip])
        tracks, tubelets = _make_people(clip, people, settings)
        arrays.write_tracks(clip.id, tracks)
        spans = make_proposals(tubelets, version, values)
        catalogue.commit_clip(clip.id, pipeline="test", tracks=tracks, tubelets=tubelets, predictions=spans)
    return catalogue, arrays


def digest_work(workspace, tasks=()):
    """Return by hash what a workspace holds but for its name, and what the server holds of its tasks: data and predictions."""
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue:
        rows = catalogue.digest()
    files = hash_tree(workspace.root, without=("logs", "servers", "curate.toml"))
    held = sorted(json.dumps(_describe_task(task, workspace.root.name), sort_keys=True) for task in tasks)
    arrays = ArrayStore(workspace.folder("arrays")).digest()
    return {**files, "catalogue": rows, "arrays": arrays, "tasks": hashlib.sha256("\n".join(held).encode()).hexdigest()}


def _describe_task(task, name):
    data = {key: value.replace(f"{name}/", "", 1) if isinstance(value, str) else value for key, value in task["data"].items()}
    predictions = sorted([p["model_version"], p["score"], json.dumps(p["result"], sort_keys=True)] for p in task["predictions"])
    return [data, predictions]


def make_proposals(tubelets, version, values=("write", "attend", "raise-hand")):
    return [
        PredictedSpan(
            tubelet_id=t.id,
            axis="behaviour",
            value=values[k % len(values)],
            model="cnn-lstm",
            version=version,
            scores={value: (0.8 if value == values[k % len(values)] else 0.2 / (len(values) - 1)) for value in values},
        )
        for k, t in enumerate(tubelets)
    ]


def _write_clip(path, number, *, seconds, fps=10, size=(640, 360)):
    import hashlib

    import av

    n_frames = round(seconds * fps)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for k in range(n_frames):
            image = np.full((size[1], size[0], 3), 90 + 10 * number, np.uint8)
            image[:, k * 2 : k * 2 + 20] = 200
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Clip(
        id=Clip.compute_id(sha256),
        uri=str(path),
        sha256=sha256,
        n_frames=n_frames,
        fps=fps,
        width=size[0],
        height=size[1],
        timestamps=np.arange(n_frames) / fps,
        lesson=f"lesson-{number}",
    )


def _make_people(clip, people, settings):
    from curation.tubelets import cut_tubelets, plan_windows

    plans = plan_windows(clip.timestamps, window=settings.window, fps=settings.fps)
    frames = np.unique(np.concatenate([plan.frames for plan in plans]))
    tracks = []
    for k in range(people):
        box = np.float32([20.25 + 200 * k, 40.5, 180.75 + 200 * k, 330.125])
        track_id = PoseTrack.compute_id(clip.id, int(frames[0]), box, "test")
        boxes, poses = np.tile(box, (len(frames), 1)), np.tile(make_pose(box), (len(frames), 1, 1))
        tracks.append(PoseTrack(id=track_id, clip_id=clip.id, frames=frames, boxes_xyxy=boxes, pose_px=poses))
    return tracks, cut_tubelets(tracks, clip, window=settings.window, fps=settings.fps)
