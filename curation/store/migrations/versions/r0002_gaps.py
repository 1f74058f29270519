"""Clips say where frames are lost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of clips that are there already, no loss is known."""
    op.add_column("clips", sa.Column("gaps", sa.Text, nullable=False, server_default="[]"))
