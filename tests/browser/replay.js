// Runs llmkit.js for the tests: over recorded bytes cut up in any way, and over real connections.
import { stream } from "/llm/llmkit.js";

const SSE = { "content-type": "text/event-stream" };

/** A fetch that answers with these pieces. */
export function fetchOf(pieces, init = { headers: SSE }) {
  return async () => {
    const body = new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(piece);
        controller.close();
      },
    });
    return new Response(body, init);
  };
}

/** All that the app is told, in order, and what the promise gives. */
export async function replay(pieces, init) {
  const told = [];
  const result = await stream("Hi", {
    fetch: fetchOf(pieces, init),
    onText: (text) => told.push(["text", text]),
    onTool: (tool) => told.push(["tool", tool]),
    onReset: () => told.push(["reset"]),
    onError: (problem) => told.push(["error", problem]),
    onDone: () => told.push(["done"]),
  });
  return { told, result };
}

/** The places of a cut that change what the app is told; "each" for a cut after every byte. */
export async function splitsThatMatter(numbers) {
  const bytes = Uint8Array.from(numbers);
  const whole = JSON.stringify(await replay([bytes]));
  const wrong = [];
  for (let at = 0; at <= bytes.length; at++) {
    const got = JSON.stringify(await replay([bytes.slice(0, at), bytes.slice(at)]));
    if (got !== whole) wrong.push(at);
  }
  const each = JSON.stringify(await replay([...bytes].map((byte) => Uint8Array.of(byte))));
  if (each !== whole) wrong.push("each");
  return wrong;
}

/** The lengths at which a broken-off body does not count as broken off, or gives text that the whole does not give. */
export async function endsThatPass(numbers) {
  const bytes = Uint8Array.from(numbers);
  const { result: whole } = await replay([bytes]);
  const wrong = [];
  for (let at = 0; at < bytes.length; at++) {
    const { told, result } = await replay([bytes.slice(0, at)]);
    const truncated = result.error?.type === "stream_truncated" && told.at(-1)[0] === "error";
    if (!truncated || result.stopped || !whole.text.startsWith(result.text)) wrong.push(at);
  }
  return wrong;
}

/** Begin a stream over a real connection: the page's title is the newest text, `over` the promise, `controller` stops it. */
export function start({ messages = "Hi", ...options }) {
  document.title = "";
  globalThis.controller = new AbortController();
  globalThis.over = stream(messages, {
    onText: (text) => {
      document.title = text;
    },
    onError() {},
    signal: controller.signal,
    ...options,
  });
}
