"""The room that lets go of what is no longer needed."""
