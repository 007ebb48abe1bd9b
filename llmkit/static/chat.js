import { stream } from "./llmkit.js";
import { Markdown } from "./markdown.js";

const [scroller, messages, form, prompt, send, stop, newChat] = [
  "scroller", "messages", "form", "prompt", "send", "stop", "new",
].map((id) => document.getElementById(id));

/** What was asked, in order; `answer` is the text that came, "" if none has. */
let turns = [];
/** Stops the answer that is being written, null if none is. */
let running = null;
/** Whether the reader is at the end, and so wants to stay there. */
let following = true;

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
  for (const retry of messages.querySelectorAll(".retry")) retry.remove();
  const turn = { question, answer: "" };
  turns.push(turn);
  add("user", "You").textContent = question;
  prompt.value = "";
  fit();
  following = true;
  answer(turn);
}

async function answer(turn) {
  const bubble = add("assistant", "Answer");
  const text = new Markdown(bubble);
  bubble.setAttribute("aria-busy", "true"); // to be read aloud when it is whole, not piece by piece
  const stopper = new AbortController();
  show(stopper);
  const result = await stream(conversation(turn), {
    onText: (piece) => text.append(piece),
    onReset: () => text.reset(),
    onError: () => {}, // the result says it too
    signal: stopper.signal,
  });
  if (running !== stopper) return; // a new chat has begun
  show(null);
  text.end();
  turn.answer = result.text;
  bubble.setAttribute("aria-busy", "false");
  bubble.dataset.state = result.error ? "failed" : result.stopped ? "stopped" : "done";
  if (result.error) fail(result.error, turn, bubble);
  else if (result.stopped) note("Stopped");
  else if (!result.text) note("The answer is empty");
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
  const wait = error.retryAfter ? `Please wait ${Math.ceil(error.retryAfter)} s.` : "";
  box.querySelector(".message").textContent = sentence(error.message);
  box.querySelector(".hint").textContent = [sentence(error.hint), wait].filter(Boolean).join(" ");
  box.querySelector(".retry").addEventListener("click", () => {
    if (running) return;
    box.remove();
    bubble.remove();
    following = true;
    answer(turn);
    goBack();
  });
  messages.append(box);
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
