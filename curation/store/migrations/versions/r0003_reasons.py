"""Scores say how likely the label is wrong, what kind of trouble it is, and why."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; scores that are there already say nothing of it."""
    op.add_column("scores", sa.Column("wrong", sa.Double, nullable=True))
    op.add_column("scores", sa.Column("kind", sa.Text, nullable=True))
    op.add_column("scores", sa.Column("reason", sa.Text, nullable=True))
