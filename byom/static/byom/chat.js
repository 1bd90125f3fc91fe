// The chat page: sends a message and shows the answer while it streams. Without this file the
// form is posted and the page comes back with the whole answer.
import { renderMarkdown } from "./markdown.js";

const form = document.getElementById("composer");
const chat = document.getElementById("chat");

for (const button of chat.querySelectorAll("[data-copy-message]")) button.hidden = false;
chat.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-message]");
  if (button) copy(button);
});
if (form) setUp();

function setUp() {
  const box = form.elements.content;
  const send = document.getElementById("send");
  const stop = document.getElementById("stop");
  const status = document.getElementById("chat-status");
  const labels = JSON.parse(document.getElementById(form.dataset.labels).textContent);
  let running = null;

  stop.addEventListener("click", () => running?.abort());
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running && box.value.trim()) turn(box.value);
  });
  window.scrollTo(0, document.documentElement.scrollHeight);
  box.focus({ preventScroll: true });

  async function turn(text) {
    running = new AbortController();
    const body = new URLSearchParams(new FormData(form));
    begin(text);
    const question = addMessage("user", "You", text);
    const answer = addMessage("assistant waiting", "Model", "");
    try {
      const response = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "text/event-stream" },
        body,
        signal: running.signal,
      });
      if (isStream(response)) {
        await follow(response, answer);
      } else {
        question.remove();
        giveBack(text);
        fail(answer, await refusal(response));
      }
    } catch (error) {
      if (error.name === "AbortError") stopped(answer);
      else fail(answer, { code: "connection_lost", detail: "Load the page again to see what arrived." });
    } finally {
      end(answer);
    }
  }

  function begin(text) {
    for (const old of document.querySelectorAll("#no-messages, #last-reason, .problem:not([data-stays])")) old.remove();
    const title = document.getElementById("chat-title");
    if (!chat.children.length && title.textContent === "New chat") {
      title.textContent = text.trim().split("\n")[0].slice(0, 60);
    }
    box.value = "";
    chat.setAttribute("aria-busy", "true");
    status.textContent = "The model is answering.";
    send.hidden = true;
    stop.hidden = false;
  }

  function end(answer) {
    running = null;
    answer.classList.remove("waiting");
    chat.removeAttribute("aria-busy");
    send.hidden = false;
    stop.hidden = true;
    box.focus({ preventScroll: true });
  }

  function giveBack(text) {
    if (!box.value) box.value = text;
  }

  async function follow(response, answer) {
    let shown = answer.querySelector(".text");
    let text = "";
    let finished = false;
    let frame = 0; // drawn once per frame, however many pieces arrive
    const draw = () => {
      frame = 0;
      keepingBottom(() => renderMarkdown(shown, text));
    };
    for await (const { name, data } of events(response.body)) {
      if (name === "started") {
        answer.querySelector(".who").textContent = data.model;
      } else if (name === "delta") {
        text += data.text;
        frame ||= requestAnimationFrame(draw);
      } else if (name === "tool_call" || name === "tool_result") {
        if (frame) draw();
        // What is said after a step stands below it.
        if (!text) shown.remove();
        shown = richText();
        text = "";
        keepingBottom(() => answer.querySelector(".after").before(step(name, data), shown));
      } else if (name === "done") {
        finished = true;
        if (frame) draw();
        done(answer, data);
      } else if (name === "error") {
        finished = true;
        fail(answer, data);
      }
    }
    cancelAnimationFrame(frame);
    if (!finished) throw new Error("the stream ended early");
  }

  function done(answer, { message, receipts = [], total, finish_reason: reason }) {
    status.textContent = "The answer is complete.";
    answer.querySelector(".who").textContent = "Model";
    const said = answer.querySelector(".text");
    if (message && !said.textContent) renderMarkdown(said, textOf(message));
    answer.querySelector("[data-copy-message]").hidden = false;
    const lines = receipts.map(receiptLine);
    if (total.calls > 1) lines.push(totalLine(total));
    keepingBottom(() => answer.querySelector(".after").before(...lines));
    if (reason in labels.ends) fail(null, { ...labels.ends[reason], stays: true });
  }

  function stopped(answer) {
    status.textContent = "Stopped.";
    const note = document.createElement("p");
    note.className = "receipt";
    note.textContent = answer.querySelector(".text").textContent
      ? "Stopped. What has arrived is kept, and counted in your usage."
      : "Stopped before an answer arrived.";
    answer.insertBefore(note, answer.querySelector(".after"));
  }

  function fail(answer, { code, detail, retry_after: wait, request_id: request, stays = false }) {
    const problem = fromTemplate("problem-template");
    const again = wait ? ` Try again in ${Math.ceil(wait)} s.` : "";
    const { title, action, link } = labels.advice[code] ?? labels.advice[""];
    problem.setAttribute("role", "alert");
    problem.toggleAttribute("data-stays", stays);
    problem.querySelector("[data-problem=title]").textContent = title;
    problem.querySelector("[data-problem=detail]").textContent = detail + again;
    const asked = problem.querySelector("[data-problem=request]");
    asked.hidden = !request;
    asked.querySelector("code").textContent = request ?? "";
    const way = problem.querySelector("[data-problem=action]");
    way.hidden = !link;
    way.firstElementChild.textContent = action;
    if (link) way.firstElementChild.href = link;
    if (answer && !answer.querySelector(".step") && !answer.querySelector(".text").textContent) answer.remove();
    status.textContent = "";
    keepingBottom(() => chat.append(problem));
  }

  function addMessage(role, who, text) {
    const message = fromTemplate("message-template");
    message.className = `message ${role}`;
    message.querySelector(".who").textContent = who;
    message.querySelector(".text").textContent = text;
    if (role === "user") message.querySelector(".after").remove();
    else message.querySelector(".text").classList.add("rich");
    chat.append(message);
    message.scrollIntoView({ block: "end" });
    window.scrollTo(0, document.documentElement.scrollHeight);
    return message;
  }

  function totalLine(total) {
    const line = fromTemplate("total-template");
    line.querySelector("[data-total=calls]").textContent = total.calls;
    line.querySelector("[data-total=tokens]").textContent = `${count(total.input_tokens)} in, ${count(total.output_tokens)} out`;
    line.querySelector("[data-total=cost]").textContent = usd(total.cost_usd);
    return line;
  }

  function receiptLine(receipt) {
    const line = fromTemplate("receipt-template");
    const first = receipt.ttft_ms === null ? "" : `, first token ${duration(receipt.ttft_ms)}`;
    const values = {
      provider: labels.providers[receipt.provider] ?? receipt.provider,
      model: receipt.model,
      tokens: `${count(receipt.input_tokens)} in, ${count(receipt.output_tokens)} out`,
      cost: usd(receipt.cost_usd),
      latency: duration(receipt.latency_ms) + first,
      payer: labels.paid_by[receipt.paid_by] ?? receipt.paid_by,
    };
    for (const [name, value] of Object.entries(values)) {
      line.querySelector(`[data-receipt=${name}]`).textContent = value;
    }
    line.querySelector("[data-receipt=simulated]").hidden = !receipt.simulated;
    const warning = line.querySelector("[data-receipt=warnings]");
    warning.textContent = receipt.warnings.join(" ");
    warning.hidden = !warning.textContent;
    return line;
  }
}

// A tool that the model calls, or what came of it, as a row that opens.
function step(kind, data) {
  const row = fromTemplate("step-template");
  const isResult = kind === "tool_result";
  const part = (name) => row.querySelector(`[data-step=${name}]`);
  part("kind").textContent = isResult ? "Result of" : "Calls";
  part("name").textContent = data.name;
  part("failed").hidden = !data.is_error;
  part("time").textContent = data.duration_ms === undefined ? "" : duration(data.duration_ms);
  part("content").textContent = isResult ? data.content : JSON.stringify(data.arguments, null, 2);
  return row;
}

function richText() {
  const made = document.createElement("div");
  made.className = "text rich";
  return made;
}

function textOf({ content }) {
  if (typeof content === "string") return content;
  return content.filter((part) => part.type === "text").map((part) => part.text).join("");
}

async function copy(button) {
  const texts = button.closest(".message").querySelectorAll(":scope > .text");
  const text = [...texts].map((part) => part.innerText).join("\n\n");
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  button.textContent = done ? "Copied" : "Select the text and press Ctrl+C";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

function fromTemplate(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

// Follows the growing answer, unless the reader has scrolled up to read.
function keepingBottom(change) {
  const page = document.documentElement;
  const atBottom = page.scrollHeight - window.scrollY - window.innerHeight < 80;
  change();
  if (atBottom) window.scrollTo(0, page.scrollHeight);
}

function isStream(response) {
  return response.ok && (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
}

async function refusal(response) {
  if ((response.headers.get("Content-Type") ?? "").startsWith("application/json")) {
    return response.json();
  }
  if (response.redirected) return { code: "signed_out", detail: "Load the page again to sign in." };
  return { detail: `The server refused this (${response.status}). Load the page again and retry.` };
}

// Server-sent events of a response body, as {name, data}.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (waiting + value).split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) yield parse(block);
  }
}

function parse(block) {
  const field = (name) =>
    block
      .split("\n")
      .filter((line) => line.startsWith(`${name}: `))
      .map((line) => line.slice(name.length + 2))
      .join("\n");
  return { name: field("event"), data: JSON.parse(field("data") || "null") };
}

// The same rules as usage/templatetags/usage_format.py.

// Reckoned in whole numbers: as a float, half of the last digit may round down.
function usd(cost) {
  if (cost === null) return "no price";
  const [units, part = ""] = cost.split(".");
  const value = BigInt(units + part);
  if (value === 0n) return "$0";
  const magnitude = value.toString().length - part.length - 1;
  const decimals = magnitude >= 0 ? 2 : Math.max(2, 2 - magnitude);
  const step = 10n ** BigInt(Math.max(0, part.length - decimals));
  const grown = value * 10n ** BigInt(Math.max(0, decimals - part.length));
  const digits = ((grown + step / 2n) / step).toString().padStart(decimals + 1, "0");
  const fraction = digits.slice(-decimals).replace(/0+$/, "").padEnd(2, "0");
  return `$${BigInt(digits.slice(0, -decimals)).toLocaleString("en")}.${fraction}`;
}

function duration(milliseconds) {
  if (milliseconds === null) return "–";
  const whole = Math.round(milliseconds);
  if (whole < 1000) return `${whole} ms`;
  const tenths = Math.floor((whole + 50) / 100);
  return `${Math.floor(tenths / 10)}.${tenths % 10} s`;
}

function count(number) {
  return number.toLocaleString("en");
}
