"""What the stages agree on: conventions, configuration, file formats, sources."""
