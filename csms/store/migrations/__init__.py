"""Alembic's scripts, shipped inside the package. A new one: ``versions/r<number>_<what>.py``, for both engines."""
