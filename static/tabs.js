// Tabs: a link of a part with data-tabs changes this part alone. The rest of the page stays as it is, with what is typed
// there. The address is the tab's, and the browser's buttons go back and forth between tabs.

const part = document.querySelector("[data-tabs]");
let shown = location.pathname + location.search, request;

function isPlainClick(event) {
  return !event.defaultPrevented && event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
}

async function showTab(address) {
  request?.abort();
  request = new AbortController();
  const answer = await fetch(address, { headers: { Accept: "text/html" }, signal: request.signal });
  if (!answer.ok || answer.redirected) throw new Error(`the page answered ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  replacePart(page.getElementById(part.id), address);
}

function replacePart(fresh, address) {
  const hasFocus = part.contains(document.activeElement), before = part.dataset.live;
  for (const each of document.querySelectorAll("[data-live]")) if (each.dataset.live === before) each.dataset.live = fresh.dataset.live;
  part.replaceChildren(...document.adoptNode(fresh).childNodes);
  shown = address;
  if (hasFocus) findLink(address)?.focus({ preventScroll: true });
  document.dispatchEvent(new Event("console:updated"));
}

function findLink(address) {
  const links = [...part.querySelectorAll("a")];
  return links.find((each) => each.pathname + each.search === address) ?? part.querySelector(".tabs [aria-current]");
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("[data-tabs] a[href]");
  if (!link || !isPlainClick(event) || link.pathname !== location.pathname || link.hash) return;
  event.preventDefault();
  const address = link.pathname + link.search;
  try {
    await showTab(address);
    history.pushState(null, "", address);
  } catch (error) {
    if (error.name !== "AbortError") location.assign(address);
  }
});

addEventListener("popstate", async () => {
  const address = location.pathname + location.search;
  if (address === shown) return; // only the fragment has changed
  try {
    await showTab(address);
  } catch (error) {
    if (error.name !== "AbortError") location.reload();
  }
});
