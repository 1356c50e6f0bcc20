"""Measuring a trained network and comparing experiments."""
