// Reconstructions and samples in 3D: a figure opens, truth and answer turn together, a slider moves the threshold.

const SAME = 16, STEPS = 32, LEVELS = 8;  // as packed.py has them: the step of the chosen threshold, levels a step

const shown = { figure: null, levels: null, beside: null, scene: undefined };
startShapes([...document.querySelectorAll("[data-levels]")]);

function startShapes(figures) {
  const byId = (id) => document.getElementById(id);
  const dialog = byId("shape"), slider = byId("threshold");

  for (const figure of figures) {
    figure.tabIndex = 0;
    figure.setAttribute("role", "button");
    figure.setAttribute("aria-label", `${captionOf(figure)}: look at it in 3D`);
    figure.addEventListener("click", () => open(figure));
    figure.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open(figure);
    });
  }

  /** Fill and open the dialog; a later call wins over one that is still unpacking. */
  async function open(figure) {
    shown.figure = figure;
    const { levels, beside, resolution, names } = figure.dataset;
    if (!dialog.open) dialog.showModal();
    byId("shape-name").textContent = captionOf(figure);
    byId("shape-picture").hidden = !figure.classList.contains("triple");
    byId("shape-picture").src = figure.querySelector("img").src;
    [byId("first-name").textContent, byId("second-name").textContent] = names.split(",");
    const side = Number(resolution);
    const [filled, other] = await Promise.all([inflate(levels), beside ? unpackVoxels(beside, side) : null]);
    if (shown.figure !== figure) return;
    Object.assign(shown, { levels: filled, beside: other ?? new Uint8Array(side ** 3) });
    // Every step is a threshold of 1 to 255 of 255.
    const chosen = Number(figure.dataset.threshold);
    slider.min = Math.max(1, SAME - Math.floor((chosen - 1) / LEVELS));
    slider.max = Math.min(STEPS - 1, SAME + Math.floor((255 - chosen) / LEVELS));
    slider.value = SAME;
    shown.scene ??= startScene();
    show();
    dialog.dataset.ready = String(figures.indexOf(figure));
  }

  function show() {
    const { figure, levels, beside, scene } = shown;
    const step = Number(slider.value), resolution = Number(figure.dataset.resolution);
    const answer = levels.map((level) => (level >= step ? 1 : 0));
    const threshold = (Number(figure.dataset.threshold) + (step - SAME) * LEVELS) / 255;
    const chosen = step === SAME ? " (the chosen one)" : "";
    byId("threshold-line").textContent = `${threshold.toFixed(2)}${chosen} · IoU of the two ${iou(answer, beside).toFixed(2)}`;
    slider.setAttribute("aria-valuetext", byId("threshold-line").textContent);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const own = figure.classList.contains("triple") ? "voxel" : "grown";
    scene?.show(beside, levels, step, resolution, [colour("beside"), colour(own)]);
    dialog.querySelector(".scene-box").classList.toggle("tall", byId("scene").clientWidth <= byId("scene").clientHeight);
  }

  function startScene() {
    let why = "The 3D part is not in this page: report/gallery/dist/scene.js was absent when it was made.";
    try {
      const style = getComputedStyle(document.documentElement);
      const colours = Object.fromEntries(["ink", "soft", "line", "voxel"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
      if (typeof Scene3D !== "undefined") return Scene3D.startShapes(byId("scene"), colours);
    } catch (error) {
      why = `This browser cannot draw in 3D: ${error.message}`;
    }
    dialog.querySelector(".scene-box").hidden = true;
    byId("no-scene").textContent = why;
    byId("no-scene").hidden = false;
    return null;
  }

  function step(by) {
    open(figures[(figures.indexOf(shown.figure) + by + figures.length) % figures.length]);
  }

  slider.addEventListener("input", show);
  byId("close").addEventListener("click", () => dialog.close());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  dialog.addEventListener("close", () => shown.figure?.focus());
  dialog.addEventListener("keydown", (event) => {
    if (event.target === slider) return;
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
  });
}

function captionOf(figure) {
  return figure.querySelector("figcaption").textContent;
}
