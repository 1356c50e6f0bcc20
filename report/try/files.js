// The surface as .glb, .obj and .stl and the voxels as .binvox, each in the axes that their readers expect
// (pipeline/meshes/frames.py): the world here is +Y up, -Z front.

const FRAMES = {
  glb: ([x, y, z]) => [-x, y, -z],  // +Z front
  obj: (point) => point,
  stl: ([x, y, z]) => [-x, z, y],  // +Z up, -Y front
};
const SURFACE = [150, 170, 190];  // sRGB, as `training reconstruct` colours it
const WRITERS = { glb: glbOf, obj: objOf, stl: stlOf };

/** Bytes of a file; shape = { levels, threshold, resolution }. */
function fileOf(format, shape) {
  if (format === "binvox") return binvoxOf(shape);
  const geometry = Scene3D.surfaceOf(shape.levels, shape.resolution, shape.threshold);
  const at = geometry.getAttribute("position").array, points = [];
  for (let n = 0; n < at.length; n += 3) points.push(FRAMES[format]([at[n], at[n + 1], at[n + 2]]));
  return WRITERS[format]({ points, corners: geometry.getIndex().array });
}

/** https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html, section 4.4: one binary chunk of corners and positions. */
function glbOf({ points, corners }) {
  const positions = Float32Array.from(points.flat()), indices = Uint32Array.from(corners);
  const linear = SURFACE.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  const reach = (pick) => [0, 1, 2].map((axis) => points.reduce((found, point) => pick(found, point[axis]), points[0][axis]));
  const json = JSON.stringify({
    asset: { version: "2.0" }, scene: 0, scenes: [{ nodes: [0] }], nodes: [{ mesh: 0 }],
    meshes: [{ primitives: [{ attributes: { POSITION: 1 }, indices: 0, material: 0 }] }],
    materials: [{ name: "reconstruction", pbrMetallicRoughness: { baseColorFactor: [...linear, 1], metallicFactor: 0 } }],
    buffers: [{ byteLength: indices.byteLength + positions.byteLength }],
    bufferViews: [
      { buffer: 0, byteOffset: 0, byteLength: indices.byteLength, target: 34963 },
      { buffer: 0, byteOffset: indices.byteLength, byteLength: positions.byteLength, target: 34962 },
    ],
    accessors: [
      { bufferView: 0, componentType: 5125, count: indices.length, type: "SCALAR" },
      { bufferView: 1, componentType: 5126, count: points.length, type: "VEC3", min: reach(Math.min), max: reach(Math.max) },
    ],
  });
  const text = new TextEncoder().encode(json + " ".repeat(-json.length & 3));
  const binary = [new Uint8Array(indices.buffer), new Uint8Array(positions.buffer)];
  const length = indices.byteLength + positions.byteLength;
  const words = (...values) => new Uint8Array(Uint32Array.from(values).buffer);
  return joined([words(0x46546c67, 2, 28 + text.length + length), words(text.length, 0x4e4f534a), text, words(length, 0x004e4942), ...binary]);
}

function objOf({ points, corners }) {
  const lines = points.map((point) => `v ${point.map((value) => value.toFixed(6)).join(" ")}`);
  for (let n = 0; n < corners.length; n += 3) lines.push(`f ${corners[n] + 1} ${corners[n + 1] + 1} ${corners[n + 2] + 1}`);
  return new TextEncoder().encode(`${lines.join("\n")}\n`);
}

/** 80 bytes, the count, then normal, three corners and a 16-bit zero for each face. */
function stlOf({ points, corners }) {
  const count = corners.length / 3, view = new DataView(new ArrayBuffer(84 + 50 * count));
  view.setUint32(80, count, true);
  for (let face = 0; face < count; face++) {
    const [a, b, c] = [0, 1, 2].map((n) => points[corners[3 * face + n]]);
    const u = b.map((value, axis) => value - a[axis]), v = c.map((value, axis) => value - a[axis]);
    const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const length = Math.hypot(...normal) || 1;
    [...normal.map((value) => value / length), ...a, ...b, ...c].forEach((value, n) => {
      view.setFloat32(84 + 50 * face + 4 * n, value, true);
    });
  }
  return new Uint8Array(view.buffer);
}

/** pipeline/formats/binvox.py: x slowest, then z, then y; pairs of value and count, runs cut at 255. */
function binvoxOf({ levels, threshold, resolution: n }) {
  const head = `#binvox 1\ndim ${n} ${n} ${n}\ntranslate -0.5 -0.5 -0.5\nscale 1\ndata\n`;
  const pairs = [];
  for (let x = 0; x < n; x++) for (let z = 0; z < n; z++) for (let y = 0; y < n; y++) {
    const value = levels[(x * n + y) * n + z] >= threshold ? 1 : 0, last = pairs.length - 2;
    if (last >= 0 && pairs[last] === value && pairs[last + 1] < 255) pairs[last + 1]++;
    else pairs.push(value, 1);
  }
  return joined([new TextEncoder().encode(head), Uint8Array.from(pairs)]);
}

function joined(parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => { out.set(part, at); return at + part.length; }, 0);
  return out;
}

/** Give bytes to the reader under a name. */
function save(name, bytes) {
  const link = make("a", "", { download: name, href: URL.createObjectURL(new Blob([bytes])) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
