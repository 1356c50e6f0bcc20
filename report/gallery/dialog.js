// One shape in full: its views with the voxels over them, mesh and voxels in 3D, what is known of it.

const byId = (id) => document.getElementById(id);
const meta = JSON.parse(byId("meta").textContent);

/** Make an element; text is text, never markup. */
function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Pictures, meshes and voxels: some in this page, more in files beside it. */
const gallery = {
  inline: null,
  chunks: new Map(),  // number -> { promise, done, fail }

  /** Called by a file of gallery-data/ when it has loaded. */
  chunk(number, details) {
    this.chunks.get(number)?.done(details);
  },

  /** The details of a shape; asks for its file the first time. */
  async detail(shape) {
    if (shape.chunk === undefined) {
      this.inline ??= JSON.parse(byId("details").textContent);
      return this.inline[shape.key];
    }
    return (await this.load(shape.chunk))[shape.key];
  },

  load(number) {
    if (!this.chunks.has(number)) {
      const entry = {};
      entry.promise = new Promise((done, fail) => Object.assign(entry, { done, fail }));
      this.chunks.set(number, entry);
      const file = `${meta.dataFolder}/${String(number).padStart(3, "0")}.js`;
      const script = make("script", "", { src: file });
      script.onerror = () => {
        this.chunks.delete(number);
        entry.fail(new Error(`${file} is not beside this page: keep the folder together with it`));
      };
      document.head.append(script);
    }
    return this.chunks.get(number).promise;
  },
};

const opened = { shape: null, detail: null, grid: null, sheet: null, large: null, view: 0, layer: null, scene: undefined };

/** Fill and open the dialog; a later call wins over one that is still loading. */
async function openShape(shape) {
  opened.shape = shape;
  byId("shape-name").textContent = shape.name;
  const parts = [
    shape.category, shape.split, `silhouette IoU ${shape.iou.toFixed(2)}`,
    `${(100 * shape.occupancy).toFixed(1)} % of the grid filled`,
  ];
  if (shape.faces !== null) parts.push(`${shape.faces.toLocaleString("en")} faces`);
  byId("shape-line").textContent = parts.join(" · ");
  byId("shape-flags").replaceChildren(...flagItems(shape, true));
  if (!byId("shape").open) byId("shape").showModal();
  try {
    const detail = await gallery.detail(shape);
    const [grid, mesh, sheet, large] = await Promise.all([
      unpackVoxels(detail.voxels, meta.resolution), detail.mesh && unpackMesh(detail.mesh),
      pictureFrom(detail.picture ?? cardOf(shape).querySelector("img").src), detail.large && pictureFrom(detail.large),
    ]);
    if (opened.shape !== shape) return;
    Object.assign(opened, { detail, grid, sheet, large, view: 0 });
    byId("facts").replaceChildren(...detail.facts.map(([label, value]) => {
      const row = make("tr");
      row.append(make("th", label, { scope: "row" }), make("td", value));
      return row;
    }));
    showTiles();
    showView(0);
    showScene(mesh);
    byId("shape").dataset.ready = shape.key;
  } catch (error) {
    if (opened.shape === shape) byId("shape-line").textContent = error.message;
  }
}

/** A shape's flags as list items; with their meaning where there is room for it. */
function flagItems(shape, long = false) {
  return shape.flags.map((key) => {
    const flag = meta.flags[key];
    const turn = key === "axes" ? `: ${shape.way} ${shape.wayIou.toFixed(2)}` : "";
    const text = flag.label + turn + (long ? ` (${flag.meaning})` : "");
    return make("li", text, { title: flag.meaning, class: flag.problem ? "bad" : "" });
  });
}

async function pictureFrom(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** Place of a view within the sheet: [x, y, side]. */
function tileOf(number) {
  return [number % meta.columns * meta.tile, Math.floor(number / meta.columns) * meta.tile, meta.tile];
}

function showTiles() {
  byId("tiles").replaceChildren(...opened.detail.cameras.map((camera, number) => {
    const name = `view ${camera.view}, azimuth ${Math.round(camera.azimuth)} degrees`;
    const button = make("button", "", { type: "button", "aria-label": name });
    const canvas = make("canvas", "", { width: meta.tile, height: meta.tile });
    const [x, y, side] = tileOf(number);
    canvas.getContext("2d").drawImage(opened.sheet, x, y, side, side, 0, 0, side, side);
    button.append(canvas);
    button.addEventListener("click", () => showView(number));
    return button;
  }));
}

function showView(number) {
  opened.view = number;
  const camera = opened.detail.cameras[number];
  [...byId("tiles").children].forEach((tile, place) => tile.setAttribute("aria-pressed", String(place === number)));
  const [azimuth, elevation] = [camera.azimuth, camera.elevation].map(Math.round);
  byId("camera-line").textContent =
    `view ${camera.view}: azimuth ${azimuth}°, elevation ${elevation}°, distance ${camera.distance.toFixed(2)}`;
  opened.layer = voxelLayer(byId("overlay").width, opened.grid, meta.resolution, camera, meta.sizePx);
  showOverlay();
}

function showOverlay() {
  const larger = opened.view === 0 && opened.large;
  const image = larger || opened.sheet;
  const source = larger ? [0, 0, image.naturalWidth] : tileOf(opened.view);
  drawOverlay(byId("overlay"), image, source, opened.layer, Number(byId("opacity").value));
}

/** Mesh and voxels in 3D, where the page carries the scene and the browser has WebGL. */
function showScene(mesh) {
  if (opened.scene === undefined) opened.scene = startScene();
  const drawn = opened.detail.drawn, faces = opened.shape.faces;
  const count = (number) => number.toLocaleString("en");
  byId("mesh-note").textContent = !mesh ? "(none: the voxels are published ready)"
    : drawn < faces ? `(${count(drawn)} of ${count(faces)} faces drawn)` : "";
  opened.scene?.show(mesh, opened.grid);
  showCut();
}

function startScene() {
  let why = "3D is not in this page: report/gallery/dist/scene.js was absent; `git checkout` it, or `make bundle` where npm is.";
  try {
    if (typeof Scene3D !== "undefined") return Scene3D.start(byId("scene"), meta.resolution, sceneColours());
  } catch (error) {
    why = `This browser cannot draw in 3D: ${error.message}`;
  }
  for (const part of [document.querySelector(".scene-box"), byId("scene-tools")]) part.hidden = true;
  byId("no-scene").textContent = why;
  byId("no-scene").hidden = false;
  return null;
}

function sceneColours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ink", "soft", "line", "voxel"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function showCut() {
  opened.scene?.cut(Number(byId("cut-axis").value), Number(byId("cut").value));
}

byId("opacity").addEventListener("input", showOverlay);
byId("cut").addEventListener("input", showCut);
byId("cut-axis").addEventListener("change", showCut);
byId("from-front").addEventListener("click", () => opened.scene?.look(0, 0));
byId("from-view").addEventListener("click", () => {
  const camera = opened.detail.cameras[opened.view];
  opened.scene?.look(camera.azimuth, camera.elevation);
});
