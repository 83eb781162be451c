// Drafts: what is typed into a form stays in the storage of this window until the server has accepted the form. It comes
// back with the form: after another page or tab, after a login, and after a refusal. Passwords are never stored, and no
// other user gets a draft.

const PREFIX = "flowlet draft ";
const SKIPPED = ["hidden", "password", "file", "submit", "button", "reset"];
const { user, saved } = document.body.dataset;
const held = new WeakSet(); // forms that have been restored

// An answer has one draft in the inbox and on the page of its workflow. Forms with one address differ by data-draft.
function nameDraft(form) {
  const path = new URL(form.getAttribute("action"), location).pathname.replace("/inbox/", "/workflows/");
  return PREFIX + path + (form.dataset.draft ? ` ${form.dataset.draft}` : "");
}

const listForms = () => [...document.querySelectorAll("form[method=post]")];
const listNames = () => Object.keys(sessionStorage).filter((name) => name.startsWith(PREFIX));
const readDraft = (name) => JSON.parse(sessionStorage.getItem(name));

function writeDraft(name, draft) {
  try {
    sessionStorage.setItem(name, JSON.stringify(draft));
  } catch (error) {
    if (error.name !== "QuotaExceededError") throw error; // the text is then in the form alone
    sessionStorage.removeItem(name);
  }
}

// Controls: a check box is named by its value too, because several of them may have one name.
const listControls = (form) => [...form.elements].filter((each) => each.name && !SKIPPED.includes(each.type) && !("noDraft" in each.dataset));
const identify = (control) => control.type === "checkbox" ? `${control.name}=${control.value}` : control.name;
const read = (control) => control.type === "checkbox" ? String(control.checked) : control.value;

function write(control, value) {
  if (control.type === "checkbox") control.checked = value === "true";
  else control.value = value;
}

function readRendered(control) {
  if (control.type === "checkbox") return String(control.defaultChecked);
  if (control.nodeName !== "SELECT") return control.defaultValue;
  const options = [...control.options];
  return (options.find((each) => each.defaultSelected) ?? options[0])?.value ?? "";
}

// A draft has the changed fields only: if another user has changed another field meanwhile, its new value stays.
function saveDraft(form, changes = {}) {
  const name = nameDraft(form), version = form.elements.namedItem("version")?.value;
  const draft = readDraft(name) ?? { user, version, fields: {} };
  for (const control of listControls(form)) {
    const key = identify(control), before = draft.fields[key]?.before ?? readRendered(control), value = read(control);
    const label = control.labels?.[0]?.textContent.trim() ?? control.name;
    if (value === before) delete draft.fields[key];
    else draft.fields[key] = { before, value, label };
  }
  if (Object.keys(draft.fields).length) writeDraft(name, { ...draft, ...changes });
  else sessionStorage.removeItem(name);
}

function restoreDraft(form) {
  const draft = readDraft(nameDraft(form));
  if (!draft) return;
  const restored = [];
  for (const control of listControls(form)) {
    const kept = draft.fields[identify(control)];
    if (!kept || read(control) === kept.value) continue;
    write(control, kept.value);
    if (read(control) === kept.value) restored.push(control); // a choice may be gone
    else write(control, readRendered(control));
  }
  if (!restored.length) {
    holdForm(form, draft);
    return;
  }
  const id = form.elements.namedItem("form_id");
  if (id && draft.formId) id.value = draft.formId; // a form that has arrived after all does nothing a second time
  const version = form.elements.namedItem("version")?.value;
  addNote(form, restored[0], version !== draft.version);
  for (let fold = restored[0].closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  holdForm(form, draft);
}

// From now on updates leave the form as it is, as if the user had just typed.
function holdForm(form, draft) {
  if (held.has(form)) return;
  held.add(form);
  listControls(form).find((each) => identify(each) in draft.fields)?.dispatchEvent(new Event("input", { bubbles: true }));
}

function addNote(form, control, isOld) {
  const note = document.createElement("p"), discard = createButton("Discard");
  note.className = "note draft-note";
  note.setAttribute("role", "status");
  note.append(`Your unsent input was restored.${isOld ? " The page has changed since then: check it before you send it." : ""} `, discard);
  (control.closest(".field") ?? control).before(note);
  discard.addEventListener("click", () => {
    form.reset();
    sessionStorage.removeItem(nameDraft(form));
    note.remove();
  });
}

function createButton(label) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small";
  button.textContent = label;
  return button;
}

// What was sent and not accepted, if the page has no form for it any more: another user was faster.
function showRefusedDraft(name, draft) {
  const part = document.createElement("section"), header = document.createElement("header"), list = document.createElement("dl");
  const title = document.createElement("h2"), gap = document.createElement("span"), discard = createButton("Discard");
  [part.className, gap.className, list.className, title.textContent] = ["card refused-draft", "grow", "facts", "Not saved: what you typed"];
  for (const { label, value } of Object.values(draft.fields)) {
    const pair = document.createElement("div"), term = document.createElement("dt"), text = document.createElement("dd");
    [term.textContent, text.textContent] = [label, value];
    pair.append(term, text);
    list.append(pair);
  }
  discard.addEventListener("click", () => {
    sessionStorage.removeItem(name);
    part.remove();
  });
  header.append(title, gap, discard);
  part.append(header, list);
  document.querySelector(".page-header, .panel").after(part);
}

// The page after a form says whether it was accepted. The page of the login says nothing of that.
function settleSentDrafts() {
  const names = listForms().map(nameDraft);
  for (const name of listNames()) {
    const draft = readDraft(name);
    if (draft.user !== user || (draft.sent && saved !== undefined)) sessionStorage.removeItem(name);
    else if (draft.sent) {
      writeDraft(name, { ...draft, sent: false });
      if (!names.includes(name)) showRefusedDraft(name, draft);
    }
  }
}

const restoreDrafts = () => listForms().forEach(restoreDraft);

if (user !== undefined) {
  settleSentDrafts();
  restoreDrafts();
  document.addEventListener("console:updated", restoreDrafts);
  document.addEventListener("input", ({ target }) => { if (target.form?.getAttribute("method") === "post") saveDraft(target.form); });
  document.addEventListener("submit", ({ target }) => {
    if (target.getAttribute("method") !== "post") return;
    if (target.matches(".sidebar form")) listNames().forEach((name) => sessionStorage.removeItem(name));
    else saveDraft(target, { sent: true, formId: target.elements.namedItem("form_id")?.value });
  });
}
