"""Meters that users attached to boards"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "meters",
        sa.Column("device_id", sa.String(32), nullable=False),
        sa.Column("spec", sa.String(1000), nullable=False),
        sa.Column("attached_by", sa.String(64), nullable=False),
        sa.Column("attached_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_meters_device_id"),
        sa.PrimaryKeyConstraint("device_id", "spec", name="pk_meters"),
    )


def downgrade() -> None:
    op.drop_table("meters")
