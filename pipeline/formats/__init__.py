"""Files that one stage writes and another reads."""
