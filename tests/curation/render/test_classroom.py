import hashlib
import json
import os

import numpy as np
import pytest

from curation.render import RenderConfig, read_truth, render_classroom, truth_path
from curation.render.classroom import set_up
from curation.render.stage import observe
from schemas.errors import FormatError, InvalidField, UnknownName


def _hash(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path, small):
    short = small | {"seconds": 0.5}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        render_classroom(tmp_path / name, seed=seed, **short)
    assert _hash(tmp_path / "a") == _hash(tmp_path / "b")
    assert all(_hash(tmp_path / "a")[name] != digest for name, digest in _hash(tmp_path / "c").items())


def test_workers_change_nothing(tmp_path, small):
    short = small | {"seconds": 0.5, "lessons": 2, "size": (320, 180)}
    render_classroom(tmp_path / "one", seed=1, **short)
    render_classroom(tmp_path / "two", seed=1, workers=2, **short)
    assert _hash(tmp_path / "one") == _hash(tmp_path / "two")


def test_whole_clips_are_kept_and_broken_ones_rendered_again(tmp_path, small):
    short = small | {"seconds": 0.5, "cameras": 3, "size": (320, 180)}
    paths = render_classroom(tmp_path, seed=1, **short)
    whole = _hash(tmp_path)
    os.utime(paths[0], (1, 1))
    paths[1].unlink()
    truth_path(paths[2]).write_bytes(truth_path(paths[2]).read_bytes()[:200])
    seen = []
    assert render_classroom(tmp_path, seed=1, progress=lambda done, total: seen.append((done, total)), **short) == paths
    assert _hash(tmp_path) == whole
    assert paths[0].stat().st_mtime == 1
    assert seen[0] == (3, 9)
    assert seen[-1] == (9, 9)


def test_other_settings_replace_what_is_there(tmp_path, small):
    short = small | {"seconds": 0.5, "size": (320, 180)}
    (path,) = render_classroom(tmp_path, seed=1, **short)
    before = path.read_bytes()
    render_classroom(tmp_path, seed=2, **short)
    assert path.read_bytes() != before


def test_video_has_the_frames_size_and_rate_that_were_asked_for(clip, frames):
    import av

    assert frames.shape == (12, 360, 640, 3)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        times = [float(frame.pts * stream.time_base) for frame in container.decode(stream)]
        assert stream.codec_context.name == "h264"
    assert times == pytest.approx(np.arange(12) / 6)


def test_description_names_lesson_camera_school_context_and_seats(clip):
    said = json.loads(clip.with_name("lesson-01-front.clip.json").read_text("utf-8"))
    assert (said["lesson"], said["camera"], said["school"]) == ("lesson-01", "front", "school-a")
    assert sorted(said["context"]) == ["equipment", "infrastructure", "location", "task", "time", "user"]
    truth = read_truth(clip)
    assert [seat["student"] for seat in said["seats"]] == truth.student.tolist()
    middles = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    for person, seat in enumerate(said["seats"]):
        x1, y1, x2, y2 = seat["box_xyxy"]
        inside = (
            (middles[:, person, 0] > x1)
            & (middles[:, person, 0] < x2)
            & (middles[:, person, 1] > y1)
            & (middles[:, person, 1] < y2)
        )
        assert inside.mean() > 0.9


def test_visible_landmarks_lie_in_the_box_and_in_the_frame(clip):
    truth = read_truth(clip)
    upper = truth.pose[:, :, :23]
    low, high = truth.boxes[:, :, None, :2] - 3, truth.boxes[:, :, None, 2:] + 3
    inside = ((upper[..., :2] >= low) & (upper[..., :2] <= high)).all(axis=-1)
    assert inside[upper[..., 3] > 0.5].mean() > 0.995
    assert (truth.boxes[..., 0] >= 0).all()
    assert (truth.boxes[..., 2] <= 640).all()
    assert (truth.boxes[..., 3] <= 360).all()


def test_noses_and_hands_are_drawn_in_the_colour_of_the_skin_where_truth_says(clip, frames, small):
    config = RenderConfig(seed=5, **(small | {"light": "bright"}))
    _, _, plan = set_up(config, 0, "front")
    truth = read_truth(clip)
    errors, away = [], []
    for person, member in enumerate(plan.members):
        skin = np.array(member.look.skin, float) / np.linalg.norm(member.look.skin)
        for step in range(len(frames)):
            for wrist, index, elbow in ((15, 19, 13), (16, 20, 14)):
                points = truth.pose[step, person, [wrist, index]]
                if (points[:, 3] < 0.5).any():
                    continue
                x, y = np.round(points[:, :2].mean(axis=0)).astype(int)
                colour = frames[step, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 3).mean(axis=0)
                errors.append(1 - colour @ skin / np.linalg.norm(colour))
                ex, ey = np.round(truth.pose[step, person, elbow, :2]).astype(int)
                away.append((ex, ey))
    assert len(errors) > 20
    assert np.median(errors) < 0.004
    assert np.mean(np.array(errors) < 0.02) > 0.8


def test_legs_behind_the_desk_are_hidden_and_faces_are_seen(clip):
    truth = read_truth(clip)
    sits = ~np.isin(truth.behaviour, ["stand", "sleep"])
    assert truth.pose[sits][:, 25:, 3].mean() < 0.35
    assert truth.pose[sits][:, 0, 3].mean() > 0.9


def test_cameras_of_one_lesson_see_the_same_motion():
    config = RenderConfig(seed=2, seconds=4.0)
    times = np.arange(20) / 5
    seen = []
    for camera in ("front", "front-left"):
        room, eye, plan = set_up(config, 0, camera)
        truth, bodies = observe(plan, room, eye, times, 5.0)
        seen.append((truth, bodies))
    assert np.array_equal(seen[0][0].behaviour, seen[1][0].behaviour)
    assert all(np.array_equal(a.points, b.points) for a, b in zip(seen[0][1], seen[1][1], strict=True))
    assert not np.allclose(seen[0][0].pose, seen[1][0].pose)


def test_classes_share_students_and_by_default_every_lesson_has_its_own():
    def students(config, lesson):
        return {member.name: member.look for member in set_up(config, lesson, "front")[2].members}

    shared = RenderConfig(lessons=4, classes=2, seconds=1.0)
    assert students(shared, 0) == students(shared, 2)
    assert students(shared, 0) != students(shared, 1)
    own = RenderConfig(lessons=4, seconds=1.0)
    names = [set(students(own, lesson)) for lesson in range(4)]
    assert len(set.union(*names)) == 24


def test_lights_differ_as_their_names_say(tmp_path, small):
    import av

    level = {}
    for light in ("bright", "dim"):
        (path,) = render_classroom(tmp_path / light, seed=1, **(small | {"seconds": 0.5, "light": light}))
        with av.open(str(path)) as container:
            level[light] = next(container.decode(video=0)).to_ndarray(format="gray").mean()
    assert level["bright"] > 1.8 * level["dim"]


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"lessons": 0}, InvalidField, r"render.lessons: expected a number in \[1, 1000\], got 0"),
        ({"cameras": 9}, InvalidField, "render.cameras"),
        ({"size": (641, 360)}, InvalidField, "render.size: expected even width and height"),
        ({"light": "candle"}, UnknownName, "unknown light level 'candle'; known: bright"),
        ({"seconds": float("nan")}, InvalidField, "render.seconds"),
    ],
)
def test_bad_settings_say_what_is_wrong_and_write_nothing(tmp_path, settings, error, match):
    with pytest.raises(error, match=match):
        render_classroom(tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_truth_that_is_missing_or_not_whole_is_a_format_error(tmp_path, clip):
    with pytest.raises(FormatError, match="no such file"):
        read_truth(tmp_path / "nothing.mp4")
    broken = tmp_path / "broken.truth.npz"
    broken.write_bytes(truth_path(clip).read_bytes()[:1000])
    with pytest.raises(FormatError, match="boxes, pose, behaviour, student and fps"):
        read_truth(broken)


def test_command_renders_and_ends_with_one_line(tmp_path):
    from click.testing import CliRunner

    from curation.cli.render import render

    arguments = [
        str(tmp_path),
        "--lessons",
        "1",
        "--cameras",
        "1",
        "--rows",
        "1",
        "--students",
        "2",
        "--seconds",
        "0.5",
        "--size",
        "320",
        "180",
    ]
    done = CliRunner().invoke(render, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout.strip().splitlines()[-1])["clips"] == [str(tmp_path / "lesson-01-front.mp4")]
    assert read_truth(tmp_path / "lesson-01-front.mp4").boxes.shape == (6, 2, 4)
    with pytest.raises(InvalidField, match="--students: expected a multiple of --rows 2, got 3"):
        CliRunner().invoke(render, [str(tmp_path), "--students", "3"], catch_exceptions=False)
