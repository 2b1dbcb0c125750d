"""Keys in the order in which rows come and are looked for.

A reading's key begins with its time: what arrives in one second lies side by side, not on a page for each station. An
event's key has its number before what makes numbers unique: one is found without reading all of its transaction.
"""

from alembic import op

revision = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    _key("meter_value", "uq_meter_value", ["device_at", "station", "evse", "digest"])
    _key("transaction_event", "uq_transaction_event", ["station", "transaction", "seq_no", "generation", "numbering"])


def _key(table: str, name: str, columns: list[str]) -> None:
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(name, type_="unique")
        batch.create_unique_constraint(name, columns)
