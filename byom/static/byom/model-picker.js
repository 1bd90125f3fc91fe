// The field for a model as a combobox with prices (https://www.w3.org/WAI/ARIA/apg/patterns/combobox/),
// for the provider of the chosen key: those that are known here, then those that the provider lists
// for the key when it is asked. Without this file the browser's own list is there.

const MOST = 200;
const field = document.querySelector(".picker");
if (field) setUp();

function setUp() {
  const models = JSON.parse(document.getElementById(field.dataset.models).textContent);
  const box = field.querySelector("input");
  const list = field.querySelector("[role=listbox]");
  const picked = document.getElementById("picked");
  const keys = [...document.querySelectorAll("input[name=offer]")];
  const source = document.getElementById("list-source");
  const listed = new Map(); // by key: what its provider has said, or null while it is asked
  let shown = [];
  let active = -1;

  box.removeAttribute("list");
  for (const [name, value] of Object.entries({
    role: "combobox", "aria-controls": list.id, "aria-expanded": "false", "aria-autocomplete": "list",
  })) box.setAttribute(name, value);
  tell();

  box.addEventListener("input", () => { ask(chosenKey()); open(box.value); tell(); });
  box.addEventListener("click", browse);
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps) {
      event.preventDefault();
      if (list.hidden) browse();
      move(steps[event.key]);
    } else if (event.key === "Enter" && !list.hidden && active >= 0) {
      event.preventDefault();
      pick(shown[active].model);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
  // The box keeps the focus, and so its "blur" does not close the list before the click.
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) pick(option.dataset.model);
  });
  for (const key of keys) {
    key.addEventListener("change", () => {
      if (box.value && !offered().some(({ model }) => model === box.value) && known(box.value)) box.value = "";
      source.textContent = "";
      tell();
    });
  }

  // Once for each key: of a server of one's own nothing is known here, of others not all is.
  async function ask(key) {
    if (!key?.value || listed.has(key.value)) return;
    listed.set(key.value, null);
    source.textContent = "Asking the provider what this key reaches…";
    const body = new FormData();
    body.set("offer", key.value);
    body.set("csrfmiddlewaretoken", box.form.elements.csrfmiddlewaretoken.value);
    const answer = await fetch(field.dataset.ask, { method: "POST", body })
      .then((response) => response.json())
      .catch(() => ({ detail: "The server did not answer." }));
    if (answer.models?.length) listed.set(key.value, answer.models);
    if (key !== chosenKey()) return;
    source.textContent = answer.models ? "As the provider lists them for this key." : `Not asked: ${answer.detail}`;
    if (document.activeElement === box) known(box.value.trim()) ? browse() : open(box.value);
    tell();
  }

  function chosenKey() {
    return keys.find((key) => key.checked);
  }

  function offered() {
    const live = listed.get(chosenKey()?.value);
    if (live) return live;
    const provider = chosenKey()?.dataset.provider;
    return models.filter((each) => !provider || each.provider === provider);
  }

  function known(model) {
    return [...models, ...offered()].some((each) => each.model === model);
  }

  // Beside one that is picked all others are shown, or nobody could find them again.
  function browse() {
    ask(chosenKey());
    open(known(box.value.trim()) ? "" : box.value);
    active = shown.findIndex(({ model }) => model === box.value.trim());
    mark();
  }

  function open(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = ({ label, model }) => words.every((word) => `${label} ${model}`.toLowerCase().includes(word));
    shown = offered().filter(fits).slice(0, MOST);
    active = -1;
    list.replaceChildren(...shown.map(option));
    list.hidden = shown.length === 0;
    box.setAttribute("aria-expanded", String(!list.hidden));
    mark();
  }

  function close() {
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }

  function move(step) {
    if (!shown.length) return;
    active = active < 0 && step < 0 ? shown.length - 1 : (active + step + shown.length) % shown.length;
    mark();
  }

  function mark() {
    for (const [index, item] of [...list.children].entries()) {
      item.setAttribute("aria-selected", String(index === active));
    }
    if (active < 0) return box.removeAttribute("aria-activedescendant");
    box.setAttribute("aria-activedescendant", list.children[active].id);
    list.children[active].scrollIntoView({ block: "nearest" });
  }

  function pick(model) {
    box.value = model;
    close();
    tell();
  }

  // The price of what is chosen, said as it changes.
  function tell() {
    const named = box.value.trim();
    const usual = chosenKey()?.dataset.model;
    const model = offered().find((each) => each.model === (named || usual));
    if (model) picked.textContent = [`${model.label} ${model.model}`, model.prices && perMillion(model.prices), model.turn].filter(Boolean).join(" · ");
    else picked.textContent = named ? "no price · not among the models known here" : "";
  }

  function perMillion(prices) {
    return prices.startsWith("$") ? `${prices} per million tokens` : prices;
  }

  function option(each, index) {
    const item = document.createElement("li");
    item.id = `model-${index}`;
    item.setAttribute("role", "option");
    item.dataset.model = each.model;
    for (const [name, text] of [["name", each.model], ["from", each.label], ["cost", each.prices], ["turn", each.turn]]) {
      const part = document.createElement("span");
      part.className = name;
      part.textContent = text;
      item.append(part);
    }
    return item;
  }
}
