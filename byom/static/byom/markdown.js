// Markdown of an answer while it streams: headings, lists, quotes, code, strong,
// emphasis, links. It only ever makes text nodes inside a fixed set of elements and lets links go
// to http, https and mailto only, so no answer can inject anything. Once the page is loaded again
// the server draws the same (agents/markdown.py).

export function renderMarkdown(target, text) {
  const nodes = text.split(/^```[^\n]*\n?/m).flatMap((part, index) => (index % 2 ? [code(part)] : blocks(part)));
  target.replaceChildren(...nodes);
}

function code(text) {
  const pre = document.createElement("pre");
  pre.tabIndex = 0; // so that a keyboard can scroll it
  pre.append(element("code", document.createTextNode(text.replace(/\n$/, ""))));
  return pre;
}

function blocks(text) {
  const made = [];
  for (const line of text.split("\n")) {
    const { kind, body, level } = kindOf(line);
    const last = made.at(-1);
    if (kind === "blank") made.push({ kind });
    else if (kind === "heading") made.push({ kind, level, lines: [body] });
    else if (kind === "p" && last?.kind !== "heading" && last?.lines) last.lines[last.lines.length - 1] += `\n${body}`;
    else if (last?.kind === kind) last.lines.push(body);
    else made.push({ kind, lines: [body] });
  }
  return made.filter((block) => block.lines).map(draw);
}

function kindOf(line) {
  let found;
  if (!line.trim()) return { kind: "blank" };
  if ((found = line.match(/^(#{1,6}) +(.*?)#*$/))) return { kind: "heading", level: found[1].length, body: found[2] };
  if ((found = line.match(/^ *[-*+] +(.*)$/))) return { kind: "ul", body: found[1] };
  if ((found = line.match(/^ *\d+[.)] +(.*)$/))) return { kind: "ol", body: found[1] };
  if ((found = line.match(/^> ?(.*)$/))) return { kind: "blockquote", body: found[1] };
  return { kind: "p", body: line };
}

function draw({ kind, lines, level }) {
  if (kind === "heading") return element(`h${Math.min(6, level + 2)}`, ...inline(lines[0]));
  if (kind === "ul" || kind === "ol") return element(kind, ...lines.map((line) => element("li", ...inline(line))));
  return element(kind, ...inline(lines.join("\n")));
}

const PIECES = /(`[^`\n]+`|\*\*[^*\n]+\*\*|\*[^*\s][^*\n]*\*|\[[^\]\n]+\]\((?:https?:|mailto:)[^()\s]+\)|\n)/;

function inline(text) {
  return text.split(PIECES).filter(Boolean).map((piece) => {
    const link = piece.match(/^\[([^\]]+)\]\(((?:https?:|mailto:)[^()\s]+)\)$/);
    if (link) return anchor(...link.slice(1));
    if (piece === "\n") return document.createElement("br");
    if (/^`[^`]+`$/.test(piece)) return element("code", document.createTextNode(piece.slice(1, -1)));
    if (/^\*\*[^*]+\*\*$/.test(piece)) return element("strong", document.createTextNode(piece.slice(2, -2)));
    if (/^\*[^*]+\*$/.test(piece)) return element("em", document.createTextNode(piece.slice(1, -1)));
    return document.createTextNode(piece);
  });
}

function anchor(text, address) {
  const made = element("a", document.createTextNode(text));
  made.href = address;
  made.rel = "noopener noreferrer nofollow";
  return made;
}

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}
