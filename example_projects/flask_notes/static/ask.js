// Added for llmkit.
import { stream } from "/llm/llmkit.js";

const answer = document.querySelector("#answer");

document.querySelector("#ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  answer.textContent = "";
  await stream(new FormData(event.target).get("question"), {
    url: "/ask",
    onText: (text) => answer.append(text),
    onReset: () => answer.replaceChildren(),
    onError: (error) => answer.append(`${error.message}. ${error.hint ?? ""}`),
  });
});
