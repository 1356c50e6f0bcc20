"""Fetching archives and reading their members safely."""
