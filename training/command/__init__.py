"""The command lines of the training."""
