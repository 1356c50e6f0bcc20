// Shapes without a picture: codes from the prior, a mix of two of them, steps along the principal axes of the codes.

const prior = { samples: [], axes: [], ends: [0, 1], photo: null, drawn: false };  // samples: { code, grid }

/** Standard normal numbers, as many as wanted (Box and Muller 1958). */
function normals(count) {
  const uniform = crypto.getRandomValues(new Uint32Array(2 * count));
  return Float32Array.from({ length: count }, (_, n) =>
    Math.sqrt(-2 * Math.log((uniform[2 * n] + 1) / 2 ** 32)) * Math.cos(2 * Math.PI * uniform[2 * n + 1] / 2 ** 32));
}

/**
 * A code from the prior: `from_prior` of training/networks/codes.py, and `towards` of build.py for networks that are told
 * categories, which are taken in turn.
 */
function priorCode(number) {
  let z = normals(facts.latent);
  if (facts.prior === "narrow") z = z.map((value) => 0.33 * value);
  if (facts.prior === "uniform") {
    const uniform = crypto.getRandomValues(new Uint32Array(z.length));
    z = z.map((_, n) => uniform[n] / 2 ** 32);
  }
  if (!prior.means) return z;
  const mean = prior.means[number % prior.means.length];
  return z.map((value, n) => value + mean[n]);
}

/** The code that the sliders stand for, and the statistics that fit it. */
function mixedCode() {
  const share = Number(byId("mix").value) / 100;
  const [first, second] = prior.ends.map((end) => (end === "photo" ? prior.photo : prior.samples[end].code));
  const code = first.map((value, n) => value + share * (second[n] - value));
  document.querySelectorAll("#axes input").forEach((slider, axis) => {
    const steps = Number(slider.value), along = prior.axes[axis];
    for (let n = 0; n < code.length; n++) code[n] += steps * along[n];
  });
  return { code, source: prior.ends.includes("photo") ? POSTERIOR : facts.source };
}

const showMixed = latestOnly(async () => {
  const { code, source } = mixedCode();
  await painted();
  const levels = levelsOf(await generate(code, source));
  showAnswer({ levels, resolution: facts.resolution, truth: null, colour: SAMPLE_COLOUR, name: "sample" });
});

/** New codes on the small pictures; the first ones are those of `training sample --seed 1`. */
async function drawSamples(codes) {
  prior.samples = codes.map((code) => ({ code }));
  prior.ends = prior.ends.map((end, n) => (end === "photo" ? end : n));
  const camera = { K: [80, 80, 32, 32], pose: orbitPose(35, 25, 1.9) };
  byId("samples").replaceChildren(...codes.map((_, number) => {
    const button = make("button", "", { type: "button", "aria-label": `shape ${number}` });
    button.append(make("canvas", "", { width: 128, height: 128 }), make("span", "", { class: "end" }));
    button.addEventListener("click", () => setEnd(number));
    return button;
  }));
  markEnds();
  await showMixed();
  for (const [number, code] of codes.entries()) {
    await painted();
    if (prior.samples[number]?.code !== code) return;  // others have been drawn since
    const levels = levelsOf(await generate(code, facts.source));
    const grid = levels.map((level) => (level >= facts.threshold ? 1 : 0));
    const canvas = byId("samples").children[number].firstChild;
    paintVoxels(canvas.getContext("2d"), grid, facts.resolution, camera, 2, [98, 158, 98]);
  }
  byId("samples").dataset.ready = "true";
}

/** camera_to_world, 3 x 4, of a camera that looks at the origin: look_at_origin of pipeline/pictures/camera.py. */
function orbitPose(azimuth, elevation, distance) {
  const a = azimuth * Math.PI / 180, e = elevation * Math.PI / 180;
  const back = [-Math.sin(a) * Math.cos(e), Math.sin(e), -Math.cos(a) * Math.cos(e)];
  const right = [-Math.cos(a), 0, Math.sin(a)];
  const up = [back[1] * right[2], back[2] * right[0] - back[0] * right[2], -back[1] * right[0]];
  return [0, 1, 2].flatMap((axis) => [right[axis], up[axis], back[axis], distance * back[axis]]);
}

/** A click sets the end that is marked, first or second. */
function setEnd(what) {
  prior.ends[document.querySelector("input[name=end]:checked").value] = what;
  markEnds();
  showMixed();
}

function markEnds() {
  [...byId("samples").children].forEach((button, number) => {
    const names = prior.ends.flatMap((end, n) => (end === number ? ["first", "second"][n] : []));
    button.querySelector(".end").textContent = names.join(", ");
    button.setAttribute("aria-pressed", String(names.length > 0));
  });
  byId("photo-end").setAttribute("aria-pressed", String(prior.ends.includes("photo")));
}

async function startPrior() {
  const rows = async (text) => {
    const all = floats(await inflate(text));
    return Array.from({ length: all.length / facts.latent }, (_, n) => all.slice(n * facts.latent, (n + 1) * facts.latent));
  };
  const first = await rows(facts.samples);
  prior.axes = await rows(facts.axes);
  prior.means = facts.means && await rows(facts.means);
  byId("axes").replaceChildren(...prior.axes.map((_, number) => {
    const label = make("label", `axis ${number + 1}`), slider = make("input", "", { type: "range", min: -4, max: 4, step: 0.1, value: 0, autocomplete: "off" });
    slider.addEventListener("input", () => showMixed());
    label.append(slider);
    return label;
  }));
  byId("mix").addEventListener("input", () => showMixed());
  byId("axes-reset").addEventListener("click", () => {
    document.querySelectorAll("#axes input").forEach((slider) => { slider.value = 0; });
    showMixed();
  });
  byId("others").addEventListener("click", () => drawSamples(first.map((_, number) => priorCode(number))));
  byId("photo-end").addEventListener("click", () => prior.photo && setEnd("photo"));
  byId("photo-end").hidden = !facts.reads;
  prior.first = first;
}

/** What the tab shows when it is opened. */
async function showPrior() {
  if (prior.drawn) return showMixed();
  prior.drawn = true;
  await drawSamples(prior.first);
}
