"""The room of what stations say: facts are stored, answered, and projected onto live state."""
