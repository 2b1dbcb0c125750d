"""Alembic runs this; the connection is handed over by ``csms.store.schema``."""

from alembic import context

from csms.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
context.run_migrations()
