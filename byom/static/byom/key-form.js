// Hints while a key is typed. The server decides; these are only for orientation.
const form = document.getElementById("key-form");
const providers = [...document.querySelectorAll("#providers > li")].map((row) => ({
  ...row.dataset,
  prefixes: row.dataset.prefixes.split(" ").filter(Boolean),
  adminPrefixes: row.dataset.adminPrefixes.split(" ").filter(Boolean),
  needsBaseUrl: "needsBaseUrl" in row.dataset,
}));
const { provider: choice, api_key: key, model_name: model } = form.elements;

const hint = document.createElement("div");
hint.className = "helptext";
hint.id = "key-hint";
hint.setAttribute("role", "status");
key.closest(".field").append(hint);
key.setAttribute("aria-describedby", `${key.getAttribute("aria-describedby") || ""} key-hint`.trim());

function longestPrefix(text, field) {
  const found = providers.flatMap((row) =>
    row[field].filter((prefix) => text.startsWith(prefix)).map((prefix) => ({ row, prefix })),
  );
  return found.sort((a, b) => b.prefix.length - a.prefix.length)[0];
}

function sentence(text, chosen) {
  if (!text) return "";
  if (/^(sk-ant-|sk-|AIza-)?sim-/.test(text)) {
    return "This is a simulator key: it works with every provider, and nothing is billed.";
  }
  if (longestPrefix(text, "adminPrefixes")) {
    return "This looks like an admin key, which can do far more than needed. Use a normal API key.";
  }
  const guess = longestPrefix(text, "prefixes")?.row;
  if (!guess) return "";
  if (guess.name === chosen.name || chosen.needsBaseUrl) return `This looks like a key for: ${guess.label}.`;
  return `This looks like a key for: ${guess.label}. You have chosen ${chosen.label}.`;
}

function source(chosen) {
  const link = document.createElement("a");
  link.href = chosen.help;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.textContent = `Get a key from ${chosen.label}`;
  return link;
}

const sources = document.createElement("div");
sources.className = "helptext";
choice.closest(".field").append(sources);
document.getElementById("key-sources").hidden = true;

function update() {
  const chosen = providers.find((row) => row.name === choice.value);
  if (!chosen) return;
  hint.textContent = sentence(key.value.trim(), chosen);
  sources.replaceChildren(...(chosen.help ? [source(chosen)] : []));
  model.placeholder = chosen.model;
  form.elements.base_url.required = chosen.needsBaseUrl;
  const shown = chosen.needsBaseUrl || form.elements.base_url.value;
  form.elements.base_url.closest(".field").hidden = !shown;
}

choice.addEventListener("change", update);
key.addEventListener("input", () => {
  // Until a person chooses, the choice follows the key.
  const guess = longestPrefix(key.value.trim(), "prefixes")?.row;
  if (guess && !choice.dataset.chosen && !/sim-/.test(key.value)) choice.value = guess.name;
  update();
});
choice.addEventListener("change", () => (choice.dataset.chosen = "yes"));
update();
