// Added for llmkit.
import { stream } from "/llm/llmkit.js";

const answer = document.querySelector("#answer");
const button = document.querySelector("#draft");

button.addEventListener("click", async () => {
  button.disabled = true;
  answer.value = "";
  await stream("", {
    url: button.dataset.url,
    onText: (text) => (answer.value += text),
    onReset: () => (answer.value = ""),
    onError: (error) => alert(`${error.message}. ${error.hint ?? ""}`),
  });
  button.disabled = false;
});
