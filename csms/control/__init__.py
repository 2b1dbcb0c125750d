"""Everything that waits and decides *when*; what is decided comes from ``policies``."""
