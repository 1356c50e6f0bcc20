// What Python packed: base64, then zlib (or gzip), then little-endian arrays.

/** The bytes behind a text. */
async function inflate(text, format = "deflate") {
  const signs = atob(text), packed = new Uint8Array(signs.length);
  for (let at = 0; at < packed.length; at++) packed[at] = signs.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream(format));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A mesh as { positions: Float32Array 3 V, faces: Uint16Array 3 F, palette: 3 P, places: F }. */
async function unpackMesh(text) {
  const bytes = await inflate(text);
  const [vertices, faces, colours] = new Uint32Array(bytes.buffer, 0, 3);
  const palette = bytes.subarray(12, 12 + 3 * colours);
  let at = 12 + Math.ceil(3 * colours / 4) * 4;
  const numbers = (count) => {
    const values = new Uint16Array(bytes.buffer, at, count).slice();
    for (let i = 1; i < count; i++) values[i] += values[i - 1];  // wraps around, as the writer did
    at += 2 * count;
    return values;
  };
  const positions = new Float32Array(3 * vertices);
  for (let axis = 0; axis < 3; axis++) {
    numbers(vertices).forEach((step, vertex) => { positions[3 * vertex + axis] = step / 4095 - 0.5; });
  }
  const corners = numbers(3 * faces);
  return { positions, faces: corners, palette, places: bytes.subarray(at, at + faces) };
}

/** A grid as one byte a voxel, x slowest, z fastest. */
async function unpackVoxels(text, resolution) {
  const bits = await inflate(text);
  const grid = new Uint8Array(resolution ** 3);
  for (let i = 0; i < grid.length; i++) grid[i] = bits[i >> 3] >> (7 - (i & 7)) & 1;
  return grid;
}

/** Of two grids of one byte a voxel; 1 where both are empty. */
function iou(one, other) {
  let both = 0, either = 0;
  for (let at = 0; at < one.length; at++) {
    both += one[at] & other[at];
    either += one[at] | other[at];
  }
  return either ? both / either : 1;
}
