"""Meshes to occupancy grids: binvox's modes without binvox, and one that keeps thin parts."""
