"""The loader beside the loaders of the field."""
