"""Stages that recipes share, and what is known of models and data that train"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("function", sa.String(256), nullable=False, server_default=""))
    op.add_column("models", sa.Column("inputs", sa.LargeBinary(), nullable=True))
    op.add_column("models", sa.Column("description", sa.LargeBinary(), nullable=True))
    op.add_column("datasets", sa.Column("canonical_blob", sa.String(64), nullable=True))
    op.add_column("datasets", sa.Column("training_digest", sa.String(64), nullable=True))
    op.create_table(
        "stages",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("blob", sa.String(64), nullable=False),
        sa.Column("file_name", sa.String(256), nullable=False),
        sa.Column("stage", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_digest"], ["models.digest"], name="fk_stages_model_digest"),
        sa.PrimaryKeyConstraint("id", name="pk_stages"),
    )


def downgrade() -> None:
    op.drop_table("stages")
    op.drop_column("datasets", "training_digest")
    op.drop_column("datasets", "canonical_blob")
    op.drop_column("models", "description")
    op.drop_column("models", "inputs")
    op.drop_column("models", "function")
