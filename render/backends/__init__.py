"""The ways to draw a picture: the built-in rasterizer and OpenGL."""
