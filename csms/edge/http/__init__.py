"""The HTTP side of the server: the API under /api/v1, the driver's page under /d, health."""
