"""The voxelizer beside other voxelizers."""
