"""Reading, cleaning, measuring and writing meshes."""
