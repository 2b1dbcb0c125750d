"""The tests. ``tests.servers`` starts the real program for those that need it."""
