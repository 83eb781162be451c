// Questions that were decided elsewhere while they are on the page: the form stays, in grey, with who decided what, and
// with what was typed. It can be copied, and not sent.

// Show in a form's place that it cannot be sent any more.
function settle(place) {
  place.dataset.settled = "";
  for (const control of place.querySelectorAll("input, textarea")) control.readOnly = true;
  for (const control of place.querySelectorAll("select, [type=checkbox], form button:not([type=button])")) control.disabled = true;
}

// Insert the decision as the page of the workflow shows it. A question that is only on another page of the list now can
// still be answered.
async function addDecision(question) {
  question.dataset.looked = "";
  const answer = await fetch(question.querySelector("h3 a").href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (page.querySelector("#answer form")) return;
  settle(question);
  const decision = answer.redirected ? null : page.getElementById("decision");
  if (!decision || !question.isConnected) return;
  decision.removeAttribute("id");
  decision.className = "question-times decision small"; // in place of the deadline, so that nothing below moves
  question.querySelector(".question-times").replaceWith(document.adoptNode(decision));
}

document.addEventListener("console:fetched", ({ detail: { page } }) => {
  const answer = document.getElementById("answer");
  if (answer?.dataset.settled !== undefined && page.getElementById("answer")) answer.remove(); // it is asked again
});

document.addEventListener("console:updated", () => {
  for (const question of document.querySelectorAll(".question.gone:not([data-looked])")) addDecision(question);
  const answer = document.getElementById("answer");
  if (!answer || answer.dataset.settled !== undefined || !document.getElementById("decision")) return;
  answer.classList.add("gone");
  answer.querySelector("h2").textContent = "No longer waiting for your decision";
  settle(answer);
});
