"""The version of the whole project.

It is written here and nowhere else: pyproject.toml reads it, every command prints it for ``--version``, and a test
holds CITATION.cff and CHANGELOG.md to it.  No stage imports it, for a stage that did would be run again at every
release.
"""

VERSION = "0.2.0"
