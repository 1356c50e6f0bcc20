// The slider over training time and the map of the codes; everything else works without.
"use strict";
document.documentElement.classList.add("scripted");
document.querySelectorAll(".timeline").forEach(startTimeline);
document.querySelectorAll(".map").forEach(startMap);

/** Each strip holds one picture a moment; `--at` says which part of it is seen. */
function startTimeline(box) {
  const slider = box.querySelector("input");
  const moments = [...box.querySelectorAll("ol li")].map((item) => item.textContent);
  const numbers = [...box.querySelectorAll("[data-values]")].map((place) => [place, place.dataset.values.split(" ")]);
  const show = () => {
    const at = Number(slider.value);
    box.style.setProperty("--at", `${moments.length > 1 ? (100 * at) / (moments.length - 1) : 0}%`);
    box.querySelector("output").textContent = moments[at];
    slider.setAttribute("aria-valuetext", moments[at]);
    for (const [place, values] of numbers) place.textContent = values[at];
  };
  slider.addEventListener("input", show);
  show();
}

function startMap(box) {
  const facts = JSON.parse(box.querySelector("script").textContent);
  const map = box.querySelector(".map-panel svg");
  const marks = [...map.querySelectorAll("use")];
  const ring = map.querySelector(".ring");
  const canvas = box.querySelector("canvas");
  const thumbnails = box.querySelector(".thumbnails");
  let places = Object.values(facts.places)[0];
  let current = -1;

  /** Show the picture and the name of one shape. */
  function choose(number) {
    current = number;
    const [x, y] = places[number];
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    const { tile, columns } = facts;
    canvas.getContext("2d").drawImage(thumbnails, (number % columns) * tile, Math.floor(number / columns) * tile,
      tile, tile, 0, 0, canvas.width, canvas.height);
    canvas.setAttribute("aria-label", `The picture of ${facts.names[number]}`);
    box.querySelector("figcaption").textContent = `${facts.names[number]} · ${facts.lines[number]}`;
  }

  /** The shape with the least cost, of those that have one. */
  function cheapest(cost) {
    let best = -1, least = Infinity;
    places.forEach((place, number) => {
      const found = cost(place, number);
      if (found < least) [best, least] = [number, found];
    });
    return best;
  }

  function point(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    const near = cheapest(([x, y]) => { const far = Math.hypot(x - at.x, y - at.y); return far < 24 ? far : Infinity; });
    if (near >= 0) choose(near);
  }
  map.addEventListener("pointermove", point);
  map.addEventListener("pointerdown", point);
  map.addEventListener("focus", () => { if (current < 0) choose(0); });

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y] = places[current];
    // Ahead counts once, aside twice: straight on comes first.
    const next = cheapest((place, number) => {
      const ahead = (place[0] - x) * step[0] + (place[1] - y) * step[1];
      const aside = Math.abs((place[0] - x) * step[1]) + Math.abs((place[1] - y) * step[0]);
      return number !== current && ahead > 0 ? ahead + 2 * aside : Infinity;
    });
    if (next >= 0) choose(next);
  });

  for (const choice of box.querySelectorAll("input[type=radio]")) {
    choice.addEventListener("change", () => {
      places = facts.places[choice.value];
      marks.forEach((mark, number) => mark.setAttribute("transform", `translate(${places[number][0]} ${places[number][1]})`));
      box.querySelector(".projection").textContent = choice.parentElement.textContent.trim();
      box.querySelector(".note").textContent = choice.dataset.note;
      if (current >= 0) choose(current);
    });
  }
}
