"""Compiled loops over triangles and voxels."""
