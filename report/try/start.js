// The two tabs, and what happens when the page opens.

const lines = { picture: "", prior: "Drawn without a picture. The first small shapes are those of `python -m training sample --seed 1`." };

/** One line for the reader, about the picture. */
function say(text) {
  lines.picture = text;
  byId("said").textContent = lines[openedTab()];
}

function openedTab() {
  return byId("panel-picture").hidden ? "prior" : "picture";
}

/** From the picture to the shape. */
const reconstruct = latestOnly(async () => {
  if (!network.encoder || !editor.photo) return;
  await painted();
  const start = performance.now();
  let picture;
  try {
    picture = networkPicture();
  } catch (error) {
    return say(error.message);
  }
  drawSeen(picture);
  const { code, traits, occupancy } = await answerTo(picture);
  prior.photo = code;
  const known = editor.known;
  Object.assign(editor, { occupancy, picture });
  say([
    known ? `A held-out ${known.category}, which the network has never seen.` : "",
    network.familiar && !(known && isWhole()) ? inWords(percentileOf(traits)) : "",
    `${Math.round(performance.now() - start)} ms.`,
  ].filter(Boolean).join(" "));
  if (openedTab() === "picture") showPicture();
  document.body.dataset.answers = String(Number(document.body.dataset.answers ?? 0) + 1);
});

function inWords(percentile) {
  const count = network.familiar.between.length;
  return percentile >= facts.familiar.far
    ? `This picture is unlike those that the network knows (farther from them than ${percentile.toFixed(0)} % of its ${count} held-out pictures): the answer is a guess.`
    : `The picture is like those that the network knows (nearer than ${(100 - percentile).toFixed(0)} % of its ${count} held-out pictures).`;
}

/** Show the answer to the picture, if there is one. */
function showPicture() {
  if (!editor.occupancy) return;
  showAnswer({
    levels: levelsOf(editor.occupancy), resolution: facts.resolution, truth: editor.known?.truth ?? null, colour: ANSWER_COLOUR, name: editor.name,
  });
}

function openTab(name) {
  for (const one of ["picture", "prior"]) {
    byId(`tab-${one}`).setAttribute("aria-selected", String(one === name));
    byId(`tab-${one}`).tabIndex = one === name ? 0 : -1;
    byId(`panel-${one}`).hidden = one !== name;
  }
  byId("said").textContent = lines[name];
  if (name === "picture") showPicture();
  else showPrior();
}

async function start() {
  document.documentElement.classList.add("scripted");
  startAnswer();
  const tabs = [byId("tab-picture"), byId("tab-prior")];
  tabs.forEach((tab, number) => {
    tab.addEventListener("click", () => openTab(tab.id.slice(4)));
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      if (tabs[1 - number].hidden) return;
      tabs[1 - number].focus();
      tabs[1 - number].click();
    });
  });
  startEditor(() => reconstruct());
  try {
    await Promise.all([startNetwork(), startPrior()]);
  } catch (error) {
    return say(`The network could not be started: ${error.message}`);
  }
  tabs[0].hidden = !facts.reads;
  if (!facts.reads) openTab("prior");
  else if (facts.heldOut) await startHeldOut();
  else say("Choose a picture.");
  document.body.dataset.ready = "true";
}

start();
