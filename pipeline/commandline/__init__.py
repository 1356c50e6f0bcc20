"""What the command lines of all rooms have in common; no stage's work depends on it."""
