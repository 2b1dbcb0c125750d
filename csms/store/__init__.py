"""SQL lives here and nowhere else: rows never leave, domain values come in and go out (design §3)."""

from csms.store.batch import Write
from csms.store.schema import migrate
from csms.store.store import Store, open_store
from csms.store.writer import Writer

__all__ = ["Store", "Write", "Writer", "migrate", "open_store"]
