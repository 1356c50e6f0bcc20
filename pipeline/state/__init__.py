"""What one command of a run leaves for the next: JSON, tables, the sums of files, the records of jobs."""
