// What scripts add to diagrams: a large one opens at the current state, is dragged to pan, and zooms by steps. Without
// scripts a diagram scrolls, and has three sizes. The size is a rule of a stylesheet of its own: updates of the page
// change the diagram's attributes, and the Content-Security-Policy forbids styles in the markup.

const sheet = new CSSStyleSheet();
document.adoptedStyleSheets.push(sheet);
const STEP = 1.25, SMALLEST = 0.2, LARGEST = 4;
const factors = new Map(); // a canvas's attribute data-canvas -> how large its diagram is; 1 is 100 %

const cards = [...document.querySelectorAll(".card:has(> [data-canvas])")];
const findCard = (part) => cards.find((card) => card.contains(part));
const findCanvas = (card) => card.querySelector("[data-canvas]");

function writeRules() {
  const rules = [...factors].map(([name, factor]) =>
    `@media screen { [data-canvas="${name}"] .fl-diagram { zoom: ${factor} !important; max-width: none !important } }`);
  sheet.replaceSync(rules.join("\n"));
}

// How large the diagram is shown now.
function measureFactor(card) {
  const picture = card.querySelector(".fl-diagram");
  return factors.get(findCanvas(card).dataset.canvas) ?? picture.getBoundingClientRect().width / picture.viewBox.baseVal.width;
}

// Zoom so that the point of the diagram at these coordinates of the window stays where it is.
function zoom(card, factor, x, y) {
  const canvas = findCanvas(card), frame = canvas.getBoundingClientRect(), before = measureFactor(card);
  const after = Math.min(LARGEST, Math.max(SMALLEST, factor));
  const left = x - frame.left, top = y - frame.top;
  const fromLeft = canvas.scrollLeft + left, fromTop = canvas.scrollTop + top;
  factors.set(findCanvas(card).dataset.canvas, Math.round(after * 1000) / 1000);
  for (const each of card.querySelectorAll(".zoom input")) each.checked = false;
  writeRules();
  canvas.scrollLeft = fromLeft * after / before - left;
  canvas.scrollTop = fromTop * after / before - top;
  markPannable(card);
}

function zoomBySteps(card, steps) {
  const frame = findCanvas(card).getBoundingClientRect();
  zoom(card, measureFactor(card) * STEP ** steps, frame.left + frame.width / 2, frame.top + frame.height / 2);
}

function markPannable(card) {
  const canvas = findCanvas(card);
  canvas.classList.toggle("pannable", canvas.scrollWidth > canvas.clientWidth || canvas.scrollHeight > canvas.clientHeight);
}

// Scroll the canvas, and not the page, so that the current state is in its middle.
function showCurrent(card) {
  const canvas = findCanvas(card), state = card.querySelector(".fl-state.current");
  markPannable(card);
  if (!state) return;
  const box = state.getBoundingClientRect(), frame = canvas.getBoundingClientRect();
  canvas.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
  canvas.scrollTop += box.top + box.height / 2 - frame.top - frame.height / 2;
}

document.addEventListener("change", ({ target }) => {
  const card = target.closest(".zoom") && findCard(target);
  if (!card) return;
  factors.delete(findCanvas(card).dataset.canvas);
  writeRules();
  showCurrent(card);
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-zoom]");
  if (button) zoomBySteps(findCard(button), Number(button.dataset.zoom));
});

for (const card of cards) {
  const canvas = findCanvas(card);
  let start; // where a drag began, and how far the canvas was scrolled then

  canvas.addEventListener("pointerenter", () => markPannable(card)); // an update of the page takes the class away
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // a pinch of a touchpad has the key too
    event.preventDefault();
    zoom(card, measureFactor(card) * Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    const steps = { "+": 1, "=": 1, "-": -1 }[event.key];
    if (!steps || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    zoomBySteps(card, steps);
  });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0) return; // fingers scroll by themselves
    start = { x: event.clientX, y: event.clientY, left: canvas.scrollLeft, top: canvas.scrollTop, isMoved: false };
  });
  canvas.addEventListener("dragstart", (event) => event.preventDefault()); // links would be dragged instead
  addEventListener("pointermove", (event) => {
    if (!start) return;
    const [x, y] = [event.clientX - start.x, event.clientY - start.y];
    if (!start.isMoved && Math.hypot(x, y) < 4) return;
    start.isMoved = true;
    canvas.classList.add("panning");
    canvas.scrollTo(start.left - x, start.top - y);
  });
  addEventListener("pointerup", () => {
    canvas.classList.remove("panning");
    setTimeout(() => { start = undefined; });
  });
  canvas.addEventListener("click", (event) => { if (start?.isMoved) event.preventDefault(); }, true); // the end of a drag
  showCurrent(card);
}
