"""The demo: a server and a simulated street as separate processes over real sockets, and what came of it."""

from csms.demo.show import run

__all__ = ["run"]
