// Voxels as the squares between what is filled and what is not.

import { BufferAttribute, BufferGeometry } from "three";

/** Geometry of a grid's layers below `layers` along `axis`; each second voxel a little darker, so that they can be counted. */
export function voxelGeometry(grid, resolution, axis, layers, colour) {
  const strides = [resolution * resolution, resolution, 1];
  const kept = (cell) => cell.every((place) => place >= 0 && place < resolution) && cell[axis] < layers
    && grid[cell[0] * strides[0] + cell[1] * strides[1] + cell[2]];
  const positions = [], normals = [], colours = [], corners = [];
  for (let at = 0; at < grid.length; at++) {
    if (!grid[at]) continue;
    const cell = [Math.floor(at / strides[0]), Math.floor(at / strides[1]) % resolution, at % resolution];
    if (cell[axis] >= layers) continue;
    const tone = (cell[0] + cell[1] + cell[2]) % 2 ? 0.9 : 1;
    for (let face = 0; face < 6; face++) {
      const a = face >> 1, side = face & 1;
      const beside = [...cell];
      beside[a] += side ? 1 : -1;
      if (kept(beside)) continue;
      square(cell, a, side, resolution, positions, corners);
      for (let corner = 0; corner < 4; corner++) {
        normals.push(...[0, 1, 2].map((n) => (n === a ? (side ? 1 : -1) : 0)));
        colours.push(colour.r * tone, colour.g * tone, colour.b * tone);
      }
    }
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(Float32Array.from(positions), 3));
  geometry.setAttribute("normal", new BufferAttribute(Float32Array.from(normals), 3));
  geometry.setAttribute("color", new BufferAttribute(Float32Array.from(colours), 3));
  geometry.setIndex(new BufferAttribute(Uint32Array.from(corners), 1));
  return geometry;
}

/** Four corners and two triangles, counter-clockwise seen from outside. */
function square(cell, axis, side, resolution, positions, corners) {
  const first = positions.length / 3, u = (axis + 1) % 3, v = (axis + 2) % 3;
  for (const [a, b] of [[0, 0], [1, 0], [1, 1], [0, 1]]) {
    const corner = [...cell];
    corner[axis] += side;
    corner[u] += a;
    corner[v] += b;
    positions.push(...corner.map((place) => place / resolution - 0.5));
  }
  const [p, q] = side ? [1, 2] : [2, 1];
  corners.push(first, first + p, first + q, first, first + p + 1, first + q + 1);
}
