"""An OBJ reader that is plain and slow: one line after the other, as the format's manual says."""

from __future__ import annotations


def plain_obj(text: str) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]], list[list[tuple[int, int]]]]:
    """Positions with what stands behind them, texture coordinates, and faces as (position, coordinate) corners."""
    positions: list[tuple[float, ...]] = []
    coordinates: list[tuple[float, ...]] = []
    faces: list[list[tuple[int, int]]] = []
    for line in text.replace("\\\n", " ").split("\n"):
        key, *words = line.split("#")[0].split() or [""]
        if key == "v":
            positions.append(tuple(float(word) for word in words))
        elif key == "vt":
            coordinates.append(tuple(float(word) for word in words))
        elif key == "f":
            face = []
            for word in words:
                slots = [int(slot) if slot else 0 for slot in (*word.split("/"), "", "")[:2]]
                counts = (len(positions), len(coordinates))
                at = [slot - 1 if slot > 0 else count + slot if slot else -1 for slot, count in zip(slots, counts)]
                face.append((at[0], at[1]))
            faces.append(face)
    return positions, coordinates, faces
