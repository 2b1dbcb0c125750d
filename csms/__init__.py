"""Tidewatt: an OCPP central system and resource aggregator for electric vehicles."""

__version__ = "0.1.0"
