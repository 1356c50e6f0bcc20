"""Numbers on arrays; torch is not imported here."""
