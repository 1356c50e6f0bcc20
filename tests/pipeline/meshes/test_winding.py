"""Faces are turned round where that is certain, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from pipeline.conventions import MARGIN
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.normalise import normalise
from pipeline.meshes.winding import wrong_faces


def box(size: float = 1.0, centre: tuple[float, float, float] = (0, 0, 0)) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.box((size,) * 3)
    return np.array(mesh.vertices) + centre, np.array(mesh.faces)


def both(*parts: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts])
    return (
        np.concatenate([vertices for vertices, _ in parts]),
        np.concatenate([faces + start for (_, faces), start in zip(parts, starts)]),
    )


@pytest.mark.parametrize("seed", range(5))
def test_any_flipped_faces_of_closed_surfaces_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ball, ring = trimesh.creation.icosphere(2), trimesh.creation.torus(2.0, 0.4)
    vertices, faces = both((ball.vertices, ball.faces), (ring.vertices + (9, 0, 0), ring.faces), box(1, (0, 9, 0)))
    flipped = rng.random(len(faces)) < rng.random()
    faces = np.where(flipped[:, None], faces[:, ::-1], faces)
    assert (wrong_faces(vertices, faces) == flipped).all()


@pytest.mark.parametrize("what", ["open", "three faces at an edge", "moebius"])
def test_what_has_no_outside_stays_as_it_is(what: str) -> None:
    vertices, faces = box()
    if what == "open":
        faces = faces[1:]
    elif what == "moebius":
        turn = np.linspace(0, np.pi, 9)[:-1]
        edge = np.stack([np.cos(2 * turn), np.sin(2 * turn), 0 * turn], axis=1)
        side = 0.3 * np.stack([np.cos(turn) * np.cos(2 * turn), np.cos(turn) * np.sin(2 * turn), np.sin(turn)], axis=1)
        vertices = np.concatenate([edge - side, edge + side])
        quads = [(n, (n + 1) % 8 + 8 * (n == 7), (n + 1) % 8 + 8 * (n != 7), n + 8) for n in range(8)]
        faces = np.array([[a, b, c] for a, b, c, _ in quads] + [[a, c, d] for a, _, c, d in quads])
    else:
        vertices = np.concatenate([vertices, [[5, 5, 5]]])
        faces = np.concatenate([faces, [[faces[0, 0], faces[0, 1], 8]]])
    faces[::2] = faces[::2, ::-1]
    assert not wrong_faces(vertices, faces).any()


def test_the_inner_wall_of_a_hollow_keeps_looking_inwards() -> None:
    inner = box(0.5)[0], box(0.5)[1][:, ::-1]
    assert not wrong_faces(*both(box(), inner)).any()
    one_wrong = inner[1].copy()
    one_wrong[3] = one_wrong[3, ::-1]
    assert wrong_faces(*both(box(), (inner[0], one_wrong))).nonzero()[0].tolist() == [12 + 3]


def test_a_heap_of_very_many_parts_is_made_to_agree_only() -> None:
    rng = np.random.default_rng(0)
    heap = both(*[box(0.01, tuple(rng.random(3) * 100)) for _ in range(4100)])
    assert not wrong_faces(heap[0], heap[1][:, ::-1]).any()


def test_prepare_turns_and_counts_them_and_leaves_places_alone() -> None:
    vertices, faces = box()
    faces[4:7] = faces[4:7, ::-1]
    # Every corner has vertices of its own, as where texture coordinates differ.
    mesh = Mesh(vertices[faces.reshape(-1)], np.arange(36).reshape(12, 3))
    mesh.vertex_colours = np.full((36, 4), 255, dtype=np.uint8)
    placed, _, repairs = normalise(mesh, np.eye(3), max_faces=100)
    assert repairs["reoriented_faces"] == 3
    corners = placed.triangles
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume == pytest.approx((1 - 2 * MARGIN) ** 3, rel=1e-6)
