// The picture: taken from a file, the clipboard or the held-out ones, cropped with a rectangle, masked with a brush.

const LEAST_PX = 8;  // side of a crop
const NUDGE = 0.02;  // of the picture's side: a step of the arrow keys
const editor = {
  photo: null,  // { pixels: RGBA bytes, width, height, canvas }
  mask: null,  // canvas of the photograph's size, opaque where the object is
  own: null,  // what the photograph's own transparency covers
  crop: null,  // [left, top, right, bottom]
  name: "shape",
  known: null,  // what is known of a held-out picture
  changed: null,  // called when another answer is due
};

/** Take a picture that the browser can decode; `known` says what is known of a held-out one. */
async function takePicture(source, name, known = null) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(source, { imageOrientation: "from-image", premultiplyAlpha: "none" });
  } catch {
    return say(`${name} is no picture that this browser reads.`);
  }
  const canvas = make("canvas", "", { width: bitmap.width, height: bitmap.height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  const pixels = pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
  Object.assign(editor, { photo: { pixels, width: bitmap.width, height: bitmap.height, canvas }, own: coverOfAlpha(pixels), name, known });
  editor.mask = make("canvas", "", { width: bitmap.width, height: bitmap.height });
  wholePicture();
}

/** No crop and no mask. */
function wholePicture() {
  const pen = editor.mask.getContext("2d", { willReadFrequently: true });
  pen.globalCompositeOperation = "source-over";
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, editor.mask.width, editor.mask.height);
  editor.masked = false;
  setCrop([0, 0, editor.photo.width, editor.photo.height]);
}

function isWhole() {
  const [left, top, right, bottom] = editor.crop;
  return !editor.masked && left + top === 0 && right === editor.photo.width && bottom === editor.photo.height;
}

/** A rectangle within the picture, its corners in order and in whole pixels. */
function setCrop([a, b, c, d]) {
  const { width, height } = editor.photo;
  const range = (from, to, most) => {
    const least = Math.min(LEAST_PX, most);
    const first = Math.round(Math.min(most - least, Math.max(0, Math.min(from, to))));
    return [first, Math.round(Math.min(most, Math.max(first + least, Math.max(from, to))))];
  };
  const [left, right] = range(a, c, width), [top, bottom] = range(b, d, height);
  editor.crop = [left, top, right, bottom];
  drawEditor();
  editor.changed();
}

/** A byte a pixel: the photograph's own transparency and the brush. */
function coverOf() {
  if (!editor.masked) return editor.own;
  const { width, height } = editor.photo;
  const painted = editor.mask.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height).data;
  return editor.own.map((value, at) => Math.min(value, painted[4 * at + 3]));
}

/** The same, and nothing outside the crop: what the command takes as a mask, which it would call inverted otherwise. */
function maskOf() {
  const [left, top, right, bottom] = editor.crop, wide = editor.photo.width;
  return coverOf().map((value, at) => {
    const column = at % wide, row = Math.floor(at / wide);
    return column >= left && column < right && row >= top && row < bottom ? value : 0;
  });
}

/** The picture that the network sees now. */
function networkPicture() {
  return encoderPicture(editor.photo, coverOf(), editor.crop, facts.sizePx, facts.atObject);
}

function drawEditor() {
  const canvas = byId("photo"), { width, height } = editor.photo;
  const scale = Math.min(2000 / Math.max(width, height), Math.max(1, 512 / Math.max(width, height)));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = scale < 1;
  // The photograph where the mask is, grey elsewhere, as the network gets it.
  pen.drawImage(editor.mask, 0, 0, canvas.width, canvas.height);
  pen.globalCompositeOperation = "source-in";
  pen.drawImage(editor.photo.canvas, 0, 0, canvas.width, canvas.height);
  pen.globalCompositeOperation = "destination-over";
  pen.fillStyle = `rgb(${GREY} ${GREY} ${GREY})`;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.globalCompositeOperation = "source-over";
  const [left, top, right, bottom] = editor.crop.map((place) => place * scale);
  if (right - left < canvas.width || bottom - top < canvas.height) {
    pen.fillStyle = "#000a";
    pen.beginPath();
    pen.rect(0, 0, canvas.width, canvas.height);
    pen.rect(left, top, right - left, bottom - top);
    pen.fill("evenodd");
    pen.strokeStyle = "#fff";
    pen.lineWidth = Math.max(2, canvas.width / 250);
    pen.strokeRect(left, top, right - left, bottom - top);
  }
  for (const [n, id] of ["left", "top", "right", "bottom"].entries()) {
    byId(id).value = editor.crop[n];
    byId(id).max = n % 2 ? height : width;
  }
}

/** Draw what the network sees in its own pixels. */
function drawSeen(picture) {
  const size = facts.sizePx, canvas = byId("seen");
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size);
  for (let pixel = 0; pixel < size * size; pixel++) {
    image.data.set(picture.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// ---- tools -------------------------------------------------------------------------------

const tool = () => document.querySelector("input[name=tool]:checked").value;

/** Where a pointer is, in pixels of the photograph. */
function placeOf(event) {
  const box = byId("photo").getBoundingClientRect(), { width, height } = editor.photo;
  return [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
}

function stroke(from, to) {
  const pen = editor.mask.getContext("2d", { willReadFrequently: true });
  pen.globalCompositeOperation = tool() === "rub" ? "destination-out" : "source-over";
  pen.lineCap = "round";
  pen.lineWidth = Number(byId("brush").value) / 100 * Math.max(editor.photo.width, editor.photo.height);
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(to[0] + 0.01, to[1]);
  pen.stroke();
  editor.masked = true;
  drawEditor();
}

function startPointer() {
  const canvas = byId("photo");
  let from = null, whole = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = placeOf(event);
    whole = editor.crop;
    if (tool() !== "crop") stroke(from, from);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = placeOf(event);
    if (tool() === "crop") return setCrop([...from, ...to]);
    stroke(from, to);
    from = to;
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      if (!from) return;
      const to = placeOf(event);
      // A click without a drag is no rectangle.
      if (tool() === "crop" && Math.hypot(to[0] - from[0], to[1] - from[1]) < 3) setCrop(whole);
      from = null;
      editor.changed();
    });
  }
  // The arrows move the rectangle, with Shift its lower right corner.
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [left, top, right, bottom] = editor.crop, { width, height } = editor.photo;
    const by = Math.max(1, Math.round(NUDGE * Math.max(width, height)));
    const [x, y] = event.shiftKey
      ? [step[0] * by, step[1] * by]
      : [Math.max(-left, Math.min(width - right, step[0] * by)), Math.max(-top, Math.min(height - bottom, step[1] * by))];
    setCrop(event.shiftKey ? [left, top, Math.max(left + LEAST_PX, right + x), Math.max(top + LEAST_PX, bottom + y)]
      : [left + x, top + y, right + x, bottom + y]);
  });
}

// ---- where pictures come from -----------------------------------------------------------

function startSources() {
  const take = (file) => file && takePicture(file, file.name.replace(/\.[^.]*$/, "") || "shape");
  byId("file").addEventListener("change", (event) => {
    take(event.target.files[0]);
    event.target.value = "";  // the same file may come again
  });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    take(event.dataTransfer.files[0]);
  });
}

/** The held-out pictures as buttons; the first one shown is a middling one. */
async function startHeldOut() {
  const { sheet, shapes } = facts.heldOut;
  const image = new Image();
  image.src = sheet;
  await image.decode();
  const size = facts.sizePx;
  const pick = async (number) => {
    const shape = shapes[number];
    const tile = await createImageBitmap(image, number * size, 0, size, size);
    const truth = await unpackVoxels(shape.truth, facts.resolution);
    [...byId("held-out").children].forEach((button, n) => button.setAttribute("aria-pressed", String(n === number)));
    await takePicture(tile, shape.id.split("/").pop(), { ...shape, truth });
  };
  byId("held-out").replaceChildren(...shapes.map((shape, number) => {
    const button = make("button", "", { type: "button", "aria-label": `${shape.category}, answered with an IoU of ${shape.iou.toFixed(2)}` });
    button.title = `${shape.category} · IoU ${shape.iou.toFixed(2)}`;
    const canvas = make("canvas", "", { width: size, height: size });
    canvas.getContext("2d").drawImage(image, number * size, 0, size, size, 0, 0, size, size);
    button.append(canvas);
    button.addEventListener("click", () => pick(number));
    return button;
  }));
  await pick(Math.floor(shapes.length / 2));
}

function startEditor(changed) {
  editor.changed = changed;
  startPointer();
  startSources();
  byId("whole").addEventListener("click", () => editor.photo && wholePicture());
  for (const id of ["left", "top", "right", "bottom"]) {
    byId(id).addEventListener("change", () => setCrop(["left", "top", "right", "bottom"].map((name) => Number(byId(name).value))));
  }
  byId("save-mask").addEventListener("click", () => {
    const canvas = make("canvas", "", { width: editor.photo.width, height: editor.photo.height });
    const pen = canvas.getContext("2d"), image = pen.createImageData(canvas.width, canvas.height);
    maskOf().forEach((value, at) => image.data.set([value, value, value, 255], 4 * at));
    pen.putImageData(image, 0, 0);
    canvas.toBlob(async (blob) => save(`${editor.name}-mask.png`, new Uint8Array(await blob.arrayBuffer())));
  });
}
