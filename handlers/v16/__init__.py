"""OCPP 1.6 (JSON)."""
