// Live lists that do not move under the pointer. In a list with data-steady an update leaves each row where it is: new
// rows above others are counted, and shown by a button; rows that are no longer listed stay, in grey. Rows can be
// ticked all at once.

const IDLE_MS = 5 * 60 * 1000;
const MAX_ROWS = 200; // a list that has become longer begins anew: rows may come and go all day
let isReleased = false; // whether the next update shows the list as it is now
let lastInput = performance.now();

// On a screen that is only looked at, a list would be all grey at the end of the day.
for (const kind of ["pointermove", "pointerdown", "keydown", "scroll"]) {
  addEventListener(kind, () => { lastInput = performance.now(); }, { capture: true, passive: true });
}
const isIdle = () => performance.now() - lastInput > IDLE_MS && !listBoxes().some((each) => each.checked);

const findHeldButton = (part) => part.querySelector("[data-held]");

// Arrange the rows of an update as they are on the page. The rest of the update stays as it is.
function holdRows(list, page) {
  const known = [...list.children], places = new Map(known.map((row, place) => [row.id, place]));
  const fresh = page.getElementById(list.id) ?? addEmptyList(list, page);
  if (!fresh || !known.length) return;
  const rows = new Map([...fresh.children].map((row) => [row.id, row]));
  const listed = [...rows.keys()].filter((id) => places.has(id));
  const last = [...rows.keys()].findLastIndex((id) => places.has(id));
  const arrived = [...rows.values()].filter((row) => !places.has(row.id));
  const held = arrived.filter((row) => [...rows.keys()].indexOf(row.id) < last || last < 0);
  const isMoved = listed.some((id, place) => place && places.get(id) < places.get(listed[place - 1]));
  const after = arrived.filter((row) => !held.includes(row));
  fresh.replaceChildren(...known.map((row) => takeRow(row, rows.get(row.id))), ...after);
  describeHeld(page, list, { count: held.length, isMoved, isGone: listed.length < known.length });
}

// A question that is asked again begins anew.
function takeRow(row, fresh) {
  if (!fresh) return createGoneRow(row);
  if (row.classList.contains("gone") && row.dataset.settled !== undefined) row.remove();
  return fresh;
}

function createGoneRow(row) {
  const copy = row.cloneNode(true);
  copy.classList.add("gone");
  copy.title = "No longer on this page of the list";
  return copy;
}

// An update of a list that is empty now has no list: its rows stay, above what the page says.
function addEmptyList(list, page) {
  const part = list.closest("[data-live]"), fresh = page.getElementById(part.id);
  if (!fresh || list.parentElement !== part) return null;
  const copy = list.cloneNode();
  fresh.prepend(copy);
  return copy;
}

function describeHeld(page, list, { count, isMoved, isGone }) {
  const button = findHeldButton(page.getElementById(list.closest("[data-live]").id));
  if (!button) return;
  const texts = [count ? `${count} new` : "", isMoved ? "order changed" : ""].filter(Boolean);
  button.textContent = texts.length ? `${texts.join(", ")}: show` : isGone ? "Update list" : "";
  button.dataset.held = button.textContent ? "yes" : "";
}

document.addEventListener("console:fetched", ({ detail: { page, isSearch } }) => {
  const isHeld = !isSearch && !isReleased && !isIdle();
  for (const list of document.querySelectorAll("[data-steady]")) if (isHeld && list.children.length <= MAX_ROWS) holdRows(list, page);
  isReleased = false;
});

document.addEventListener("click", ({ target }) => {
  if (!target.closest("[data-held]")) return;
  isReleased = true;
  target.closest("[data-live]").querySelector("h2").focus({ preventScroll: true }); // the button is hidden then
  document.dispatchEvent(new Event("console:refresh"));
});

// Ticks: the box in the head of a list ticks all rows of the page, and shows whether some or all are ticked.
const listBoxes = () => [...document.querySelectorAll("[data-steady] [name=id]")];

function showTicks() {
  const all = document.querySelector("[data-tick-all]"), boxes = listBoxes(), count = boxes.filter((each) => each.checked).length;
  if (!all) return;
  all.checked = count > 0 && count === boxes.length;
  all.indeterminate = count > 0 && count < boxes.length;
  document.querySelector("[data-ticked]").textContent = count ? `Selected (${count})…` : "Selected…";
}

document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-tick-all]")) for (const each of listBoxes()) each.checked = target.checked;
  if (target.matches("[data-tick-all], [data-steady] [name=id]")) showTicks();
});
document.addEventListener("console:updated", showTicks);
showTicks();
