/** What is inside a line of Markdown: emphasis, code and links, as DOM nodes. */

const DEPTH = 8; // emphasis in emphasis

// Escaped mark | code | marks of emphasis | link or image | address in brackets | address | text.
const TOKEN = new RegExp(
  [
    /\\([!-/:-@[-`{-~\n])/,
    /(`+)/,
    /(\*+|_+|~+)/,
    /!?\[((?:[^[\]\\]|\\.)*)\]\(\s*<?((?:[^\s()<>]|\([^\s()<>]*\))*)>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/,
    /<(https?:\/\/[^\s<>]+)>/,
    /(?<!\w)(https?:\/\/[^\s<>]*[^\s<>.,:;!?'"*_~()[\]`|])/,
    /[^\\`*_~![<h]+|[^]/,
  ]
    .map((token) => token.source)
    .join("|"),
  "y",
);

/**
 * Make the nodes of a text.
 *
 * @param {string} text
 * @param {object} [options]
 * @param {boolean} [options.open] whether more may come: what is not closed yet is shown as if it were.
 * @param {boolean} [options.links] whether there may be links.
 * @returns {Node[]}
 */
export function inline(text, { open = false, links = true } = {}) {
  const frames = [{ mark: "", nodes: [] }];
  let plain = "";

  /** Put a node at the end; the text before it first. */
  function put(node) {
    if (plain) frames.at(-1).nodes.push(document.createTextNode(plain));
    plain = "";
    if (node) frames.at(-1).nodes.push(node);
  }

  /** End the innermost emphasis: wrap it, or leave its marks as text. */
  function fold(wrapped) {
    put();
    const { mark, nodes } = frames.pop();
    if (wrapped) put(element(mark[0] === "~" ? "del" : mark.length === 2 ? "strong" : "em", nodes));
    else frames.at(-1).nodes.push(document.createTextNode(mark), ...nodes);
  }

  function emphasise(marks, before, after) {
    const [sign] = marks;
    let left = marks.length;
    if (left > 3 || (sign === "~" && left !== 2)) return void (plain += marks);
    const inWord = sign === "_" && isWord(before) && isWord(after);
    const fits = (frame, exact) => frame.mark[0] === sign && (exact ? frame.mark.length === left : frame.mark.length < left);
    while (left && before && !inWord && !isSpace(before)) {
      const same = frames.findLastIndex((frame) => fits(frame, true));
      const place = same > 0 ? same : frames.findLastIndex((frame) => fits(frame, false));
      if (place < 1) break;
      while (frames.length > place + 1) fold(false);
      left -= frames.at(-1).mark.length;
      fold(true);
    }
    const opens = after && !inWord && !isSpace(after) && frames.length < DEPTH;
    if (left && opens) {
      put();
      if (left > 1) frames.push({ mark: sign + sign, nodes: [] });
      if (left !== 2) frames.push({ mark: sign, nodes: [] });
    } else if (after || !open) plain += sign.repeat(left); // at the end of what has come, who knows
  }

  function codeSpan(fence, at) {
    const end = closing(text, fence, at);
    if (end < 0 && !open) return void (plain += fence);
    if (at === text.length) return;
    const code = text.slice(at, end < 0 ? text.length : end).replaceAll("\n", " ");
    put(element("code", [code.replace(/^ (.*\S.*) $/, "$1")]));
    TOKEN.lastIndex = end < 0 ? text.length : end + fence.length;
  }

  TOKEN.lastIndex = 0;
  for (let found; TOKEN.lastIndex < text.length && (found = TOKEN.exec(text)); ) {
    const [token, escaped, fence, marks, label, target, bracketed, address = bracketed] = found;
    const end = TOKEN.lastIndex;
    if (escaped) plain += escaped;
    else if (fence) codeSpan(fence, end);
    else if (marks) emphasise(marks, text[found.index - 1], text[end]);
    else if (links && label !== undefined && isSafe(target)) {
      put(link(target, label ? inline(label, { links: false }) : [target]));
      TOKEN.lastIndex = end; // the label's own
    } else if (links && address && isSafe(address)) put(link(address, [address]));
    else plain += token;
  }
  put();
  while (frames.length > 1) fold(open && frames.at(-1).nodes.length > 0);
  return frames[0].nodes;
}

function element(tag, children) {
  const made = document.createElement(tag);
  made.append(...children);
  return made;
}

function link(target, children) {
  const made = element("a", children);
  made.href = target;
  made.rel = "noopener noreferrer";
  made.target = "_blank";
  return made;
}

/** Say whether a model may link there: to a whole web or mail address, which says where it leads; never to a script or a path. */
function isSafe(target) {
  return /^(?:https?:\/\/|mailto:)./i.test(target) && URL.canParse(target);
}

/** Find the marks that end a code span: as many as began it. */
function closing(text, fence, from) {
  for (let at = from; (at = text.indexOf(fence, at)) >= 0; ) {
    let end = at;
    while (text[end] === "`") end++;
    if (end - at === fence.length) return at;
    at = end;
  }
  return -1;
}

function isSpace(character) {
  return /\s/.test(character);
}

function isWord(character) {
  return character !== undefined && /[\p{L}\p{N}]/u.test(character);
}
