"""The programs that can voxelize a mesh."""
