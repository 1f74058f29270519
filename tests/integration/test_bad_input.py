"""Bad input through the real command line: one clear line, exit 1 or 2, and nothing changed. Odd but good images work."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess

import numpy as np
import pytest
from fixtures_labelstudio import fill_workspace
from fixtures_media import digest_workspace, hash_tree, run_curate, write_video
from PIL import Image

from schemas.files import replace_file


@pytest.fixture(scope="module")
def filled(tmp_path_factory, numbered_video):
    """A workspace that holds one clip."""
    root = tmp_path_factory.mktemp("filled") / "work"
    assert run_curate("init", root).returncode == 0
    assert run_curate("add", numbered_video, "-w", root).returncode == 0
    return root


@pytest.fixture
def work(filled, tmp_path):
    """A copy of that workspace to damage."""
    return shutil.copytree(filled, tmp_path / "work")


def _refuse(result, *says, code=1):
    assert result.returncode == code, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("curate: ")
    assert "Traceback" not in result.stderr
    for text in says:
        assert text in lines[0]


def _refuse_after_bar(result, *says):
    """As `_refuse`, for a command that may have drawn its progress bar, which wipes itself, before."""
    shown = result.stderr.rpartition("\r")[2]
    assert result.stderr.count("\n") == 1, result.stderr
    _refuse(subprocess.CompletedProcess(result.args, result.returncode, result.stdout, shown), *says)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file"),
        ("text", "cannot be read as a video or an image"),
        ("zero", "is empty (0 bytes)"),
        ("noise", "cannot be read as a video or an image"),
        ("folder", "holds no video and no image"),
        ("headless", "truncated"),
        ("truncated", "of about 120 frames can be decoded; --allow-truncated takes those"),
    ],
)
def test_bad_media_are_not_added(filled, bad_media, kind, reason):
    before = digest_workspace(filled)
    result = run_curate("add", bad_media[kind], "-w", filled)
    _refuse(result, str(bad_media[kind]), reason)
    assert result.stdout == "0 clips added, 0 there already, 1 left out\n"
    assert digest_workspace(filled) == before


def test_good_files_among_bad_ones_are_added(work, bad_media, tmp_path):
    good = write_video(tmp_path / "good.mp4", 10)
    result = run_curate("add", bad_media["text"], good, bad_media["missing"], "-w", work, "--json")
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 2
    said = json.loads(result.stdout)
    assert [entry["file"] for entry in said["added"]] == [str(good)]
    assert sorted(entry["file"] for entry in said["failed"]) == sorted([str(bad_media["text"]), str(bad_media["missing"])])


@pytest.mark.parametrize("words", [["--context", "weather=rain"], ["--context", "time"]])
def test_a_wrong_context_adds_nothing(work, tmp_path, words):
    before = digest_workspace(work)
    _refuse(run_curate("add", write_video(tmp_path / "a.mp4", 5), "-w", work, *words), "context: expected")
    assert digest_workspace(work) == before


def test_a_truncated_video_can_be_wanted(work, bad_media):
    result = run_curate("add", bad_media["truncated"], "-w", work, "--allow-truncated")
    assert (result.returncode, result.stdout) == (0, "1 clips added, 1 of them with lost frames, 0 there already, 0 left out\n")


@pytest.mark.parametrize("words", [["add", "x.mp4"], ["preannotate"]])
def test_no_workspace(tmp_path, words):
    _refuse(run_curate(*words, cwd=tmp_path), "no curate.toml here or above")
    _refuse(run_curate(*words, "-w", tmp_path / "none"), "is not a workspace")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["add"], ["preannotate"]])
def test_a_corrupt_catalogue_is_left_as_it_is(work, numbered_video, words):
    (work / "catalogue.db").write_bytes(b"this is no database " * 500)
    for rest in ("-wal", "-shm"):
        (work / f"catalogue.db{rest}").unlink(missing_ok=True)
    before = (hash_tree(work), (work / "catalogue.db").read_bytes())
    media = [numbered_video] if words == ["add"] else []
    _refuse(run_curate(*words, *media, "-w", work), "catalogue.db")
    assert (hash_tree(work), (work / "catalogue.db").read_bytes()) == before


def test_an_unknown_taxonomy_makes_nothing(tmp_path):
    _refuse(run_curate("init", tmp_path / "new", "--taxonomy", "astrology"), "unknown taxonomy 'astrology'", "learning-behaviours")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_taxonomy_in_the_settings(work):
    (work / "curate.toml").write_text('taxonomy = "astrology"\n')
    before = digest_workspace(work)
    _refuse(run_curate("preannotate", "-w", work), "unknown taxonomy 'astrology'")
    assert digest_workspace(work) == before


def test_settings_that_are_none(work):
    (work / "curate.toml").write_text("[preannotation]\nfps = -3\n")
    _refuse(run_curate("preannotate", "-w", work), "curate.toml: preannotation.fps")
    (work / "curate.toml").write_text("= = =")
    _refuse(run_curate("add", "x.mp4", "-w", work), "curate.toml: file: expected TOML")


@pytest.mark.parametrize("words", [["--engine", "moon"], ["--model", "nowhere"]])
def test_an_unknown_engine_or_model(filled, tmp_path, words):
    before = digest_workspace(filled)
    _refuse(run_curate("preannotate", "-w", filled, *words, cwd=tmp_path), words[1])
    assert digest_workspace(filled) == before


@pytest.mark.parametrize("kind", ["missing", "text", "zero", "headless", "truncated"])
def test_bad_media_are_not_proposed(tmp_path, bad_media, small_model, kind):
    out = tmp_path / "tasks.json"
    out.write_text("as it was")
    result = run_curate("propose", bad_media[kind], "--out", out, "--model", small_model)
    _refuse(result, str(bad_media[kind]))
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.json"]
    assert out.read_text() == "as it was"


def test_an_unknown_taxonomy_is_not_proposed_in(tmp_path, numbered_video):
    _refuse(run_curate("propose", numbered_video, "--out", tmp_path / "t.json", "--taxonomy", "astrology"), "unknown taxonomy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["add"], ["propose", "a.png"], ["preannotate", "--workers", "many"], ["nonsense"]])
def test_wrong_usage_is_exit_2(filled, words):
    result = run_curate(*words, CURATE_WORKSPACE=str(filled))
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("server", ["label_studio", "backend", "fiftyone"])
def test_a_port_in_use_starts_nothing(work, server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {name: _find_free_port() for name in ("label_studio", "backend", "fiftyone")}
        ports[server] = taken.getsockname()[1]
        lines = [f"{name} = {port}" for name, port in ports.items()]
        (work / "curate.toml").write_text("[ports]\n" + "\n".join(lines) + "\n")
        before = digest_workspace(work)
        _refuse(run_curate("up", "-w", work), str(ports[server]), "in use")
        assert digest_workspace(work) == before
    status = json.loads(run_curate("status", "-w", work, "--json").stdout)
    assert "true" not in json.dumps(status["servers"])


def _find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.integration
@pytest.mark.parametrize("words", [["push"], ["pull"], ["status"]])
def test_a_wrong_token_changes_nothing(label_studio, words):
    from attrs import evolve

    from curation.labelstudio.account import save_account

    workspace = label_studio.make_workspace()
    catalogue, _ = fill_workspace(workspace, windows=1)
    catalogue.close()
    save_account(workspace, evolve(label_studio.account, token="0" * 40))
    before = digest_workspace(workspace.root)
    _refuse(run_curate("label", *words, "-w", workspace.root), label_studio.url, "token")
    after = digest_workspace(workspace.root)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.startswith("crops/")]
    with label_studio.connect() as client:
        assert client.find_project(workspace.config.project) is None


def test_odd_but_good_images_are_added(work, tmp_path):
    grey = np.arange(48 * 64).reshape(48, 64)
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray((grey * 20).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.dstack([grey % 256] * 4).astype(np.uint8)).save(tmp_path / "alpha.png")
    result = run_curate("add", tmp_path / "grey.png", tmp_path / "deep.png", tmp_path / "alpha.png", "-w", work)
    assert (result.returncode, result.stdout, result.stderr) == (0, "3 clips added, 0 there already, 0 left out\n", "")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=False).returncode:
        pytest.skip("a small tmpfs can only be mounted by root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _fill(disk, *, leave):
    """Write a file so that `leave` bytes stay free."""
    room = shutil.disk_usage(disk).free
    (disk / "ballast").write_bytes(bytes(max(0, room - leave)))


@pytest.mark.parametrize("leave", [0, pytest.param(8192, marks=pytest.mark.slow)])
def test_a_full_disk_leaves_the_workspace_as_it_was(small_disk, filled, tmp_path, leave):
    work = shutil.copytree(filled, small_disk / "work")
    media = []
    for number in range(8):
        media.append(write_video(tmp_path / f"{number}.mp4", 300, gop=100, fps=number + 5))
    before = digest_workspace(work)
    _fill(small_disk, leave=leave)
    result = run_curate("add", *media, "-w", work)
    _refuse(result, "disk")
    (small_disk / "ballast").unlink()
    after = digest_workspace(work)
    assert {name: value for name, value in after.items() if name != "catalogue"} == {
        name: value for name, value in before.items() if name != "catalogue"
    }
    assert run_curate("add", *media, "-w", work).returncode == 0
    again = run_curate("add", *media, "-w", work)
    assert again.stdout == "0 clips added, 8 there already, 0 left out\n"


def test_a_full_disk_stops_preannotate_and_loses_nothing(small_disk, tmp_path, tiny_lessons, small_model):
    whole, cut = tmp_path / "whole", small_disk / "work"
    for root in (whole, cut):
        assert run_curate("init", root).returncode == 0
        assert run_curate("add", tiny_lessons[0], "-w", root).returncode == 0
    words = ("preannotate", "--workers", "1", "--model", small_model, "-w")
    assert run_curate(*words, whole).returncode == 0
    before = digest_workspace(cut)
    _fill(small_disk, leave=0)
    result = run_curate(*words, cut)
    _refuse_after_bar(result, "disk", "nothing was changed")
    (small_disk / "ballast").unlink()
    assert digest_workspace(cut) == before
    assert run_curate(*words, cut).returncode == 0
    assert digest_workspace(cut) == digest_workspace(whole)


@pytest.mark.parametrize("command", ["preannotate", "propose"])
def test_missing_bundles_say_how_to_get_them(filled, numbered_video, small_model, tmp_path, command):
    (tmp_path / "none").mkdir()
    media = [numbered_video, "--out", tmp_path / "t.json"] if command == "propose" else ["-w", filled]
    before = digest_workspace(filled)
    result = run_curate(command, *media, "--model", small_model, CURATE_MODELS=str(tmp_path / "none"))
    _refuse_after_bar(result, "bundle is missing; run `curate models pull`")
    assert digest_workspace(filled) == before
    assert not (tmp_path / "t.json").exists()


def test_a_full_disk_leaves_the_old_tasks(small_disk, tmp_path):
    out = small_disk / "tasks.json"
    out.write_text("as it was")
    _fill(small_disk, leave=0)
    from schemas.errors import StorageError

    with pytest.raises(StorageError, match="nothing was changed"), replace_file(out) as stream:
        stream.write(bytes(100_000))
    assert sorted(path.name for path in small_disk.iterdir()) == ["ballast", "tasks.json"]
    assert out.read_text() == "as it was"
