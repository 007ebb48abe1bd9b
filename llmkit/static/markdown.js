/**
 * Markdown as it streams in, made of DOM nodes: nothing that a model writes is ever read as HTML.
 *
 * A line becomes a block as soon as its first characters say which, and a block that is over is never touched again. Only what is being
 * written is made anew, `RUN` characters at most, so that a long answer costs no more per token than a short one.
 */
import { RUN, cells, copyButton, cut, dedent, row, update } from "./nodes.js";
import { inline } from "./inline.js";

const LOOK = 200; // characters that decide what a line is; a longer one is no rule and no fence
const DEPTH = 8; // quotes and lists in each other

// What no block can be told from yet: marks alone, or what may be the fence of a code block.
const UNSURE = /^(?:[\s>\-*+_#`~|:=]|\d{1,9}(?:[.)](?=\s|$)|$))*$|^[\s>\-*+\d.)]*(?:`{3}|~{3})/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+|$)/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const FENCE = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+|$)/;
const COLUMNS = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

export class Markdown {
  #root;
  #around = []; // the quotes and items that the text is in, the outermost first
  #leaf = null; // the block that is being written
  #held = ""; // the start of a line that may still become anything
  #inLine = false; // whether the leaf gets what comes up to the next line break

  constructor(root) {
    this.#root = root;
  }

  /** Take the next piece of the text. */
  append(text) {
    for (const [at, piece] of text.replaceAll("\r", "").split("\n").entries()) {
      if (at) this.#endLine();
      if (piece) this.#add(piece);
    }
    this.#show();
  }

  /** Take what is held back: the text is over. */
  end() {
    if (this.#held) this.#endLine();
    this.#close();
  }

  /** Forget everything: the text begins anew. */
  reset() {
    this.#root.replaceChildren();
    this.#around = [];
    this.#leaf = null;
    this.#held = "";
    this.#inLine = false;
  }

  #add(piece) {
    if (this.#inLine) return this.#write(piece);
    this.#held += piece;
    if (this.#leaf?.kind === "table") return; // a row is shown when it is whole
    const inCode = this.#leaf?.kind === "code" && !this.#around.length;
    const unsure = inCode ? /^[\s`~]*$/ : UNSURE;
    if (this.#held.length > LOOK || !unsure.test(this.#held)) this.#beginPart(this.#held);
  }

  #endLine() {
    const line = this.#held;
    if (!this.#inLine && !this.#addRow(line)) {
      if (line.length > LOOK) this.#beginPart(line);
      else this.#begin(line, true);
    }
    this.#held = "";
    this.#inLine = false;
    if (this.#leaf?.kind === "heading") this.#close();
  }

  #beginPart(line) {
    this.#held = "";
    this.#begin(line.slice(0, LOOK), false);
    this.#inLine = true;
    this.#write(line.slice(LOOK));
  }

  /** Begin a line, and end it too if it is `whole`. */
  #begin(line, whole) {
    const [within, inner] = this.#inside(line);
    if (this.#leaf?.kind === "code" && within === this.#around.length) return this.#addCode(inner, whole);
    const goesOn = this.#leaf?.kind === "paragraph";
    let [depth, rest] = [within, inner];
    for (; depth < DEPTH; depth++) {
      const taken = whole && RULE.test(rest) ? 0 : this.#openAround(rest, depth, goesOn && depth === within);
      if (!taken) break;
      rest = rest.slice(taken);
    }
    if (whole && !rest.trim()) return this.#close(depth);
    const open = this.#blockAt(rest, whole);
    const text = this.#around.length ? rest.trimStart() : rest;
    if (goesOn && depth === within && !open) {
      if (depth === this.#around.length && whole && this.#makeTable(rest)) return;
      this.#leaf.lines++; // also if the line is not indented as its list is
      return this.#write(`\n${text}`);
    }
    this.#close(depth);
    if (open) open();
    else this.#open("paragraph", "p", text);
  }

  /** Say in how many of the quotes and items a line is, and what of it they leave. */
  #inside(line) {
    let depth = 0;
    for (const { indent, least } of this.#around) {
      if (indent) {
        const [rest, width] = dedent(line, indent);
        if (width < least && line.trim()) break;
        line = rest;
      } else {
        if (!QUOTE.test(line)) break;
        line = line.replace(QUOTE, "");
      }
      depth++;
    }
    return [depth, line];
  }

  /** Open the quote or the item that begins here; say how many characters that takes. */
  #openAround(rest, depth, goesOn) {
    const quote = QUOTE.exec(rest);
    if (quote) {
      this.#close(depth);
      this.#around.push({ node: this.#put("blockquote") });
      return quote[0].length;
    }
    const [mark, before, sign, space] = ITEM.exec(rest) ?? [];
    if (!mark) return 0;
    const number = parseInt(sign, 10);
    const type = sign.at(-1);
    const sibling = this.#around[depth]?.type === type ? this.#around[depth] : null;
    const empty = mark.length === rest.length;
    // A paragraph may have a lone dash, or a year, at the start of a line.
    if (goesOn && depth === this.#around.length && (empty || number > 1)) return 0;
    this.#close(depth);
    const list = sibling?.list ?? this.#put(number >= 0 ? "ol" : "ul");
    if (!sibling && number >= 0 && number !== 1) list.start = number;
    const wide = before.length + sign.length;
    const indent = wide + (empty || space.length > 4 ? 1 : space.length);
    const least = Math.min(indent, before.length + 2); // as models write below "1."
    const node = list.appendChild(document.createElement("li"));
    this.#around.push({ node, list, type, indent, least });
    return Math.min(indent, rest.length);
  }

  /** Return what opens the block that begins here, null for a paragraph. */
  #blockAt(rest, whole) {
    const fence = whole && FENCE.exec(rest);
    if (fence) return () => this.#openCode(fence);
    if (whole && RULE.test(rest)) return () => this.#put("hr");
    const heading = HEADING.exec(rest);
    if (!heading) return null;
    const level = Math.min(heading[1].length + 1, 6); // the page has an h1 of its own
    return () => this.#open("heading", `h${level}`, rest.slice(heading[0].length));
  }

  #openCode([, before, fence]) {
    const frame = this.#put("div");
    frame.className = "code";
    const code = frame.appendChild(document.createElement("pre")).appendChild(document.createElement("code"));
    code.className = "open";
    if (navigator.clipboard) frame.append(copyButton(code));
    const node = code.appendChild(document.createTextNode(""));
    this.#leaf = { kind: "code", element: code, node, fence, indent: before.length, between: "" };
  }

  #addCode(rest, whole) {
    const { fence, indent, between, node } = this.#leaf;
    const end = whole && /^ {0,3}(`{3,}|~{3,})\s*$/.exec(rest)?.[1];
    if (end && end[0] === fence[0] && end.length >= fence.length) return this.#close();
    node.appendData(between + dedent(rest, indent)[0]);
    this.#leaf.between = "\n";
  }

  #makeTable(line) {
    const { element, kept, lines, text } = this.#leaf;
    if (kept || lines > 1 || text.length > RUN || !text.includes("|") || !COLUMNS.test(line)) return false;
    const [head, marks] = [cells(text), cells(line)];
    if (head.length !== marks.length) return false;
    const sides = marks.map((mark) => (mark.endsWith(":") ? (mark.startsWith(":") ? "middle" : "right") : ""));
    const frame = document.createElement("div");
    frame.className = "table";
    const table = frame.appendChild(document.createElement("table"));
    table.createTHead().append(row("th", head, sides));
    element.replaceWith(frame);
    this.#leaf = { kind: "table", element: table, node: table.createTBody(), sides };
    return true;
  }

  #addRow(line) {
    if (this.#leaf?.kind !== "table") return false;
    const [depth, rest] = this.#inside(line);
    if (depth < this.#around.length || !rest.includes("|")) return false;
    this.#leaf.node.append(row("td", cells(rest), this.#leaf.sides));
    return true;
  }

  #open(kind, tag, text) {
    const element = this.#put(tag);
    element.className = "open";
    this.#leaf = { kind, element, text, kept: 0, lines: 1 };
  }

  #write(text) {
    if (this.#leaf.kind === "code") this.#leaf.node.appendData(text);
    else this.#leaf.text += text;
  }

  #put(tag) {
    return (this.#around.at(-1)?.node ?? this.#root).appendChild(document.createElement(tag));
  }

  /** End the leaf, and the quotes and items from `depth` on. */
  #close(depth = this.#around.length) {
    this.#show(false);
    this.#leaf?.element.removeAttribute("class");
    this.#leaf = null;
    this.#around.length = depth;
  }

  /** Show what the leaf has become; `open` if more of it may come. */
  #show(open = true) {
    const leaf = this.#leaf;
    if (leaf?.text === undefined) return;
    while (leaf.text.length > RUN) {
      const end = cut(leaf.text);
      update(leaf.element, leaf.kept, inline(leaf.text.slice(0, end)));
      leaf.kept = leaf.element.childNodes.length;
      leaf.text = leaf.text.slice(end);
    }
    const text = leaf.kind === "heading" && !open ? leaf.text.replace(/(?:^|\s)#+\s*$/, "") : leaf.text;
    update(leaf.element, leaf.kept, inline(text, { open }));
  }
}
