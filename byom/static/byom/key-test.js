// Tests a key without leaving the page. A form with data-parts, or a button with it, is answered
// with parts of this page, each for the element of its id. Without this file the form reloads.
const report = document.getElementById("report");
const LOST = "No answer came back. Reload the page, sign in if you are asked to, and test again.";

function say(sentence, level) {
  const notice = document.createElement("div");
  notice.className = `notice ${level}`;
  notice.textContent = sentence;
  report.replaceChildren(notice);
}

function place(html) {
  const answer = new DOMParser().parseFromString(html, "text/html");
  if (!answer.getElementById("report")) return say(LOST, "warning");
  for (const part of answer.querySelectorAll("[id]")) {
    document.getElementById(part.id)?.replaceChildren(...part.childNodes);
  }
}

function setBusy(button, busy) {
  // Not `disabled`: the button would lose the focus.
  button.toggleAttribute("data-busy", busy);
  button.setAttribute("aria-disabled", busy);
  button.setAttribute("aria-busy", busy);
}

async function test(form, button) {
  const body = new FormData(form);
  const address = button.hasAttribute("formaction") ? button.formAction : form.action;
  setBusy(button, true);
  say("Asking the provider…", "");
  try {
    const headers = { "X-Requested-With": "fetch" };
    const response = await fetch(address, { method: "POST", body, headers });
    place(await response.text());
  } catch {
    say(LOST, "warning");
  }
  setBusy(button, false);
}

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button?.hasAttribute("data-busy")) return event.preventDefault();
  if (button?.closest("[data-parts]")) {
    event.preventDefault();
    test(event.target, button);
  } else if (button?.hasAttribute("data-waits")) {
    setBusy(button, true); // the page goes when the provider has answered
  }
});

// Back from the next page, as it was left.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[data-busy]")) setBusy(button, false);
});
