// Keeps two parts of benchmark pages up to date; both pages work without this file.

// A run that goes on: <section id="progress" data-poll="ADDRESS">. When it is over the page loads
// anew, with its results.
const EVERY = 1500;

function part(html, id) {
  return new DOMParser().parseFromString(html, "text/html").getElementById(id);
}

async function fresh(section) {
  try {
    const response = await fetch(section.dataset.poll, { headers: { "X-Requested-With": "fetch" } });
    return response.ok && !response.redirected ? part(await response.text(), "progress") : null;
  } catch {
    return null; // the network may come back
  }
}

async function follow() {
  const section = document.querySelector("[data-poll]");
  if (!section) return;
  const found = await fresh(section);
  if (found && !found.dataset.poll) return location.reload();
  if (found && !section.contains(document.activeElement)) section.replaceWith(found);
  setTimeout(follow, EVERY);
}

setTimeout(follow, EVERY);

// A form that says what the run would cost: <form data-estimate> with an element #estimate.
const form = document.querySelector("form[data-estimate]");
let waiting, latest = 0;

async function estimate() {
  const mine = ++latest;
  const body = new FormData(form);
  body.set("estimate", "1");
  try {
    const headers = { "X-Requested-With": "fetch" };
    const response = await fetch(location.href, { method: "POST", body, headers });
    const found = response.ok ? part(await response.text(), "estimate") : null;
    if (found && mine === latest) document.getElementById("estimate").replaceWith(found);
  } catch {
    // The estimate stays as it is; the server checks again before it starts anything.
  }
}

if (form) {
  form.querySelector("[data-needless]").hidden = true;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(estimate, 400);
  });
}
