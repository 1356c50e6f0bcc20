"""glTF 2.0 files become a `Mesh`: container, accessors, scene, materials; read.py tells the story."""
