"""The trainer: networks, losses, the three-step update, the loop and its evaluation."""
