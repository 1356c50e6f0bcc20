// Shapes side by side in 3D under one camera: mesh and voxels in the gallery, truth and answer in the report.
// Bundled with three.js into dist/scene.js (`npm run build`), where it is `Scene3D`; the pages work without it.

import {
  AmbientLight, BufferAttribute, BufferGeometry, CanvasTexture, Color, DirectionalLight, DoubleSide, Group, LineBasicMaterial,
  LineSegments, Mesh, MeshLambertMaterial, PerspectiveCamera, Plane, Scene, Sprite, SpriteMaterial, SRGBColorSpace, Vector3,
  WebGLRenderer,
} from "three";
import { Orbit } from "./orbit.js";
import { surfaceOf } from "./surface.js";
import { voxelGeometry } from "./voxels.js";

export { surfaceOf };

const X = "#d0453a", Y = "#2e8b57", Z = "#3a6fd0";  // the usual red, green, blue for x, y, z
const VIEW_DEG = 32;  // field of view of the shorter side
const CUT = [new Vector3(-1, 0, 0), new Vector3(0, -1, 0), new Vector3(0, 0, -1)];  // what lies beyond goes

/** Take over a canvas; draws when something has changed and never by itself. */
export function start(canvas, resolution, colours) {
  return new SideBySide(canvas, resolution, colours);
}

/** The same for an answer in levels: what it stands beside, its voxels at a threshold, its surface there. */
export function startShapes(canvas, colours) {
  return new Shapes(canvas, colours);
}

/** Some scenes that share a camera, in one canvas. */
class Panels {
  constructor(canvas, count, colours) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.localClippingEnabled = true;
    this.renderer.autoClear = false;
    this.camera = new PerspectiveCamera(VIEW_DEG, 1, 0.05, 20);
    this.cubes = new MeshLambertMaterial({ vertexColors: true });
    this.contents = Array.from({ length: count }, () => new Group());
    this.first = 0;  // panels before this one are not shown
    this.scenes = this.contents.map((content) => this.furnish(content));
    this.drawAxes(colours);
    this.orbit = new Orbit(canvas, this.camera, () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** A scene with light from the camera's upper left and the axes of the world. */
  furnish(content) {
    const scene = new Scene();
    scene.add(content, new AmbientLight(0xffffff, 1.3));
    const lamp = new DirectionalLight(0xffffff, 2.2);
    lamp.position.set(-0.6, 1, 0.8);  // in the camera's own axes
    const carrier = new Group();
    carrier.add(lamp, lamp.target);
    scene.add(carrier);
    scene.userData.carrier = carrier;
    return scene;
  }

  /** Axes and their names in the page's colours. */
  drawAxes(colours) {
    this.colours = colours;
    for (const scene of this.scenes) {
      scene.userData.axes?.removeFromParent();
      scene.userData.axes = axes(colours);
      scene.add(scene.userData.axes);
    }
  }

  /** Put one object into a panel in place of what is there. */
  put(panel, object) {
    for (const old of this.contents[panel].children.splice(0)) old.geometry.dispose();
    if (object) this.contents[panel].add(object);
  }

  /** Look from an azimuth and elevation of conventions.py, in degrees. */
  look(azimuth, elevation) {
    this.orbit.look(azimuth, elevation);
  }

  /** All scenes, side by side, or one over the other where the canvas is narrow. */
  draw() {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!width || !height || !this.orbit) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    const shown = this.scenes.slice(this.first), wide = width > height, count = shown.length;
    const w = wide ? width / count : width, h = wide ? height : height / count;
    this.camera.aspect = w / h;
    const half = Math.tan(VIEW_DEG / 2 * Math.PI / 180) / Math.min(1, w / h);
    this.camera.fov = 2 * Math.atan(half) * 180 / Math.PI;
    this.camera.updateProjectionMatrix();
    this.renderer.setScissorTest(true);
    shown.forEach((scene, place) => {
      const x = wide ? place * w : 0, y = wide ? 0 : (count - 1 - place) * h;
      this.renderer.setViewport(x, y, w, h);
      this.renderer.setScissor(x, y, w, h);
      scene.userData.carrier.quaternion.copy(this.camera.quaternion);
      this.renderer.clear();
      this.renderer.render(scene, this.camera);
    });
  }
}

class Shapes extends Panels {
  constructor(canvas, colours) {
    super(canvas, 3, colours);
    this.smooth = new MeshLambertMaterial();
  }

  /** Axes in other colours. */
  recolour(colours) {
    this.drawAxes(colours);
    this.draw();
  }

  /** Show a grid of one byte a voxel (null: there is none) beside levels, filled from `step` on. */
  show(beside, levels, step, resolution, [first, second]) {
    const filled = levels.map((level) => (level >= step ? 1 : 0));
    this.first = beside ? 0 : 1;
    [[beside ?? filled, first], [filled, second]].forEach(([grid, colour], panel) => {
      this.put(panel, new Mesh(voxelGeometry(grid, resolution, 1, resolution, new Color(colour)), this.cubes));
    });
    this.smooth.color.set(second);
    this.put(2, new Mesh(surfaceOf(levels, resolution, step), this.smooth));
    this.draw();
  }
}

class SideBySide extends Panels {
  constructor(canvas, resolution, colours) {
    super(canvas, 2, colours);
    this.resolution = resolution;
    this.plane = new Plane(CUT[1].clone(), 1);
    this.surface = new MeshLambertMaterial({ vertexColors: true, side: DoubleSide, flatShading: true, clippingPlanes: [this.plane] });
  }

  /** Axes and voxels in other colours. */
  recolour(colours) {
    this.drawAxes(colours);
    if (this.grid) this.fill();
    else this.draw();
  }

  /** Show a mesh (null: there is none) beside a grid of one byte a voxel. */
  show(mesh, grid) {
    this.grid = grid;
    this.put(0, mesh && new Mesh(surfaceGeometry(mesh), this.surface));
    this.fill();
  }

  /** Keep the layers below `layers` along an axis, of the mesh and of the voxels. */
  cut(axis, layers) {
    this.keep = { axis, layers };
    this.plane.normal.copy(CUT[axis]);
    // All layers: the plane moves out of the box, so that it does not shave the surface.
    this.plane.constant = layers >= this.resolution ? 1 : layers / this.resolution - 0.5;
    if (this.grid) this.fill();
  }

  fill() {
    const { axis, layers } = this.keep ?? { axis: 1, layers: this.resolution };
    this.put(1, new Mesh(voxelGeometry(this.grid, this.resolution, axis, layers, new Color(this.colours.voxel)), this.cubes));
    this.draw();
  }
}

/** Triangles with one colour each. */
function surfaceGeometry({ positions, faces, palette, places }) {
  const corners = new Float32Array(3 * faces.length), colours = new Float32Array(3 * faces.length);
  const colour = new Color();
  for (let corner = 0; corner < faces.length; corner++) {
    const place = 3 * places[Math.floor(corner / 3)];
    colour.setRGB(palette[place] / 255, palette[place + 1] / 255, palette[place + 2] / 255, SRGBColorSpace);
    colour.toArray(colours, 3 * corner);
    corners.set(positions.subarray(3 * faces[corner], 3 * faces[corner] + 3), 3 * corner);
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(corners, 3));
  geometry.setAttribute("color", new BufferAttribute(colours, 3));
  return geometry;
}

/** The unit box, an arrow and a name for each axis at its lower corner, and the front. */
function axes(colours) {
  const group = new Group();
  const h = 0.5, box = [];
  for (const [a, b] of [[-h, -h], [-h, h], [h, -h], [h, h]]) {
    box.push([-h, a, b], [h, a, b], [a, -h, b], [a, h, b], [a, b, -h], [a, b, h]);
  }
  group.add(lines(box, colours.line));
  const origin = [-h, -h, -h], reach = 0.68;
  [[X, "x"], [Y, "y up"], [Z, "z"]].forEach(([colour, name], axis) => {
    const tip = [...origin];
    tip[axis] = reach;
    group.add(lines([origin, tip], colour));
    const place = [...origin];
    place[axis] = reach + 0.07;
    group.add(label(name, colour, place));
  });
  // The front is the side at -z: a pointer on the floor, and its name.
  group.add(lines([[-0.12, -h, -h], [0, -h, -0.66], [0, -h, -0.66], [0.12, -h, -h]], colours.ink));
  group.add(label("front", colours.ink, [0, -h, -0.76]));
  return group;
}

function lines(points, colour) {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(Float32Array.from(points.flat()), 3));
  return new LineSegments(geometry, new LineBasicMaterial({ color: colour }));
}

function label(text, colour, place) {
  const canvas = document.createElement("canvas");
  canvas.width = 192;
  canvas.height = 64;
  const pen = canvas.getContext("2d");
  pen.font = "600 40px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillStyle = colour;
  pen.fillText(text, 96, 32);
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  const sprite = new Sprite(new SpriteMaterial({ map: texture, depthTest: false }));
  sprite.scale.set(0.24, 0.08, 1);
  sprite.position.set(...place);
  return sprite;
}
