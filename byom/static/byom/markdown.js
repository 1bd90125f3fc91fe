// The little of Markdown that makes answers readable: fenced code, `code` and **strong**.
// It only ever makes text nodes inside four kinds of element, so no answer can inject anything.

export function renderText(target, text) {
  const parts = text.split(/^```[^\n]*\n?/m);
  const nodes = parts.flatMap((part, index) => {
    if (index % 2) return [block(part)];
    // A block has its own space around it.
    if (index > 0) part = part.replace(/^\n+/, "");
    return inline(index < parts.length - 1 ? part.replace(/\n+$/, "") : part);
  });
  target.replaceChildren(...nodes);
}

function block(text) {
  const pre = document.createElement("pre");
  pre.tabIndex = 0; // so that a keyboard can scroll it
  pre.append(element("code", text.replace(/\n$/, "")));
  return pre;
}

function inline(text) {
  const pieces = text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/);
  return pieces.filter(Boolean).map((piece) => {
    if (/^`[^`]+`$/.test(piece)) return element("code", piece.slice(1, -1));
    if (/^\*\*[^*]+\*\*$/.test(piece)) return element("strong", piece.slice(2, -2));
    return document.createTextNode(piece);
  });
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
