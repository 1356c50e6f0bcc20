// Filters, order, keys and addresses.  The state is what the address says; nothing else is kept.

const FILTERS = ["q", "category", "split", "flag", "order"];
const ORDERS = {
  "": (a, b) => a.iou - b.iou,
  sparse: (a, b) => a.occupancy - b.occupancy,
  dense: (a, b) => b.occupancy - a.occupancy,
  few: (a, b) => (a.faces ?? Infinity) - (b.faces ?? Infinity),
  many: (a, b) => (b.faces ?? -1) - (a.faces ?? -1),
  name: () => 0,
};
const cards = new Map();  // key -> article
const shapes = new Map(meta.shapes.map((shape) => [shape.key, shape]));
let visible = [];  // shapes that pass the filters, in their order
let current = null;  // key of the card that the keys are on
let state = Object.fromEntries([...FILTERS, "shape"].map((name) => [name, ""]));

const cardOf = (shape) => cards.get(shape.key);

// ---- cards ---------------------------------------------------------------------------------

/** Take over the cards of the page and make those whose pictures lie in other files. */
function startCards() {
  const there = [...byId("grid").children];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      seen.unobserve(entry.target);
      fillCard(entry.target);
    }
  }, { rootMargin: "400px" });
  meta.shapes.forEach((shape, number) => {
    const card = there[number] ?? makeCard(shape);
    cards.set(shape.key, card);
    card.dataset.key = shape.key;
    card.querySelector("a").tabIndex = -1;
    if (shape.chunk !== undefined) seen.observe(card);
  });
}

function makeCard(shape) {
  const card = make("article", "", { class: shape.problem ? "card problem" : "card" });
  const link = make("a", "", { href: `#shape=${encodeURIComponent(shape.key)}` });
  link.append(make("img", "", {
    width: meta.columns * meta.tile, height: meta.lines * meta.tile, alt: `Views of the ${shape.category} ${shape.name}`,
    decoding: "async",
  }));
  const line = make("p", `${shape.category} · ${shape.split}`);
  const faces = shape.faces === null ? "" : ` · ${shape.faces.toLocaleString("en")} faces`;
  line.append(make("span", `IoU ${shape.iou.toFixed(2)} · ${(100 * shape.occupancy).toFixed(1)} % full${faces}`, { class: "numbers" }));
  card.append(link, make("h3", shape.name), line);
  if (shape.flags.length) {
    const list = make("ul", "", { class: "flags" });
    list.append(...flagItems(shape));
    card.append(list);
  }
  return card;
}

async function fillCard(card) {
  try {
    card.querySelector("img").src = (await gallery.detail(shapes.get(card.dataset.key))).picture;
  } catch (error) {
    card.querySelector("p").textContent = error.message;
  }
}

// ---- what is shown -------------------------------------------------------------------------

function applyFilters() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  visible = meta.shapes.filter((shape) =>
    (!state.category || shape.category === state.category) && (!state.split || shape.split === state.split)
    && (!state.flag || shape.flags.includes(state.flag))
    && words.every((word) => shape.key.toLowerCase().includes(word)));
  const by = ORDERS[state.order] ?? ORDERS[""];
  visible.sort((a, b) => by(a, b) || (a.key < b.key ? -1 : 1));
  byId("grid").replaceChildren(...visible.map(cardOf));
  byId("nothing").hidden = visible.length > 0;
  byId("count").textContent = `${visible.length.toLocaleString("en")} of ${meta.shapes.length.toLocaleString("en")} shapes`;
  setCurrent(visible.some((shape) => shape.key === current) ? current : visible[0]?.key ?? null);
}

/** Only one card is a stop of the Tab key; the arrows go on from it. */
function setCurrent(key) {
  if (cards.has(current)) cards.get(current).querySelector("a").tabIndex = -1;
  current = key;
  if (cards.has(key)) cards.get(key).querySelector("a").tabIndex = 0;
}

// ---- addresses -----------------------------------------------------------------------------

function readAddress() {
  const text = location.hash.slice(1);
  if (text && !text.includes("=")) return;  // a section of this page
  const found = new URLSearchParams(text);
  const before = state;
  state = Object.fromEntries(Object.keys(state).map((name) => [name, found.get(name) ?? ""]));
  for (const name of FILTERS) byId(name).value = state[name];
  if (FILTERS.some((name) => before[name] !== state[name])) applyFilters();
  const shape = shapes.get(state.shape);
  if (shape) {
    setCurrent(shape.key);
    openShape(shape);
  } else if (byId("shape").open) {
    byId("shape").close();
  }
}

/** Say the new state in the address; an opened shape is a step back that the browser knows. */
function go(change, step = false) {
  const next = { ...state, ...change };
  const said = new URLSearchParams(Object.entries(next).filter(([, value]) => value));
  history[step ? "pushState" : "replaceState"](null, "", `#${said}`);
  readAddress();
}

// ---- keys ----------------------------------------------------------------------------------

function neighbour(key) {
  const at = visible.findIndex((shape) => shape.key === current);
  const top = cardOf(visible[0]).offsetTop;
  const row = visible.findIndex((shape) => cardOf(shape).offsetTop > top);
  const across = row < 0 ? visible.length : row;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -Infinity, End: Infinity }[key];
  return visible[Math.min(visible.length - 1, Math.max(0, at + step))];
}

function moveTo(shape) {
  setCurrent(shape.key);
  const link = cardOf(shape).querySelector("a");
  link.focus({ preventScroll: true });
  cardOf(shape).scrollIntoView({ block: "nearest" });
}

/** The shape before or after the open one. */
function turnPage(step) {
  const at = visible.findIndex((shape) => shape.key === state.shape);
  const next = visible[at + step];
  if (next) go({ shape: next.key });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  if (target.matches("input[type=search]")) {
    if (event.key === "Escape" && target.value) go({ q: "" });
    else if (event.key === "Escape" || event.key === "Enter" || event.key === "ArrowDown") target.blur();
    else return;
    event.preventDefault();
    return;
  }
  const turning = event.key === "ArrowLeft" || event.key === "ArrowRight";
  if (event.key === "?") byId("help").showModal();
  else if (event.key === "t") switchTheme();
  else if (target.matches("select, input, canvas") || byId("help").open) return;
  else if (byId("shape").open && turning) turnPage(event.key === "ArrowRight" ? 1 : -1);
  else if (byId("shape").open) return;
  else if (event.key === "/") byId("q").focus();
  else if (visible.length && /^(Arrow|Home|End)/.test(event.key)) {
    moveTo(target.closest("#grid") ? neighbour(event.key) : shapes.get(current));
  } else return;
  event.preventDefault();
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  opened.scene?.recolour(sceneColours());
}

// ---- start ---------------------------------------------------------------------------------

document.documentElement.classList.add("scripted");
startCards();
byId("tools").addEventListener("submit", (event) => event.preventDefault());
for (const name of FILTERS) byId(name).addEventListener("input", () => go({ [name]: byId(name).value }));
byId("clear").addEventListener("click", () => go(Object.fromEntries(FILTERS.map((name) => [name, ""]))));
byId("grid").addEventListener("click", (event) => {
  const card = event.target.closest("a") && event.target.closest(".card");
  if (!card || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go({ shape: card.dataset.key }, true);
});
byId("grid").addEventListener("focusin", (event) => setCurrent(event.target.closest(".card").dataset.key));
byId("shape").addEventListener("close", () => {
  if (byId("shape").open) return;  // the event comes late: another shape has been opened since
  opened.shape = null;
  const last = shapes.get(state.shape) ?? shapes.get(current);  // the browser goes back to the card that opened first
  if (state.shape) go({ shape: "" });
  if (visible.includes(last)) moveTo(last);
});
byId("close").addEventListener("click", () => byId("shape").close());
byId("previous").addEventListener("click", () => turnPage(-1));
byId("next").addEventListener("click", () => turnPage(1));
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("help-close").addEventListener("click", () => byId("help").close());
byId("theme").addEventListener("click", switchTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => opened.scene?.recolour(sceneColours()));
document.addEventListener("keydown", onKey);
addEventListener("hashchange", readAddress);
addEventListener("popstate", readAddress);
applyFilters();
readAddress();
performance.mark("usable");
