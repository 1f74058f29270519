"""The catalogue's tables.

Every table has `seq`, a number that only grows: it is the order in which rows were added. Records are found by their content
id, so that adding one twice changes nothing. What people decided (`APPEND_ONLY`) can be neither updated nor deleted: the database
itself refuses.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["APPEND_ONLY", "HEAD", "METADATA", "VERSION_TABLE"]

HEAD = "0004"
"""The newest schema revision; a test holds it equal to the migrations' head."""

VERSION_TABLE = "curate_version"
APPEND_ONLY = ("annotations", "verdicts", "records")

METADATA = MetaData()


def _seq() -> Column[int]:
    return Column("seq", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True)


def _id() -> Column[str]:
    return Column("id", Text, nullable=False, unique=True)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _real(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable)


def _parent(name: str, target: str) -> Column[str]:
    return Column(name, Text, ForeignKey(target), nullable=False, index=True)


CLIPS = Table(
    "clips",
    METADATA,
    _seq(),
    _id(),
    _text("uri"),
    _text("sha256"),
    _number("n_frames"),
    _real("fps"),
    _number("width"),
    _number("height"),
    Column("timestamps", LargeBinary, nullable=False),
    _text("lesson"),
    _text("camera"),
    _text("school"),
    _text("context"),
    _text("seats"),
    Column("gaps", Text, nullable=False, server_default="[]"),
    sqlite_autoincrement=True,
)

TRACKS = Table(
    "tracks",
    METADATA,
    _seq(),
    _id(),
    _parent("clip_id", "clips.id"),
    _text("student", nullable=True),
    _number("n_frames"),
    _number("first"),
    _number("last"),
    sqlite_autoincrement=True,
)

TUBELETS = Table(
    "tubelets",
    METADATA,
    _seq(),
    _id(),
    _parent("clip_id", "clips.id"),
    _parent("track_id", "tracks.id"),
    _number("first"),
    _number("last"),
    sqlite_autoincrement=True,
)

DONE = Table(
    "done",
    METADATA,
    _seq(),
    _parent("clip_id", "clips.id"),
    _text("pipeline"),
    _text("problem", nullable=True),
    UniqueConstraint("clip_id", "pipeline"),
    sqlite_autoincrement=True,
)

PREDICTIONS = Table(
    "predictions",
    METADATA,
    _seq(),
    _id(),
    _parent("tubelet_id", "tubelets.id"),
    _text("axis"),
    _text("value"),
    _text("model"),
    _text("version"),
    _text("scores"),
    Index("ix_predictions_axis", "axis", "model", "version"),
    sqlite_autoincrement=True,
)

ANNOTATIONS = Table(
    "annotations",
    METADATA,
    _seq(),
    _id(),
    _parent("tubelet_id", "tubelets.id"),
    _text("axis"),
    _text("value"),
    _text("annotator"),
    _text("from_predicted", nullable=True),
    _text("origin"),
    _text("made_at"),
    _number("frame", nullable=True),
    _text("box", nullable=True),
    Column("pose", LargeBinary, nullable=True),
    Index("ix_annotations_axis", "axis"),
    sqlite_autoincrement=True,
)

SCORES = Table(
    "scores",
    METADATA,
    _seq(),
    _text("run"),
    _parent("tubelet_id", "tubelets.id"),
    _text("axis"),
    _text("label"),
    _text("suggested"),
    _real("value"),
    _real("loss"),
    _text("method"),
    _text("model"),
    Column("out_of_sample", Boolean, nullable=False),
    _real("wrong", nullable=True),
    _text("kind", nullable=True),
    _text("reason", nullable=True),
    _text("faults", nullable=True),
    UniqueConstraint("run", "axis", "method", "tubelet_id"),
    sqlite_autoincrement=True,
)

VERDICTS = Table(
    "verdicts",
    METADATA,
    _seq(),
    _id(),
    _parent("tubelet_id", "tubelets.id"),
    _text("axis"),
    _text("kind"),
    _text("curator"),
    _text("made_at"),
    _text("value", nullable=True),
    Index("ix_verdicts_axis", "axis"),
    sqlite_autoincrement=True,
)

RECORDS = Table(
    "records",
    METADATA,
    _seq(),
    _text("kind"),
    _text("id"),
    _text("payload"),
    UniqueConstraint("kind", "id"),
    sqlite_autoincrement=True,
)
"""What the tool itself did or decided (`catalogue.RECORD_TABLES`), as JSON."""
