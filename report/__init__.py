"""The page that a person opens to see data, training and results."""
