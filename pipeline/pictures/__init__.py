"""Decoding pictures, colour, cameras, and drawing voxels."""
