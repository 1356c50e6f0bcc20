"""A trained network in a page that a browser runs."""
