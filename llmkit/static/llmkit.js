/**
 * llmkit in the browser: one ES module without dependencies.
 *
 *     import { stream } from "/llm/llmkit.js";
 *     await stream("Say hi", { onText: (text) => output.append(text) });
 */

/**
 * What went wrong. `retryAfter` is in seconds; `status` is the HTTP status, if the failure was an HTTP error; `resetsAt` says when a
 * budget that is used up has room again, as `new Date` reads it.
 *
 * @typedef {{type: string, message: string, hint: ?string, status: ?number, retryAfter: ?number, resetsAt: ?string}} Problem
 */

/**
 * How it ended. `text` is the text that arrived, `id` the id of the last complete frame.
 *
 * @typedef {{text: string, stopped: boolean, error: ?Problem, id: ?string}} Result
 */

/**
 * A tool of the app's that the model has called. `id` is its number in this answer, `state` is "called", then "done" or "failed".
 * `arguments` and `result` are there only if the app shows them.
 *
 * @typedef {{id: number, name: string, state: string, arguments: ?object, result: ?string}} Tool
 */

/**
 * Stream one answer from the app.
 *
 * Aborting `signal`, leaving the page and throwing in a callback close the connection; that stops the model.
 *
 * @param {string | {role: string, content: string}[]} messages the conversation, or a single question.
 * @param {object} [options]
 * @param {(text: string) => void} [options.onText] is called with each piece of text as it arrives.
 * @param {(tool: Tool) => void} [options.onTool] is called when the model calls a tool of the app's, and when that has ended.
 * @param {() => void} [options.onReset] is called to discard all text so far: the answer starts again.
 * @param {(problem: Problem) => void} [options.onError] is called if there is no complete answer.
 * @param {(result: Result) => void} [options.onDone] is called when the answer is complete.
 * @param {AbortSignal} [options.signal] stops the answer.
 * @param {string} [options.model] the name of one of the models that the app offers.
 * @param {string | URL} [options.url] the URL to call; the default is `stream` next to this file.
 * @param {HeadersInit} [options.headers] more headers. A CSRF token is taken from the page's `<meta name="csrf-token">`, or from
 *   Django's cookie.
 * @param {typeof globalThis.fetch} [options.fetch] is called instead of `fetch`, for tests.
 * @returns {Promise<Result>} rejects with what a callback throws; without `onError` also with the problem, as an Error.
 */
export async function stream(messages, options = {}) {
  const { onText, onTool, onReset, onError, onDone, signal } = options;
  const result = { text: "", stopped: false, error: null, id: null };
  const request = JSON.stringify({
    messages: typeof messages === "string" ? [{ role: "user", content: messages }] : messages,
    model: options.model,
  });
  const parser = new EventParser();
  const leaving = new AbortController();
  let body;
  const stop = () => {
    leaving.abort();
    body?.cancel().catch(() => {});
  };
  signal?.addEventListener("abort", stop);
  // A page that is left may live on behind the Back button, and its connection with it.
  globalThis.addEventListener?.("pagehide", stop);
  // Before that a browser may break the connection by itself. A page that is still there after a moment is not left: its user chose to
  // stay, or it was a download or a mail address.
  let goes = false;
  let moment;
  const go = () => {
    goes = true;
    clearTimeout(moment);
    moment = setTimeout(() => (goes = false), MOMENT);
  };
  globalThis.addEventListener?.("beforeunload", go);
  if (signal?.aborted) stop();

  function take({ event, data }) {
    if (event === "message" && data === "[DONE]") return true;
    if (event === "message") {
      const { text } = parse(data);
      if (typeof text === "string") {
        result.text += text;
        onText?.(text);
      }
    } else if (event === "tool") {
      onTool?.(parse(data));
    } else if (event === "reset") {
      result.text = "";
      onReset?.();
    } else if (event === "error") {
      throw new Failure(problemIn(parse(data)) ?? UNREADABLE);
    }
    return false;
  }

  try {
    body = await open(request, options, leaving.signal);
    let complete = false;
    while (!complete) {
      for (const event of parser.feed(await read(body))) {
        if (leaving.signal.aborted) throw new Failure(STOPPED);
        result.id = event.id;
        complete = take(event);
        if (complete) break;
      }
    }
    finish(body);
  } catch (error) {
    result.stopped = leaving.signal.aborted || (goes && [UNREACHABLE.type, TRUNCATED.type].includes(error.type));
    stop();
    if (!(error instanceof Failure)) throw error;
    if (!result.stopped) result.error = error.problem;
    if (result.error && !onError) throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
    globalThis.removeEventListener?.("pagehide", stop);
    globalThis.removeEventListener?.("beforeunload", go);
    clearTimeout(moment);
  }
  if (result.error) onError(result.error);
  else if (!result.stopped) onDone?.(result);
  return result;
}

const MOMENT = 1000; // milliseconds; a dialog that asks whether to leave stops this clock
const STOPPED = { type: "stopped", message: "the answer was stopped" };
const UNREACHABLE = {
  type: "connection_failed",
  message: "the app cannot be reached",
  hint: "Check the connection, then try again.",
};
const TRUNCATED = {
  type: "stream_truncated",
  message: "the answer was cut off before its end",
  hint: "Check the connection, then try again.",
};
const UNREADABLE = {
  type: "protocol_error",
  message: "the app sent something that is not part of an answer",
  hint: "Reload the page. If it happens again, something between the app and the browser changes the stream.",
};

/** A problem on its way out. */
class Failure extends Error {
  constructor({ type, message, hint = null, status = null, retryAfter = null, resets_at: resetsAt = null }) {
    super(message);
    this.name = "LLMKitError";
    Object.assign(this, { type, hint, status, retryAfter, resetsAt });
  }

  get problem() {
    const { type, message, hint, status, retryAfter, resetsAt } = this;
    return { type, message, hint, status, retryAfter, resetsAt };
  }
}

async function open(request, { url, headers, fetch = globalThis.fetch }, signal) {
  const target = url ?? new URL("stream", import.meta.url);
  const allHeaders = new Headers(headers);
  const token = sayToken(target, allHeaders);
  allHeaders.set("content-type", "application/json");
  allHeaders.set("accept", "text/event-stream");
  let response;
  try {
    response = await fetch(target, {
      method: "POST",
      headers: allHeaders,
      body: request,
      credentials: "same-origin",
      signal,
    });
  } catch (cause) {
    throw Object.assign(new Failure(UNREACHABLE), { cause });
  }
  const type = response.headers.get("content-type") ?? "nothing";
  if (response.ok && type.startsWith("text/event-stream")) return response.body.getReader();
  throw new Failure(await refusal(response, type, token));
}

/**
 * Say the app's CSRF token, from a tag of the page or else from Django's cookie: to the app itself, and unless the caller did.
 *
 * @returns {"caller" | "tag" | "cookie" | "none" | "elsewhere"} where the token is from; "elsewhere": another site gets none.
 */
function sayToken(target, headers) {
  const { document, location } = globalThis;
  if (!document || new URL(target, document.baseURI).origin !== location.origin) return "elsewhere";
  const tag = document.querySelector('meta[name="csrf-token"]');
  const name = tag?.dataset.header ?? "X-CSRFToken";
  if (headers.has(name)) return "caller";
  const token = tag?.content ?? /(?:^|; )csrftoken=([^;]*)/.exec(document.cookie)?.[1];
  if (token) headers.set(name, token);
  if (tag) return "tag";
  return token ? "cookie" : "none";
}

/**
 * Whether a call was refused because no tag of the page has the CSRF token. The cookie of another app on this host may have been
 * sent in its place; only llmkit's own check, which is Django's, is known to have looked at it.
 */
function lacksTag(problem, status, type, token) {
  if (problem) return problem.type === "csrf_failed" && token === "none";
  return [400, 403].includes(status) && !type.includes("json") && ["none", "cookie"].includes(token);
}

async function refusal(response, type, token) {
  const { status } = response;
  const retryAfter = seconds(response.headers.get("retry-after"));
  const problem = problemIn(await response.json().catch(() => null));
  const isWithoutTag = lacksTag(problem, status, type, token);
  if (isWithoutTag) {
    console.warn(
      "llmkit: The app's CSRF protection may have refused this: add " +
        '<meta name="csrf-token" content="{{ csrf_token() }}"> to the page (in Django: {{ csrf_token }}).',
    );
  }
  const again = isWithoutTag
    ? "Trying again will probably not help. Tell the people who run this app."
    : "Reload the page, then try again.";
  if (problem) return { ...problem, hint: isWithoutTag ? again : problem.hint, status, retryAfter };
  if (response.ok) {
    const message = `the app answered with ${type.split(";")[0]} instead of a stream`;
    const hint = "If this app has a login, log in again.";
    return { type: "unexpected_answer", message, hint, status };
  }
  const message = `the app answered with the status ${status}`;
  const hint = status < 500 ? again : "Try again in a moment.";
  return { type: "http_error", message, hint, status, retryAfter };
}

function problemIn(body) {
  return typeof body?.error?.message === "string" ? body.error : null;
}

function seconds(retryAfter) {
  if (!retryAfter) return null;
  const wait = /^\d+$/.test(retryAfter) ? +retryAfter : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isNaN(wait) ? null : Math.max(0, wait);
}

async function read(body) {
  let piece;
  try {
    piece = await body.read();
  } catch (cause) {
    throw Object.assign(new Failure(TRUNCATED), { cause });
  }
  if (piece.done) throw new Failure(TRUNCATED);
  return piece.value;
}

/** Let the connection come to its own end, so that it can be used again and no server sees it break. */
function finish(body) {
  body
    .read()
    .then(() => body.cancel())
    .catch(() => {});
}

function parse(data) {
  try {
    return Object(JSON.parse(data));
  } catch (cause) {
    throw Object.assign(new Failure(UNREADABLE), { cause });
  }
}

/**
 * Cuts bytes into server-sent events, by the rules of the WHATWG HTML standard, "Interpreting an event stream".
 * An event that no blank line ends is dropped.
 */
class EventParser {
  #decoder = new TextDecoder(); // takes off the byte order mark
  #afterCR = false;
  #line = [];
  #data = [];
  #event = "";
  #id = null;

  feed(bytes) {
    const events = [];
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return events;
    if (this.#afterCR && text[0] === "\n") text = text.slice(1);
    this.#afterCR = text.endsWith("\r");
    const [first, ...lines] = text.split(/\r\n|\r|\n/);
    this.#line.push(first);
    for (const next of lines) {
      this.#take(this.#line.join(""), events);
      this.#line = [next];
    }
    return events;
  }

  #take(line, events) {
    if (line === "") {
      if (this.#data.length) {
        events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
      }
      this.#data = [];
      this.#event = "";
      return;
    }
    const [, field, value] = /^([^:]*)(?:: ?)?([^]*)$/.exec(line);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }
}
