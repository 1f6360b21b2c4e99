"""Every metric of what devices gave"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("results", sa.Column("device_metrics", sa.LargeBinary()))


def downgrade() -> None:
    op.drop_column("results", "device_metrics")
