"""Views of a normalised mesh: cameras, lights, backends, backgrounds, contact sheets, checks."""
