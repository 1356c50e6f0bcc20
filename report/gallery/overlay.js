// A view with the voxels drawn over it, from the camera that took it.

const CORNERS = [[0, 0], [1, 0], [1, 1], [0, 1]];

/** The outer squares of a grid that look towards `eye`: { points: 12 numbers a square, axes: 2 * axis + side }. */
function squaresTowards(grid, resolution, eye) {
  const points = [], axes = [], strides = [resolution * resolution, resolution, 1];
  const cell = [0, 0, 0];
  for (let at = 0; at < grid.length; at++) {
    if (!grid[at]) continue;
    cell[0] = Math.floor(at / strides[0]); cell[1] = Math.floor(at / resolution) % resolution; cell[2] = at % resolution;
    for (let axis = 0; axis < 3; axis++) {
      for (let side = 0; side < 2; side++) {
        const edge = cell[axis] + side;
        const beside = side ? cell[axis] + 1 : cell[axis] - 1;
        const plane = edge / resolution - 0.5;
        if (side ? eye[axis] <= plane : eye[axis] >= plane) continue;
        if (beside >= 0 && beside < resolution && grid[at + (side ? strides[axis] : -strides[axis])]) continue;
        const u = (axis + 1) % 3, v = (axis + 2) % 3;
        for (const [a, b] of CORNERS) {
          const point = [0, 0, 0];
          point[axis] = plane;
          point[u] = (cell[u] + a) / resolution - 0.5;
          point[v] = (cell[v] + b) / resolution - 0.5;
          points.push(...point);
        }
        axes.push(2 * axis + side);
      }
    }
  }
  return { points: Float64Array.from(points), axes };
}

/** Paint the voxels on a 2D context whose picture is `scale` times as large as the camera's; far squares first. */
function paintVoxels(pen, grid, resolution, camera, scale, colour) {
  const squares = squaresTowards(grid, resolution, eyeOf(camera));
  const seen = project(squares.points, camera);
  const depth = squares.axes.map((_, n) => seen[12 * n + 2] + seen[12 * n + 5] + seen[12 * n + 8] + seen[12 * n + 11]);
  const order = squares.axes.map((_, n) => n).sort((a, b) => depth[b] - depth[a]);
  const shade = [0.78, 0.78, 0.6, 1.12, 0.94, 0.94];  // -x +x -y +y -z +z: light from above
  const tones = shade.map((s) => `rgb(${colour.map((c) => Math.min(255, Math.round(c * s))).join(" ")})`);
  pen.lineWidth = 0.6;
  for (const n of order) {
    pen.beginPath();
    for (let corner = 0; corner < 4; corner++) {
      pen.lineTo(seen[12 * n + 3 * corner] * scale, seen[12 * n + 3 * corner + 1] * scale);
    }
    pen.closePath();
    pen.fillStyle = pen.strokeStyle = tones[squares.axes[n]];
    pen.fill();
    pen.stroke();  // closes the hair line between neighbours
  }
}

/** The voxels alone, opaque, on a canvas of `side` pixels; `sizePx` is what the camera's numbers are for. */
function voxelLayer(side, grid, resolution, camera, sizePx) {
  const layer = new OffscreenCanvas(side, side);
  paintVoxels(layer.getContext("2d"), grid, resolution, camera, side / sizePx, [40, 118, 225]);
  return layer;
}

/** Draw a picture and, `opacity` strong, the voxels over it; `source` is [x, y, side] within `image`. */
function drawOverlay(canvas, image, source, layer, opacity) {
  const pen = canvas.getContext("2d");
  pen.globalAlpha = 1;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, source[0], source[1], source[2], source[2], 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = opacity;
  pen.drawImage(layer, 0, 0);
  pen.globalAlpha = 1;
}
