import { stream } from "./llmkit.js";
import { Markdown } from "./markdown.js";

const [scroller, messages, form, prompt, send, stop, newChat] = [
  "scroller", "messages", "form", "prompt", "send", "stop", "new",
].map((id) => document.getElementById(id));

/** Who is logged in: a hash, "" for nobody. */
const visitor = document.querySelector('meta[name="visitor"]')?.content ?? "";
/** Where this tab keeps the conversation of this page. */
const KEPT = `llmkit:${location.pathname}`;
/**
 * What was asked, in order: `answer` is the text that came, "" if none has, `state` how it ended ("done", "stopped", "failed"), and
 * `error` what went wrong.
 */
let turns = recall();
/** What was asked last before who asked was logged in, "" if nothing was: it is in the field again. */
const unasked = dropUnasked();
/** Stops the answer that is being written, null if none is. */
let running = null;
/** Whether the reader is at the end, and so wants to stay there. */
let following = true;

for (const turn of turns) {
  add("user", "You").textContent = turn.question;
  const { bubble, text } = begin();
  text.append(turn.answer);
  end(turn, bubble, text);
}
show(null);
if (unasked && !prompt.value) {
  prompt.value = unasked;
  fit();
}
addEventListener("pagehide", keep); // an answer that is being written is kept as far as it came

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(prompt.value.trim());
});

prompt.addEventListener("input", fit);
prompt.addEventListener("keydown", (event) => {
  // While a word is composed (Japanese, Chinese, ...), Enter takes the word. 229 is how Safari says so.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  form.requestSubmit();
});

stop.addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing) running?.abort();
});

newChat.addEventListener("click", () => {
  running?.abort();
  turns = [];
  keep();
  messages.replaceChildren();
  show(null);
});

scroller.addEventListener("scroll", () => {
  following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 48;
});
const keepUp = new ResizeObserver(() => {
  if (following) scroller.scrollTop = scroller.scrollHeight;
});
keepUp.observe(messages);
keepUp.observe(scroller); // it shrinks when the field grows or a keyboard comes up

function ask(question) {
  if (!question || running) return;
  const turn = { question, answer: "", state: "stopped", error: null };
  turns.push(turn);
  add("user", "You").textContent = question;
  prompt.value = "";
  fit();
  following = true;
  answer(turn);
}

async function answer(turn) {
  const { bubble, text } = begin();
  bubble.setAttribute("aria-busy", "true"); // to be read aloud when it is whole, not piece by piece
  const stopper = new AbortController();
  Object.assign(turn, { answer: "", state: "stopped", error: null }); // which it is if the page is left now
  show(stopper);
  keep();
  const result = await stream(conversation(turn), {
    onText: (piece) => {
      turn.answer += piece;
      text.append(piece);
    },
    onTool: (tool) => showTool(bubble, tool),
    onReset: () => {
      turn.answer = "";
      text.reset();
    },
    onError: () => {}, // the result says it too
    signal: stopper.signal,
  });
  if (running !== stopper) return; // a new chat has begun
  turn.state = result.error ? "failed" : result.stopped ? "stopped" : "done";
  turn.error = result.error;
  show(null);
  keep();
  end(turn, bubble, text);
}

/** Show that an answer begins. */
function begin() {
  for (const retry of messages.querySelectorAll(".retry")) retry.remove();
  const bubble = add("assistant", "Answer");
  return { bubble, text: new Markdown(bubble) };
}

/** Show how an answer ended. */
function end(turn, bubble, text) {
  text.end();
  for (const tool of messages.querySelectorAll('.tools [data-state="called"]')) {
    tool.dataset.state = "stopped"; // nobody says any more how it ends
    tool.textContent = tool.textContent.replace(/running$/, "stopped");
  }
  bubble.setAttribute("aria-busy", "false");
  bubble.dataset.state = turn.state;
  if (turn.state === "failed") fail(turn.error, turn, bubble);
  else if (turn.state === "stopped") note("Stopped");
  else if (!turn.answer) note("The answer is empty");
}

/** Show above an answer which tools the model has called for it, and how each has ended. */
function showTool(bubble, { id, name, state }) {
  let line = bubble.previousElementSibling;
  if (line?.className !== "tools") {
    line = document.createElement("p");
    line.className = "tools";
    bubble.before(line);
  }
  let tool = line.querySelector(`[data-id="${Number(id)}"]`);
  if (!tool) {
    tool = document.createElement("span");
    tool.dataset.id = Number(id);
    line.append(tool);
  }
  tool.dataset.state = state;
  tool.textContent = `${name}: ${{ called: "running", done: "done", failed: "failed" }[state] ?? state}`;
}

/** Keep the conversation for when the page is loaded again. */
function keep() {
  try {
    if (turns.length) sessionStorage.setItem(KEPT, JSON.stringify({ visitor, turns }));
    else sessionStorage.removeItem(KEPT);
  } catch {
    // It is full or forbidden: then a reload begins a new chat.
  }
}

/** Return the conversation that was kept, [] if none was or somebody else had it. */
function recall() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT));
    // Who has logged in since finds what they asked before.
    if (kept.visitor && kept.visitor !== visitor) {
      sessionStorage.removeItem(KEPT);
      return [];
    }
    return kept.turns.map(({ question, answer, state, error }) => ({
      question: String(question),
      answer: String(answer),
      state,
      error: state === "failed" ? { ...error, retryAfter: null } : null, // the wait is over
    }));
  } catch {
    return [];
  }
}

/** Drop the last questions if they were refused for want of a login and somebody has logged in since; return the very last one. */
function dropUnasked() {
  let last = "";
  while (visitor && turns.at(-1)?.error?.type === "not_logged_in") {
    const { question } = turns.pop();
    last ||= question;
  }
  return last;
}

/** What the model is to know: this question, and those before it that have an answer. */
function conversation(asked) {
  return turns
    .filter((turn) => turn === asked || turn.answer)
    .flatMap((turn) => [
      { role: "user", content: turn.question },
      ...(turn === asked ? [] : [{ role: "assistant", content: turn.answer }]),
    ]);
}

function add(role, label) {
  const bubble = document.createElement("article");
  bubble.dataset.role = role;
  bubble.setAttribute("aria-label", label);
  return messages.appendChild(bubble);
}

function note(text) {
  const line = document.createElement("p");
  line.className = "note";
  line.textContent = text;
  messages.append(line);
}

function fail(error, turn, bubble) {
  const box = document.getElementById("failure").content.cloneNode(true).firstElementChild;
  box.querySelector(".message").textContent = sentence(error.message);
  box.querySelector(".hint").textContent = advice(error);
  box.querySelector(".retry").addEventListener("click", () => {
    if (running) return;
    box.remove();
    if (bubble.previousElementSibling?.className === "tools") bubble.previousElementSibling.remove();
    bubble.remove();
    following = true;
    answer(turn);
    goBack();
  });
  const url = document.querySelector('meta[name="login-url"]')?.content;
  if (url && ["not_logged_in", "unexpected_answer"].includes(error.type)) {
    const login = box.querySelector(".login");
    login.href = withNext(url);
    login.hidden = false;
  }
  messages.append(box);
}

/** Say what to do, and how long to wait; when a budget has room again by the clock of whoever reads it. */
function advice({ hint, retryAfter, resetsAt }) {
  const resets = resetsAt ? new Date(resetsAt) : null;
  if (resets && !Number.isNaN(resets.getTime())) {
    const today = resets.toDateString() === new Date().toDateString();
    const style = today ? { timeStyle: "medium" } : { dateStyle: "long", timeStyle: "short" };
    return `Try again after ${resets.toLocaleString(undefined, style)}.`;
  }
  const wait = retryAfter ? `Please wait ${Math.ceil(retryAfter)} s.` : "";
  return [sentence(hint), wait].filter(Boolean).join(" ");
}

/** Say where to log in, and that this page is where to go then. */
function withNext(loginUrl) {
  const url = new URL(loginUrl, location);
  url.searchParams.set("next", location.pathname + location.search);
  return url.href;
}

function sentence(text) {
  if (!text) return "";
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** Show what can be done now: send, or stop the answer that is `current`. */
function show(current) {
  const hadFocus = document.activeElement === send || document.activeElement === stop;
  running = current;
  send.hidden = Boolean(current);
  stop.hidden = !current;
  newChat.hidden = turns.length === 0;
  if (hadFocus) goBack();
}

/** Go back to the field, save where that would bring up a keyboard over the answer. */
function goBack() {
  if (matchMedia("(hover: hover)").matches) prompt.focus();
}

/** Make the field as high as what is in it. */
function fit() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
}
