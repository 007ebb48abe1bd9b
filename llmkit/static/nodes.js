/** The pieces that Markdown is shown with: cells, buttons, and elements that change as little as they can. */
import { inline } from "./inline.js";

/** Characters in which emphasis has to close, and of which a paragraph that is being written is made anew. */
export const RUN = 2000;

/** Say where the first run of a long text ends. */
export function cut(text) {
  const space = Math.max(text.lastIndexOf(" ", RUN - 1), text.lastIndexOf("\n", RUN - 1));
  if (space > 0) return space + 1;
  return /[\uD800-\uDBFF]/.test(text[RUN - 1]) ? RUN - 1 : RUN;
}

/** Give an element these children after the first `kept`; those that are the same stay, and what is selected in them. */
export function update(element, kept, nodes) {
  const old = element.childNodes;
  let same = 0;
  while (same < nodes.length && old[kept + same]?.isEqualNode(nodes[same])) same++;
  const [was, is] = [old[kept + same], nodes[same]];
  if (was instanceof Text && is instanceof Text && is.data.startsWith(was.data)) {
    was.appendData(is.data.slice(was.data.length));
    same++;
  }
  while (old.length > kept + same) element.lastChild.remove();
  element.append(...nodes.slice(same));
}

/** Take off up to so many columns of white space; return the rest, and how many there were. */
export function dedent(line, most) {
  let [at, width] = [0, 0];
  while (width < most && (line[at] === " " || line[at] === "\t")) width += line[at++] === "\t" ? 4 : 1;
  return [line.slice(at), width];
}

/** Cut a row of a table at its bars. */
export function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** Make a row of a table, as wide as the table is. */
export function row(tag, texts, sides) {
  const made = document.createElement("tr");
  for (const [at, side] of sides.entries()) {
    const cell = made.appendChild(document.createElement(tag));
    if (side) cell.className = side;
    for (let text = texts[at] ?? ""; text; ) {
      const end = text.length > RUN ? cut(text) : text.length;
      cell.append(...inline(text.slice(0, end)));
      text = text.slice(end);
    }
  }
  return made;
}

/** Make the button that copies a block of code. */
export function copyButton(code) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const copied = navigator.clipboard.writeText(code.textContent);
    button.textContent = await copied.then(() => "Copied", () => "Not copied");
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return button;
}
