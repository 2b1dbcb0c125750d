"""What would have flowed without an event is called the counterfactual."""

from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    op.alter_column("setpoint", "baseline_w", new_column_name="counterfactual_w")
