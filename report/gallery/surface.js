// The surface of real-valued voxels at a level, by naive surface nets: one vertex in each cell of eight voxel centres
// that the surface passes, at the mean of its crossings with the cell's edges (Gibson, "Constrained elastic surface
// nets", MICCAI 1998), and a square for each edge that it crosses.

import { BufferAttribute, BufferGeometry } from "three";

const CORNERS = [0, 1, 2, 3, 4, 5, 6, 7].map((bits) => [bits >> 2, bits >> 1 & 1, bits & 1]);
const EDGES = CORNERS.flatMap((corner, a) => [4, 2, 1].filter((bit) => !(a & bit)).map((bit) => [a, a | bit]));

/** Geometry of where `levels` (one a voxel, x slowest) pass from below `step` to it; outside the grid they are 0. */
export function surfaceOf(levels, resolution, step) {
  const n = resolution, side = n + 2;  // a border of empty voxels closes the surface
  const inside = (place) => place > 0 && place <= n;
  const value = (x, y, z) => (inside(x) && inside(y) && inside(z) ? levels[((x - 1) * n + y - 1) * n + z - 1] : 0) - step + 0.5;
  const cellOf = (x, y, z) => (x * side + y) * side + z;
  const vertices = new Int32Array(side ** 3).fill(-1);
  const positions = [], corners = [];
  for (let x = 0; x <= n; x++) for (let y = 0; y <= n; y++) for (let z = 0; z <= n; z++) {
    const values = CORNERS.map(([a, b, c]) => value(x + a, y + b, z + c));
    if (values.every((one) => one > 0) || values.every((one) => one < 0)) continue;
    const mean = [0, 0, 0];
    let crossings = 0;
    for (const [a, b] of EDGES) {
      if (values[a] > 0 === values[b] > 0) continue;
      const share = values[a] / (values[a] - values[b]);
      for (let axis = 0; axis < 3; axis++) mean[axis] += CORNERS[a][axis] + share * (CORNERS[b][axis] - CORNERS[a][axis]);
      crossings++;
    }
    vertices[cellOf(x, y, z)] = positions.length / 3;
    // Voxel i, at i + 1 with the border, has its centre at (i + 0.5) / n - 0.5.
    positions.push(...[x, y, z].map((place, axis) => (place + mean[axis] / crossings - 0.5) / n - 0.5));
  }
  for (let x = 1; x <= n; x++) for (let y = 1; y <= n; y++) for (let z = 1; z <= n; z++) {
    const here = value(x, y, z) > 0;
    for (let axis = 0; axis < 3; axis++) for (const towards of [1, -1]) {
      const beside = [x, y, z];
      beside[axis] += towards;
      if (!here || value(...beside) > 0) continue;
      // The four cells around the edge, counter-clockwise seen from outside.
      const u = (axis + 1) % 3, v = (axis + 2) % 3;
      const around = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([a, b]) => {
        const cell = [x, y, z];
        cell[axis] -= towards < 0 ? 1 : 0;
        cell[u] -= 1 - a;
        cell[v] -= 1 - b;
        return vertices[cellOf(...cell)];
      });
      const [a, b, c, d] = towards > 0 ? around : around.reverse();
      corners.push(a, b, c, a, c, d);
    }
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(Float32Array.from(positions), 3));
  geometry.setIndex(new BufferAttribute(Uint32Array.from(corners), 1));
  geometry.computeVertexNormals();
  return geometry;
}
