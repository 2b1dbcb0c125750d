"""The room of deciding: snapshot, decision, checks, setpoints on their way, and whether they are followed."""
