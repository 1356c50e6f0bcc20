"""The renderer beside other renderers."""
