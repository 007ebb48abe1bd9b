// Added for llmkit.
import { stream } from "/llm/llmkit.js";

for (const form of document.querySelectorAll("form[data-url]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = form.parentElement.querySelector(".answer");
    answer.textContent = "";
    await stream(new FormData(form).get("question"), {
      url: form.dataset.url,
      onText: (text) => answer.append(text),
      onTool: ({ state }) => answer.classList.toggle("looking", state === "called"),
      onReset: () => answer.replaceChildren(),
      onError: (error) => answer.append(`${error.message}. ${error.hint ?? ""}`),
    });
  });
}
