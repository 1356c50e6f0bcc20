"""Commands by which a person looks after a run."""
