// What scripts add to the pages, which all work without them: relative times, live parts, search as you type, copying,
// the key "/" for searching, and forms that are sent once.

const root = document.documentElement;
const lamp = document.querySelector("[data-events]");
const offset = Number(document.body.dataset.now) - Date.now(); // how far the server's clock is ahead of this one
const touched = new WeakSet(); // forms that the user has begun to fill in
const sent = new WeakSet();

// Times: as flowlet/web/console/times.py writes them, but in the reader's own zone.
const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const day = new Intl.DateTimeFormat("en", { month: "short", day: "numeric" });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "long" });

function distance(seconds) {
  const [size, unit] = units.find(([size]) => seconds >= size) ?? units[3];
  return `${Math.floor(seconds / size)} ${unit}`;
}

function formatTime(time, shape, now) {
  const seconds = (time - now) / 1000, text = distance(Math.abs(seconds));
  if (shape === "at") return day.format(time) === day.format(now) ? clock.format(time) : `${day.format(time)}, ${clock.format(time)}`;
  if (shape === "for") return text;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${text}` : `${text} ago`;
}

function freshenTimes() {
  for (const each of document.querySelectorAll("time[data-as]")) {
    const time = new Date(each.dateTime), text = formatTime(time, each.dataset.as, new Date(Date.now() + offset));
    if (each.textContent !== text) each.textContent = text;
    each.title = exact.format(time);
  }
}

// Parts: only differences are changed, in place, so that focus, scroll position and typed text stay as they are.
function patch(old, fresh) {
  const isForm = old instanceof HTMLFormElement;
  if (isForm && (touched.has(old) || sent.has(old))) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !(name === "open")) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const rows = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = rows.get(wanted.id);
    if (known && known !== place) old.insertBefore(known, place);
    const here = known ?? place;
    if (here && isAlike(here, wanted)) {
      if (here.nodeType === Node.ELEMENT_NODE) patch(here, wanted);
      else if (here.data !== wanted.data) here.data = wanted.data;
      place = here.nextSibling;
    } else {
      old.insertBefore(wanted, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    if (!isBegun(place)) place.remove();
    place = next;
  }
}

// Whether the user has begun to fill in a form there: it stays until it is sent; its version then says if it is too old.
function isBegun(part) {
  return part.nodeType === Node.ELEMENT_NODE && [part, ...part.querySelectorAll("form")].some((each) => touched.has(each));
}

function isAlike(old, fresh) {
  if (old.nodeName !== fresh.nodeName || (old.id ?? "") !== (fresh.id ?? "")) return false;
  return old.nodeName !== "INPUT" || old.type === "hidden" || (old.name === fresh.name && (old.type !== "checkbox" || old.value === fresh.value));
}

let searches = 0; // how many addresses have been shown since the page was opened

// Patch the parts with these ids, and return the position of the event stream that they are up to date with.
// With a signal the address is a search's, and becomes the page's own.
async function update(address, ids, signal) {
  const before = searches;
  const answer = await fetch(address, { headers: { Accept: "text/html" }, signal });
  if (!answer.ok || answer.redirected) throw new Error(`the page answered ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (before !== searches) return refreshSoon(); // a search has been faster: this is the old list
  if (signal) {
    searches += 1;
    history.replaceState(null, "", address);
  }
  const { events, position } = page.querySelector("[data-events]")?.dataset ?? {};
  const focused = document.activeElement;
  for (const id of ids) {
    const old = document.getElementById(id), fresh = page.getElementById(id);
    if (old && fresh) patch(old, document.adoptNode(fresh));
  }
  if (focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
  freshenTimes();
  if (signal && lamp && events !== undefined) followSearch(events, position, ids);
  return position;
}

// A search has its own events. Parts that it has not fetched are as old as before, and so is the position then.
function followSearch(events, position, ids) {
  if ([...document.querySelectorAll("[data-live]")].every((part) => ids.includes(part.id))) lamp.dataset.position = position;
  if (events === lamp.dataset.events) return;
  lamp.dataset.events = events;
  connect();
}

// Live: an event lets the parts be fetched again, at most once a second, and not while the page is hidden. The stream
// begins at the position with which the page, or its latest update, was up to date: what came since then is not missed.
let stream, waiting, isBusy = false, isLate = false, last = -1000;

function show(text) {
  lamp.textContent = text;
  lamp.classList.toggle("connected", text === "Live");
}

function refreshSoon() {
  isLate = true;
  if (!document.hidden && !isBusy) waiting ??= setTimeout(refresh, Math.max(0, last + 1000 - performance.now()));
}

async function refresh() {
  [waiting, isBusy, isLate, last] = [undefined, true, false, performance.now()];
  const parts = Map.groupBy(document.querySelectorAll("[data-live]"), (part) => part.dataset.live || location.href.split("#")[0]);
  const before = searches, positions = [];
  try {
    for (const [address, those] of parts) positions.push(await update(address, those.map((part) => part.id)));
    if (before === searches && positions.length && positions.every(Boolean)) lamp.dataset.position = Math.min(...positions);
    if (stream.readyState === EventSource.OPEN) show("Live");
    else if (stream.readyState === EventSource.CLOSED && !document.hidden) connect();
  } catch {
    show("Not up to date");
  }
  isBusy = false;
  if (isLate) refreshSoon();
}

// A connection that breaks is made anew by the browser, which names the last event that it has got: nothing is missed.
function connect() {
  stream?.close();
  stream = new EventSource(`/api/events?${lamp.dataset.events}&after=${lamp.dataset.position}`);
  stream.onopen = () => show("Live");
  stream.onmessage = refreshSoon;
  stream.addEventListener("gap", refreshSoon);
  stream.onerror = () => show("Reconnecting…");
}

// A stream that has been closed, by the server or because the page was hidden, begins again after the next update.
if (lamp) {
  connect();
  setInterval(() => { if (stream.readyState === EventSource.CLOSED) refreshSoon(); }, 5000);
  document.addEventListener("visibilitychange", () => { if (document.hidden) stream.close(); else refreshSoon(); });
}

// Search as you type; the address of the page is that of the search.
let pause, request;

async function search(form) {
  const fields = [...new FormData(form)].filter(([, value]) => value !== "");
  const address = `${form.getAttribute("action")}?${new URLSearchParams(fields)}`;
  request?.abort();
  request = new AbortController();
  try {
    await update(address, form.dataset.search.split(" "), request.signal);
  } catch (error) {
    if (error.name !== "AbortError") form.submit();
  }
}

document.addEventListener("input", ({ target }) => {
  if (!target.form) return;
  touched.add(target.form);
  if (!target.form.dataset.search) return;
  clearTimeout(pause);
  pause = setTimeout(search, 250, target.form);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const field = document.querySelector("input[type=search]");
  if (field) event.preventDefault();
  field?.select();
});

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy]");
  if (!button) return;
  const label = button.textContent;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
});

// A form that changes something is sent once, however often its button is clicked.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.getAttribute("method") !== "post") return;
  if (sent.has(form)) event.preventDefault();
  sent.add(form);
  setTimeout(() => { for (const each of form.querySelectorAll("button")) each.disabled = true; });
});
addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); });

root.classList.add("has-scripts");
root.classList.toggle("has-clipboard", Boolean(navigator.clipboard));
freshenTimes();
setInterval(freshenTimes, 1000);
