"""Writing a class-balanced training set: a folder that appears whole or not at all, equal bytes for equal labels."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curation.balance import BALANCERS, balance_indices
from curation.building import build_folder, hash_file, hash_tree
from curation.certificate import Member, certify_split, verify_certificate
from curation.formats import EXPORTERS
from curation.formats.base import ExportFacts, ExportItem
from curation.formats.pictures import write_pictures
from curation.items import collect_items
from curation.privacy import open_shown_frames
from curation.split import ASIDE, SIDES, Split, make_split
from schemas.checks import check_name, compute_id
from schemas.errors import FormatError, NotEnoughData, StorageError
from schemas.manifest import Manifest, ManifestRecord, Provenance, read_manifest, write_manifest
from schemas.records import HumanSpan
from schemas.vocabulary import Label, Taxonomy

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import ArrayStore, Catalogue, CurrentLabel
    from curation.store.media import TubeletContext

__all__ = ["MANIFEST_NAME", "export_set", "list_manifest_members", "read_export"]

MANIFEST_NAME = "manifest.json"


def export_set(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    out: str | Path,
    *,
    formats: Sequence[str] = ("sequences",),
    balance: str = "capped",
    ratio: float = 1.0,
    name: str | None = None,
    axis: str | None = None,
    seed: int | None = None,
    pictures: bool = False,
    crops: int | None = None,
) -> Manifest:
    """Write the labels as they stand now (verdicts applied, dropped ones left out) to the folder `out`.

    The split is brought up to date first and certified; lessons that are set aside are left out; val and test are never balanced.
    The same again gives the same bytes and changes nothing.

    Args:
        workspace: gives taxonomy, split share and sampling.
        catalogue: holds the labels; the export is recorded in it.
        arrays: holds boxes and poses.
        out: a folder that is not there yet, or empty, or holds this very export.
        formats: names of `EXPORTERS`.
        balance: a name of `BALANCERS`, for the train side.
        ratio: see `curation.balance`.
        name: of the set; the folder's by default.
        axis: which labels; the taxonomy's primary axis by default.
        seed: of balance, and of the split if it is made now; the workspace's by default.
        pictures: also write the key frames that a format names, as JPEG, covered where the workspace says so (`curation.privacy`);
            the clips' files must be there for that.
        crops: also write square pictures of this many px beside the poses of a sequence file, covered in the same way.

    Raises:
        InvalidField: if `crops` is out of its range.
        MediaError: if a clip's file is gone or has changed.
        UnknownName: for an unknown format, balance method, axis or value.
        NotEnoughData: if nothing on the train side is labelled.
        LeakError: if a lesson or student is on two sides.
        StorageError: if `out` holds something else, or cannot be written; nothing is left behind then.
    """
    target = Path(out).expanduser().resolve()
    name = check_name("export name", name or target.name)
    taxonomy = workspace.taxonomy
    axis = taxonomy.axis(axis or taxonomy.primary.id).id
    seed = workspace.config.learning.seed if seed is None else seed
    exporters = {key: EXPORTERS.load(key)() for key in dict.fromkeys(formats)}
    BALANCERS.load(balance)
    _check_target(target)
    split, certificate = make_split(workspace, catalogue, axis=axis, seed=seed)
    contexts = catalogue.describe_tubelets()
    chosen = _choose_labels(catalogue, contexts, split, taxonomy, axis)
    chosen["train"] = _balance(chosen["train"], contexts, method=balance, ratio=ratio, seed=seed)
    records = {
        s: tuple(_make_record(x.span, contexts[x.tubelet_id], split) for x in labels) for s, labels in chosen.items() if labels
    }
    manifest = Manifest(
        name=name,
        taxonomy=taxonomy.id,
        taxonomy_version=taxonomy.version,
        axis=axis,
        classes=taxonomy.axis(axis).values,
        balance=balance if ratio == 1 else f"{balance}:{ratio:g}",
        splits=records,
        certificate={**certify_split(_list_members(records)).to_dict(), "split": split.id, "split_sha256": certificate.sha256},
        files={},
        provenance=_describe_origin(workspace, seed, split, chosen),
    )
    facts = ExportFacts(taxonomy=taxonomy, axis=axis, fps=workspace.config.preannotation.fps)
    shown: dict[str, ExportItem] = {}
    with build_folder(target) as folder:
        for side in records:
            items = collect_items(workspace, catalogue, arrays, [label.span for label in chosen[side]], records[side])
            items = items if crops is None else _add_crops(workspace, arrays, items, crops)
            for exporter in exporters.values():
                exporter.write(folder, side, items, facts)
                shown |= exporter.list_pictures(items) if pictures else {}
        if shown:
            with open_shown_frames(workspace) as read:
                write_pictures(folder, shown, read)
        manifest = manifest.model_copy(update={"files": hash_tree(folder)})
        write_manifest(folder / MANIFEST_NAME, manifest)
    _register(workspace, catalogue, target, manifest)
    return manifest


def read_export(folder: str | Path) -> Manifest:
    """Read an export's manifest, and check its certificate and every file against it.

    Raises:
        FormatError: if the folder is no export, or a file is missing or was changed.
        LeakError: if a lesson or student is on two sides.
        InvalidField: if the certificate is for other tubelets.
    """
    root = Path(folder)
    manifest = read_manifest(root / MANIFEST_NAME)
    verify_certificate(manifest.certificate, list_manifest_members(manifest))
    for name, digest in manifest.files.items():
        path = root / name
        if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
            raise FormatError(path, "file", "a file of the export", "no such file")
        if hash_file(path) != digest:
            raise FormatError(path, "SHA-256", f"{digest} (manifest)", "another; the file was changed after the export")
    return manifest


def list_manifest_members(manifest: Manifest) -> list[Member]:
    """Return what the certificate of an export is about."""
    return _list_members(manifest.splits)


def _list_members(records: Mapping[str, Sequence[ManifestRecord]]) -> list[Member]:
    return [
        Member(tubelet_id=r.tubelet_id, side=side, lesson=r.lesson, student=r.student)
        for side, rows in records.items()
        for r in rows
    ]


def _add_crops(workspace: Workspace, arrays: ArrayStore, items: Sequence[ExportItem], size: int) -> list[ExportItem]:
    from curation.crops import add_crops

    with open_shown_frames(workspace) as read:
        return add_crops(workspace, arrays, items, read, size)


def _check_target(target: Path) -> None:
    """Refuse what cannot be an earlier run of the same export before anything is computed."""
    if target.exists() and not (target.is_dir() and ((target / MANIFEST_NAME).is_file() or not any(target.iterdir()))):
        raise StorageError(target, "is there already and is no export; choose another folder")


def _choose_labels(
    catalogue: Catalogue, contexts: Mapping[str, TubeletContext], split: Split, taxonomy: Taxonomy, axis: str
) -> dict[str, list[CurrentLabel]]:
    chosen: dict[str, list[CurrentLabel]] = {side: [] for side in SIDES}
    for label in catalogue.current_labels(axis):
        side = split.side_of(contexts[label.tubelet_id].lesson)
        if not label.dropped and side != ASIDE:
            taxonomy.check_label(Label(axis=axis, value=label.span.value))
            chosen[side].append(label)
    if not chosen["train"]:
        raise NotEnoughData("labelled tubelets on the train side", 1, 0)
    return chosen


def _balance(
    labels: list[CurrentLabel], contexts: Mapping[str, TubeletContext], *, method: str, ratio: float, seed: int
) -> list[CurrentLabel]:
    found = [contexts[label.tubelet_id] for label in labels]
    groups = np.array([[c.lesson, c.student or c.tubelet.track_id] for c in found])
    rng = np.random.default_rng(seed)
    values = [label.span.value for label in labels]
    return [labels[i] for i in balance_indices(values, groups, method=method, ratio=ratio, rng=rng)]


def _make_record(span: HumanSpan, context: TubeletContext, split: Split) -> ManifestRecord:
    tubelet = context.tubelet
    return ManifestRecord(
        tubelet_id=tubelet.id,
        clip_id=tubelet.clip_id,
        track_id=tubelet.track_id,
        first=tubelet.first,
        last=tubelet.last,
        label=span.value,
        annotator=span.annotator,
        lesson=context.lesson,
        student=context.student,
        group=split.groups.get(context.lesson, context.lesson),
    )


def _hash_labels(chosen: Mapping[str, Sequence[CurrentLabel]]) -> str:
    lines = sorted(f"{side}\t{label.span.id}" for side, labels in chosen.items() for label in labels)
    return f"labels_{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:16]}"


def _describe_origin(workspace: Workspace, seed: int, split: Split, chosen: Mapping[str, Sequence[CurrentLabel]]) -> Provenance:
    return Provenance(
        seed=seed,
        config_hash=workspace.config_hash,
        code_version=version("curate-behaviour"),
        parents=(split.id, _hash_labels(chosen)),
    )


def _register(workspace: Workspace, catalogue: Catalogue, target: Path, manifest: Manifest) -> None:
    path = str(target.relative_to(workspace.root)) if target.is_relative_to(workspace.root) else str(target)
    digest = hash_file(target / MANIFEST_NAME)
    export_id = compute_id("exp", digest, path)
    counts = {side: dict(sorted(Counter(r.label for r in rows).items())) for side, rows in manifest.splits.items()}
    payload = {"export": export_id, "name": manifest.name, "path": path, "manifest_sha256": digest, "counts": counts}
    catalogue.append_record("exports", export_id, {**payload, "axis": manifest.axis, "balance": manifest.balance})
