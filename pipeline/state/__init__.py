"""What one command of a run leaves for the next, and for people: JSON, tables, sums of files, records, safe text."""
