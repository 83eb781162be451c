// What scripts add to the pages, which all work without them: relative times, live parts, search as you type, copying,
// the key "/" for searching, and forms that are sent once.

const root = document.documentElement;
const lamp = document.querySelector("[data-events]");
const offset = Number(document.body.dataset.now) - Date.now(); // how far the server's clock is ahead of this one
const touched = new WeakSet(); // forms that the user has begun to fill in
const sent = new WeakSet();

// Times: as flowlet/web/console/times.py writes them, but in the reader's own zone.
const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const isUtc = localStorage.getItem("zone") === "UTC";
const timeZone = isUtc ? "UTC" : undefined;
const day = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "long", timeZone });
const zoneName = clock.resolvedOptions().timeZone;

function distance(seconds) {
  const parts = [];
  let rest = Math.floor(seconds);
  for (const [size, unit] of units) {
    parts.push(rest >= size ? `${Math.floor(rest / size)} ${unit}` : "");
    rest %= size;
  }
  const first = parts.findIndex((part) => part);
  return first < 0 ? "0 s" : parts.slice(first, first + 2).filter((part) => part).join(" ");
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
  for (const each of document.querySelectorAll("[data-zone]")) {
    each.disabled = false;
    if (each.textContent !== `Times in ${zoneName}`) each.textContent = `Times in ${zoneName}`;
  }
}

// Time fields are in the zone that is shown; the address always says which.
function formatLocal(time) {
  const local = new Date(time - time.getTimezoneOffset() * 60000);
  return local.toISOString().slice(0, 19);
}

if (!isUtc) {
  for (const each of document.querySelectorAll("input[data-utc]")) {
    if (each.value) each.value = formatLocal(new Date(`${each.value}Z`));
    for (const label of each.labels) label.textContent = label.textContent.replace("(UTC)", `(${zoneName})`);
  }
}

document.addEventListener("formdata", ({ target, formData }) => {
  for (const each of target.querySelectorAll("input[data-utc]")) {
    if (each.value) formData.set(each.name, isUtc ? `${each.value}Z` : new Date(each.value).toISOString());
  }
});

document.addEventListener("click", ({ target }) => {
  if (!target.closest("[data-zone]")) return;
  if (isUtc) localStorage.removeItem("zone");
  else localStorage.setItem("zone", "UTC");
  location.reload();
});

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
  document.title = page.title;
  const { events, position } = page.querySelector("[data-events]")?.dataset ?? {};
  const focused = document.activeElement;
  document.dispatchEvent(new CustomEvent("console:fetched", { detail: { page, isSearch: Boolean(signal) } }));
  for (const id of ids) {
    const old = document.getElementById(id), fresh = page.getElementById(id);
    if (!old || !fresh) continue;
    if (isShown(old, address, signal)) patch(old, document.adoptNode(fresh));
    else refreshSoon();
  }
  const navigation = page.getElementById("navigation"); // its counts follow too
  if (navigation && new URL(address, location).pathname === location.pathname) patch(document.getElementById("navigation"), document.adoptNode(navigation));
  if (focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
  document.dispatchEvent(new Event("console:updated"));
  if (signal && lamp && events !== undefined) followSearch(events, position, ids);
  return position;
}

// Whether a part still shows this address: another tab may have been opened meanwhile.
function isShown(part, address, isSearch) {
  return isSearch || !part.dataset.live || part.dataset.live === address;
}

// A search has its own events. Parts that it has not fetched are as old as before, and so is the position then.
function followSearch(events, position, ids) {
  delete lamp.dataset.faulty;
  if ([...document.querySelectorAll("[data-live]")].every((part) => ids.includes(part.id))) lamp.dataset.position = position;
  if (events === lamp.dataset.events) return;
  lamp.dataset.events = events;
  connect();
}

// Live: an event lets the parts be fetched again, at most once a second, and not while the page is hidden. The stream
// begins at the position with which the page, or its latest update, was up to date: what came since then is not missed.
let stream, waiting, isBusy = false, isLate = false, isPaused = false, last = -1000;

// "Live" means data: the server beats every five seconds in which it has read the database and nothing has happened.
// After two beats that have not come, the page says as of when it is. What changes without an event, such as how long
// something is overdue, is fetched again with each third beat.
const beatSeconds = 5, maxSilentSeconds = 30;
let beats = 0, isFailed = false, currentAt = performance.now(), heardAt = currentAt;

function show(text) {
  if (isPaused) return;
  if (lamp.textContent !== text) lamp.textContent = text;
  lamp.classList.toggle("connected", text === "Live");
}

function showLive(at) {
  currentAt = at;
  show("Live");
}

function showStale() {
  const now = Date.now() + offset, time = new Date(now - (performance.now() - currentAt));
  show(`Not live, as of ${formatTime(time, "at", new Date(now))}`);
}

function onBeat() {
  beats += 1;
  heardAt = performance.now();
  if (!isFailed && !isBusy && !isLate) showLive(heardAt);
  if (isFailed || beats % 3 === 0) refreshSoon();
}

function onEvent() {
  heardAt = performance.now();
  refreshSoon();
}

// A connection that a router has dropped looks open for ever.
function checkBeats() {
  if (document.hidden) return;
  const now = performance.now();
  if (now - currentAt > (2 * beatSeconds + 1) * 1000) showStale();
  if (now - heardAt > maxSilentSeconds * 1000) stream.close();
}

const isFaulty = () => lamp?.dataset.faulty !== undefined; // the page is an error, and would be one again

function refreshSoon() {
  if (isFaulty()) return;
  isLate = true;
  if (!document.hidden && !isPaused && !isBusy) waiting ??= setTimeout(refresh, Math.max(0, last + 1000 - performance.now()));
}

async function refresh() {
  [waiting, isBusy, isLate, last] = [undefined, true, false, performance.now()];
  const parts = Map.groupBy(document.querySelectorAll("[data-live]"), (part) => part.dataset.live || location.href.split("#")[0]);
  const before = searches, positions = [];
  try {
    for (const [address, those] of parts) positions.push(await update(address, those.map((part) => part.id)));
    if (before === searches && positions.length && positions.every(Boolean)) lamp.dataset.position = Math.min(...positions);
    isFailed = false;
    if (stream.readyState === EventSource.OPEN) showLive(last);
    else if (stream.readyState === EventSource.CLOSED && !document.hidden) connect();
  } catch {
    isFailed = true;
    showStale();
  }
  isBusy = false;
  if (isLate) refreshSoon();
}

// A connection that breaks is made anew by the browser, which names the last event that it has got: nothing is missed.
function connect() {
  stream?.close();
  stream = new EventSource(`${lamp.dataset.stream}?${lamp.dataset.events}&beats=true&after=${lamp.dataset.position}`);
  heardAt = performance.now();
  stream.onmessage = onEvent;
  stream.addEventListener("beat", onBeat);
  stream.addEventListener("gap", onEvent);
  stream.onerror = () => show("Reconnecting…");
}

// A stream that has been closed, by the server, by silence or because the page was hidden, begins again after the next
// update; that of an error at once.
function resume() {
  if (document.hidden || stream.readyState !== EventSource.CLOSED) return;
  if (isFaulty()) connect();
  else refreshSoon();
}

if (lamp) {
  connect();
  setInterval(checkBeats, 1000);
  setInterval(resume, 5000);
  document.addEventListener("visibilitychange", () => { if (document.hidden) stream.close(); else { resume(); refreshSoon(); } });
}

// The button beside the lamp: without live updates the page stays as it is, unless the user asks for one.
document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-pause]");
  if (!button) return;
  show("Not live");
  isPaused = !isPaused;
  button.setAttribute("aria-pressed", String(!isPaused));
  if (!isPaused) refreshSoon();
});
document.addEventListener("console:refresh", refresh);

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

// Escape closes the confirmation that is open, and the focus returns to its button.
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && (event.target.closest(".confirm[open]") ?? document.querySelector(".confirm[open]"));
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
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
document.addEventListener("console:updated", freshenTimes);
freshenTimes();
setInterval(freshenTimes, 1000);
