"use strict";
// The pinhole camera of the shards, as in pipeline/camera.py: world +Y up, -Z front; pixels as
// (column, row), pixel (row, column) covers [column, column + 1) x [row, row + 1).
//
// camera = { K: [fx, fy, cx, cy] in pixels, pose: camera_to_world, 3 x 4 row by row }

/** World points [x, y, z, ...] -> [column, row, depth, ...]; depth runs along the view axis, <= 0 lies behind. */
function project(points, camera) {
  const [fx, fy, cx, cy] = camera.K, p = camera.pose;
  const out = new Float64Array(points.length);
  for (let at = 0; at < points.length; at += 3) {
    const x = points[at] - p[3], y = points[at + 1] - p[7], z = points[at + 2] - p[11];
    // World to camera is the transposed rotation; the camera looks along its own -Z.
    const right = x * p[0] + y * p[4] + z * p[8];
    const up = x * p[1] + y * p[5] + z * p[9];
    const depth = -(x * p[2] + y * p[6] + z * p[10]);
    out[at] = fx * right / depth + cx;
    out[at + 1] = -fy * up / depth + cy;
    out[at + 2] = depth;
  }
  return out;
}

/** Where the camera stands, in unit-box sides. */
function eyeOf(camera) {
  return [camera.pose[3], camera.pose[7], camera.pose[11]];
}
