"""Pictures as input: kept once each, and which jobs are drawn from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("notes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("added_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_uploads")),
    )
    op.create_table(
        "job_uploads",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("upload_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_uploads_job_id")),
        sa.ForeignKeyConstraint(["upload_hash"], ["uploads.hash"], name=op.f("fk_job_uploads_upload_hash")),
        sa.PrimaryKeyConstraint("job_id", "upload_hash", name=op.f("pk_job_uploads")),
    )
    with op.batch_alter_table("job_uploads") as batch_op:
        batch_op.create_index("ix_job_uploads_upload_hash", ["upload_hash"])
