"""The workspace's models: trained on an export, kept under ``models/<version>``, recorded in the catalogue."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, frozen

from backends.base import BehaviourModel, Progress
from backends.behaviour import MODELS, load_model
from backends.weights import WEIGHTS_NAME, read_card
from curation.building import hash_file, hidden_folder, place_folder
from curation.export import MANIFEST_NAME, read_export
from schemas.checks import compute_id
from schemas.errors import FormatError, ModelError, UnknownName
from schemas.manifest import Manifest
from schemas.sequences import read_sequences

if TYPE_CHECKING:
    from backends.training_plan import TrainingSession
    from curation.config import Workspace
    from curation.store import Catalogue

__all__ = ["ModelRecord", "find_model", "list_models", "load_version", "train_model"]


@frozen(kw_only=True)
class ModelRecord:
    """One training: what came out, and what it had seen.

    `version` is the first 12 hex digits of the weights' SHA-256, `manifest_sha256` is of the export it learnt from, `lessons` and
    `students` are those of its train side: none of them may be in a test side it is measured on.
    """

    id: str
    version: str
    model: str
    axis: str
    seed: int
    export: str
    manifest_sha256: str
    n_train: int
    lessons: tuple[str, ...]
    students: tuple[str, ...]
    code_version: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain = asdict(self)
        return {**plain, "lessons": list(self.lessons), "students": list(self.students)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ModelRecord:
        """Return what `to_dict` described."""
        return cls(**{**plain, "lessons": tuple(plain["lessons"]), "students": tuple(plain["students"])})


def list_models(catalogue: Catalogue) -> list[ModelRecord]:
    """Return every training recorded, oldest first."""
    return [ModelRecord.from_dict(record) for record in catalogue.list_records("models")]


def find_model(catalogue: Catalogue, version: str | None = None) -> ModelRecord:
    """Return the newest training with that version, or the newest of all.

    Raises:
        UnknownName: if there is none.
    """
    records = list_models(catalogue)
    for record in reversed(records):
        if version in (None, record.version):
            return record
    raise UnknownName("model version", version or "(newest)", [record.version for record in records])


def load_version(workspace: Workspace, version: str) -> BehaviourModel:
    """Load a model of the workspace.

    Raises:
        ModelError: if its files are missing or were changed.
    """
    return load_model(workspace.folder("models") / version)


def train_model(
    workspace: Workspace,
    catalogue: Catalogue,
    export_dir: str | Path,
    *,
    model: str | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    session: TrainingSession | None = None,
) -> ModelRecord:
    """Train a model on the train side of an export, save it with its curves, and record it.

    The same export, architecture, seed and code version is trained once: the same again returns the record that is there. A run
    that was killed goes on from its newest checkpoint (networks write one every ten seconds) and ends with the same weights.

    Args:
        workspace: where the model is kept.
        catalogue: where it is recorded.
        export_dir: an export with the format "sequences"; its files and certificate are checked first.
        model: a name of `MODELS`; the workspace's setting by default.
        seed: the workspace's by default.
        progress: is called after every epoch.
        session: on which device, in which precision; by default CUDA if present.

    Raises:
        UnknownName: for an unknown architecture.
        InvalidField: for a device that is not there.
        FormatError: if the export was changed or has no ``train.npz``.
        LeakError: if a lesson or student is on two sides of it.
        NotEnoughData: if fewer than two classes occur.
        StorageError: if the model cannot be written; nothing is left then.
    """
    from backends.training_curves import write_curves
    from backends.training_plan import TrainingSession, use_session

    settings = workspace.config.learning
    name = model or settings.model
    seed = settings.seed if seed is None else seed
    kind = MODELS.load(name)
    folder = Path(export_dir).expanduser().resolve()
    manifest = read_export(folder)
    if "train.npz" not in manifest.files:
        raise FormatError(folder, "train.npz", "the train side as sequences; export with the format 'sequences'")
    digest, code = hash_file(folder / MANIFEST_NAME), installed_version("curate-behaviour")
    session = session or TrainingSession()
    record_id = compute_id("mdl", digest, name, seed, code, *_name_unusual(session))
    done = _find_done(workspace, catalogue, record_id)
    if done is not None:
        return done
    models = workspace.folder("models")
    checkpoints = models / f".checkpoints-{record_id}"
    with use_session(evolve(session, checkpoints=checkpoints, histories=[])) as ran:
        fitted = kind().fit(read_sequences(folder / "train.npz"), classes=manifest.classes, seed=seed, progress=progress)
    with hidden_folder(models / record_id) as building:
        fitted.save(building, _describe_training(workspace, manifest, digest, name, seed))
        write_curves(building, ran.histories, title=f"{name} on {manifest.name}, seed {seed}")
        version = read_card(building).version
        if not _is_intact(models / version):
            shutil.rmtree(models / version, ignore_errors=True)
            place_folder(building, models / version)
    rows = manifest.splits["train"]
    record = ModelRecord(
        id=record_id,
        version=version,
        model=name,
        axis=manifest.axis,
        seed=seed,
        export=manifest.name,
        manifest_sha256=digest,
        n_train=len(rows),
        lessons=tuple(sorted({r.lesson for r in rows})),
        students=tuple(sorted({r.student for r in rows if r.student is not None})),
        code_version=code,
    )
    catalogue.append_record("models", record_id, record.to_dict())
    shutil.rmtree(checkpoints, ignore_errors=True)
    return record


def _name_unusual(session: TrainingSession) -> tuple[str, ...]:
    """Return what makes a training another one than where it runs by itself; nothing for the defaults."""
    unusual = {"precision": session.precision != "auto", "n_devices": session.n_devices != 1}
    return tuple(f"{name} {getattr(session, name)}" for name, differs in unusual.items() if differs)


def _find_done(workspace: Workspace, catalogue: Catalogue, record_id: str) -> ModelRecord | None:
    for record in list_models(catalogue):
        if record.id == record_id and _is_intact(workspace.folder("models") / record.version):
            return record
    return None


def _is_intact(folder: Path) -> bool:
    try:
        return hash_file(folder / WEIGHTS_NAME) == read_card(folder).sha256
    except (ModelError, OSError):
        return False


def _describe_training(workspace: Workspace, manifest: Manifest, digest: str, name: str, seed: int) -> dict[str, Any]:
    settings = workspace.config.preannotation
    rows, n_nodes = manifest.splits["train"], len(workspace.taxonomy.skeleton.nodes)
    return {
        "taxonomy": manifest.taxonomy,
        "axis": manifest.axis,
        "input": f"pose (N, T, {n_nodes}, 4) px over {settings.window:g} s at {settings.fps:g} samples/s",
        "training": {
            "export": manifest.name,
            "manifest_sha256": digest,
            "seed": seed,
            "n_train": len(rows),
            "n_lessons": len({r.lesson for r in rows}),
            "balance": manifest.balance,
        },
        "rebuild": f"curate train <folder of export {manifest.name}> --model {name} --seed {seed}",
    }
