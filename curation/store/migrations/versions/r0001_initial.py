"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("annotations", "verdicts", "records")


def upgrade() -> None:
    """Make the tables, and the triggers that keep what people decided."""
    _create_media()
    _create_statements()
    for table in APPEND_ONLY:
        _protect(table)


def _create(name: str, *columns: sa.schema.SchemaItem) -> None:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(name, sa.Column("seq", number, sa.Identity(), primary_key=True), *columns, sqlite_autoincrement=True)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.Text, nullable=False, unique=True)


def _parent(name: str, target: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, sa.ForeignKey(target), nullable=False, index=True)


def _create_media() -> None:
    _create(
        "clips",
        _id(),
        *_texts("uri", "sha256"),
        *_numbers("n_frames"),
        sa.Column("fps", sa.Double, nullable=False),
        *_numbers("width", "height"),
        sa.Column("timestamps", sa.LargeBinary, nullable=False),
        *_texts("lesson", "camera", "school", "context", "seats"),
    )
    student = sa.Column("student", sa.Text, nullable=True)
    _create("tracks", _id(), _parent("clip_id", "clips.id"), student, *_numbers("n_frames", "first", "last"))
    _create("tubelets", _id(), _parent("clip_id", "clips.id"), _parent("track_id", "tracks.id"), *_numbers("first", "last"))
    _create(
        "done",
        _parent("clip_id", "clips.id"),
        *_texts("pipeline"),
        sa.Column("problem", sa.Text, nullable=True),
        sa.UniqueConstraint("clip_id", "pipeline"),
    )


def _create_statements() -> None:
    _create("predictions", _id(), _parent("tubelet_id", "tubelets.id"), *_texts("axis", "value", "model", "version", "scores"))
    op.create_index("ix_predictions_axis", "predictions", ["axis", "model", "version"])
    _create(
        "annotations",
        _id(),
        _parent("tubelet_id", "tubelets.id"),
        *_texts("axis", "value", "annotator"),
        sa.Column("from_predicted", sa.Text, nullable=True),
        *_texts("origin", "made_at"),
        sa.Column("frame", sa.BigInteger, nullable=True),
        sa.Column("box", sa.Text, nullable=True),
        sa.Column("pose", sa.LargeBinary, nullable=True),
    )
    op.create_index("ix_annotations_axis", "annotations", ["axis"])
    _create(
        "scores",
        *_texts("run"),
        _parent("tubelet_id", "tubelets.id"),
        *_texts("axis", "label", "suggested"),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("loss", sa.Double, nullable=False),
        *_texts("method", "model"),
        sa.Column("out_of_sample", sa.Boolean, nullable=False),
        sa.UniqueConstraint("run", "axis", "method", "tubelet_id"),
    )
    value = sa.Column("value", sa.Text, nullable=True)
    _create("verdicts", _id(), _parent("tubelet_id", "tubelets.id"), *_texts("axis", "kind", "curator", "made_at"), value)
    op.create_index("ix_verdicts_axis", "verdicts", ["axis"])
    _create("records", *_texts("kind", "id", "payload"), sa.UniqueConstraint("kind", "id"))


def _protect(table: str) -> None:
    message = f"{table} is append-only: add a row instead"
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        return
    function = f"{table}_refuse_change"
    op.execute(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{message}'; END $$")
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
    )
