"""The parts of a training run that the loop puts together."""
