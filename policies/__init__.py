"""What is decided and why, as pure functions: frozen values in, frozen values out. Design §4."""

from policies.allocation import decide

__all__ = ["decide"]
