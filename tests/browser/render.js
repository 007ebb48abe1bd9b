// Shows Markdown for the tests: whole, and cut up in every way.
import { Markdown } from "/llm/markdown.js";

const KINDS = new Set(
  "A BLOCKQUOTE BUTTON CODE DEL DIV EM H2 H3 H4 H5 H6 HR LI OL P PRE STRONG TABLE TBODY TD TH THEAD TR UL".split(" "),
);
const ATTRIBUTES = new Set(["class", "href", "rel", "start", "target", "type"]);

/** An element with what these pieces make. */
export function shown(pieces) {
  const root = document.createElement("article");
  const text = new Markdown(root);
  for (const piece of pieces) text.append(piece);
  text.end();
  return root;
}

export function html(pieces) {
  return shown(pieces).innerHTML;
}

/** The texts of the blocks. */
export function blocks(text) {
  return [...shown([text]).children].map((block) => block.textContent);
}

/** The texts that show an element, an attribute or a link that no text may; or another thing when they come in pieces. */
export function faults(texts) {
  return texts.filter((text) => {
    const whole = shown([text]);
    whole.normalize();
    const foreign = [...whole.querySelectorAll("*")].some(
      (element) =>
        !KINDS.has(element.tagName) ||
        element.getAttributeNames().some((name) => !ATTRIBUTES.has(name)) ||
        (element.tagName === "A" && !/^(https?|mailto):$/.test(element.protocol)),
    );
    const pieces = [[...text], text.split(/(?<=\s)/), text.match(/[^]{1,7}/g) ?? []];
    const differs = pieces.some((each) => {
      const root = shown(each);
      root.normalize();
      return root.innerHTML !== whole.innerHTML;
    });
    return foreign || differs;
  });
}
