"""Where shapes come from: one adapter a data set; pipeline/settings/sources.py is the table of them."""
