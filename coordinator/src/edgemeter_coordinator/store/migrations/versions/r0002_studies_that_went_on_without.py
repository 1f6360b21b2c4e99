"""Which variants a study went on without"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("study_variants", sa.Column("error", sa.Text(), nullable=True))
    op.execute(
        sa.text(
            "UPDATE study_variants"
            " SET error = (SELECT error FROM variants WHERE variants.id = study_variants.variant_id)"
            " WHERE variant_id IN (SELECT id FROM variants WHERE state = 'failed')"
            " AND study_id NOT IN (SELECT study_id FROM jobs WHERE state = 'waiting')"
        )
    )


def downgrade() -> None:
    op.drop_column("study_variants", "error")
