"""The plan that the Snakefile reads."""
