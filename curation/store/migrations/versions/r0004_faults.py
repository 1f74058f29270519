"""Scores say which keypoints and boxes cannot be right."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of scores that are there already, nobody has looked."""
    op.add_column("scores", sa.Column("faults", sa.Text, nullable=True))
