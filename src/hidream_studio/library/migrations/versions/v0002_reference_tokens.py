"""What pictures as input cost: their patches, which run in every forward."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cost_samples", sa.Column("reference_tokens", sa.Integer(), nullable=False, server_default="0"))
