// The answer in 3D: the truth where it is known, the voxels at a threshold, their surface; and the files to save.

const answer = { shape: null, scene: undefined, shapes: new Map() };  // shapes: what each tab showed last

/**
 * shape = { levels, resolution, truth: bytes or null, colour, name } of the tab that is seen; the threshold is the slider's.
 */
function showAnswer(shape) {
  answer.shape = shape;
  byId("save").disabled = false;
  drawAnswer();
}

function threshold() {
  return Number(byId("threshold").value);
}

function drawAnswer() {
  const shape = answer.shape;
  if (!shape) return;
  const { levels, resolution, truth } = shape, step = threshold();
  const filled = levels.reduce((count, level) => count + (level >= step), 0);
  const line = [`${(step / 255).toFixed(2)}${step === facts.threshold ? " (the chosen one)" : ""}`];
  line.push(filled ? `${(100 * filled / levels.length).toFixed(1)} % of the box filled` : "empty: lower the threshold");
  if (truth) line.push(`IoU with the truth ${iou(levels.map((level) => (level >= step ? 1 : 0)), truth).toFixed(2)}`);
  byId("threshold-line").textContent = line.join(" · ");
  byId("threshold").setAttribute("aria-valuetext", line.join(", "));
  byId("scene-labels").replaceChildren(...(truth ? ["truth"] : []).concat("answer", "its surface").map((name) => make("span", name)));
  answer.scene ??= startScene();
  answer.scene?.show(truth, levels, step, resolution, [colourOf(TRUTH_COLOUR), colourOf(shape.colour)]);
  byId("scene").dataset.drawn = String(Number(byId("scene").dataset.drawn ?? 0) + 1);
  byId("scene-box").classList.toggle("tall", byId("scene").clientWidth <= byId("scene").clientHeight);
}

function startScene() {
  try {
    return Scene3D.startShapes(byId("scene"), sceneColours());
  } catch (error) {
    byId("scene-box").hidden = true;
    byId("no-scene").textContent = `This browser cannot draw in 3D: ${error.message}. The files can be saved all the same.`;
    byId("no-scene").hidden = false;
    return null;
  }
}

function sceneColours() {
  return Object.fromEntries(["ink", "soft", "line", "voxel"].map((name) => [name, colourOf(name)]));
}

function startAnswer() {
  const slider = byId("threshold");
  slider.value = facts.threshold;
  slider.addEventListener("input", drawAnswer);
  byId("threshold-reset").addEventListener("click", () => {
    slider.value = facts.threshold;
    drawAnswer();
  });
  byId("save").addEventListener("click", () => {
    const format = byId("format").value, { levels, resolution, name } = answer.shape;
    save(`${name}.${format}`, fileOf(format, { levels, resolution, threshold: threshold() }));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    answer.scene?.recolour(sceneColours());
    drawAnswer();
  });
}
