// A button that copies the text of a field: <button data-copy="id of the field" hidden>.
const said = document.getElementById("copied");

async function copied(field) {
  if (navigator.clipboard) return navigator.clipboard.writeText(field.value).then(() => true, () => false);
  field.select(); // without https there is no clipboard object
  return document.execCommand("copy");
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    const done = await copied(field);
    if (!done) field.select();
    said.textContent = done ? "Copied." : "Press Ctrl+C to copy it.";
  });
}
