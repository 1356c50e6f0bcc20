"use strict";
// What all parts of the page share.

const byId = (id) => document.getElementById(id);
const facts = JSON.parse(byId("facts").textContent);
const POSTERIOR = 0;  // the source of codes that come from pictures: training/networks/codes.py
const TRUTH_COLOUR = "beside", ANSWER_COLOUR = "voxel", SAMPLE_COLOUR = "grown";

/** Make an element; text is text, never markup. */
function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * Run `work` now; while it runs, remember only the last call.  A slider that moves faster than the network answers
 * then skips what nobody sees any more.
 */
function latestOnly(work) {
  let running = false, waiting = null;
  return async function call(...values) {
    if (running) {
      waiting = values;
      return;
    }
    running = true;
    try {
      await work(...values);
    } finally {
      running = false;
    }
    if (waiting) {
      const next = waiting;
      waiting = null;
      await call(...next);
    }
  };
}

/** Let what was written be painted before a computation holds the page. */
function painted() {
  return new Promise((done) => setTimeout(done, 0));
}
