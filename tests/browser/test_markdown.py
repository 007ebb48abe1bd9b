"""Markdown in Chromium: what a model writes, as elements and never as HTML."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

# What hostile and broken texts are made of.
_PIECES = [
    *"*_~`#>-+|\\:[]()<>!\n\n\n\t  .1&",
    *("**", "***", "```", "~~~", "~~", "- ", "1. ", "2) ", "> ", "# ", "#### ", "    ", "| ", "|-|:-:|\n", "---\n"),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</article>", "&lt;b&gt;", "<b "),
    *("[a](", "](javascript:alert(1))", "](data:text/html,x)", "](https://a.b)", "![x](http://c.d/e)", "[m](mailto:a@b.c)"),
    *("https://a.b/c", "http://", "JavaScript:alert(1)", "a", "word", " and ", "ß", "日本", "👍", "\r\n", "\0", "\u202e"),
]  # fmt: skip

TABLE = (
    '<div class="table"><table><thead><tr><th>a</th><th class="right">b</th></tr></thead>'
    '<tbody><tr><td><code>c</code></td><td class="right">d|e</td></tr>'
    '<tr><td>f</td><td class="right"></td></tr></tbody></table></div><p>g</p>'
)


@pytest.fixture
def blank(page: Page) -> Page:
    """Open a page without anything."""
    page.goto("/blank")
    return page


def run(blank: Page, function: str, argument: object) -> Any:
    """Call a function of render.js."""
    return blank.evaluate(
        f"async (argument) => (await import('/render.js')).{function}(argument)", argument
    )


def html(blank: Page, text: str) -> str:
    """Return what a text becomes, without the button of a block of code."""
    made: str = run(blank, "html", [text])
    return made.replace('<button type="button" class="copy">Copy</button>', "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
        ("# One\n###### Six ##\ntext", "<h2>One</h2><h6>Six</h6><p>text</p>"),
        ("#tag and 1.5 and 2024", "<p>#tag and 1.5 and 2024</p>"),
        ("a **b *c* d** e", "<p>a <strong>b <em>c</em> d</strong> e</p>"),
        ("***a*** __b__ _c_ ~~d~~", "<p><strong><em>a</em></strong> <strong>b</strong> <em>c</em> <del>d</del></p>"),
        ("2 * 3 * 4, snake_case_name, **open", "<p>2 * 3 * 4, snake_case_name, **open</p>"),
        ("`a*b*` ``a`b`` `open", "<p><code>a*b*</code> <code>a`b</code> `open</p>"),
        (r"\*a\* \# \`", "<p>*a* # `</p>"),
        ("- a\n- b\n\n- c", "<ul><li><p>a</p></li><li><p>b</p></li><li><p>c</p></li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol>'),
        ("1. a\n  - b\n2. c", "<ol><li><p>a</p><ul><li><p>b</p></li></ul></li><li><p>c</p></li></ol>"),
        ("- a\n    - b\n    - c\n- d", "<ul><li><p>a</p><ul><li><p>b</p></li><li><p>c</p></li></ul></li><li><p>d</p></li></ul>"),
        ("- a\n\n  b\n\nc", "<ul><li><p>a</p><p>b</p></li></ul><p>c</p>"),
        ("It was in\n1990. A year\n- a list", "<p>It was in\n1990. A year</p><ul><li><p>a list</p></li></ul>"),
        ("```py\nif *a*:\n\n\tb\n```\nc", '<div class="code"><pre><code>if *a*:\n\n\tb</code></pre></div><p>c</p>'),
        ("1. a\n   ```\n   b\n   ```\n2. c", '<ol><li><p>a</p><div class="code"><pre><code>b</code></pre></div></li><li><p>c</p></li></ol>'),
        ("~~~\n```\n~~~", '<div class="code"><pre><code>```</code></pre></div>'),
        ("> a\n> b\n\nc", "<blockquote><p>a\nb</p></blockquote><p>c</p>"),
        ("a\n\n---\n* * *\nb", "<p>a</p><hr><hr><p>b</p>"),
        ("| a | b |\n|---|--:|\n| `c` | d\\|e |\n| f |\n\ng", TABLE),
        ("a | b, and no more", "<p>a | b, and no more</p>"),
    ],
)  # fmt: skip
def test_markdown(blank: Page, text: str, expected: str) -> None:
    """What models write becomes what they mean, and what only looks like Markdown stays text."""
    assert html(blank, text) == expected


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("[a **b**](https://a.b/c_(d) 'title')", "https://a.b/c_(d)"),
        ("![a](http://a.b/c.png)", "http://a.b/c.png"),
        ("<https://a.b>", "https://a.b"),
        ("See https://a.b/c_d?e=1&f.", "https://a.b/c_d?e=1&f"),
        ("[a](mailto:a@b.c)", "mailto:a@b.c"),
        ("[a](javascript:alert(1))", None),
        ("[a](JAVASCRIPT:alert(1))", None),
        ("[a](\tjava\nscript:alert(1))", None),
        ("[a](data:text/html,<script>alert(1)</script>)", None),
        ("[a](//a.b)", None),
        ("[a](/logout)", None),
        ("[a](https://)", None),
    ],
)
def test_links_lead_to_the_web_alone(blank: Page, text: str, target: str | None) -> None:
    """A link opens a tab of its own, and knows nothing of this one; any other target stays text."""
    made = html(blank, text)
    if target is None:
        assert "<a" not in made
        assert run(blank, "blocks", text) == [text]
    else:
        found = blank.evaluate(
            """(html) => {
                const [link] = new DOMParser().parseFromString(html, "text/html").links;
                return [link.getAttribute("href"), link.rel, link.target];
            }""",
            made,
        )
        assert found == [target, "noopener noreferrer", "_blank"]


def test_text_without_markup_is_that_text(blank: Page) -> None:
    """Letters, spaces, indentation and line breaks come through as they are; an empty line parts two paragraphs."""
    choose = random.Random(1)
    for _ in range(40):
        words = [
            "a",
            "Word",
            "ß",
            "日本",
            "👍",
            "é",
            " ",
            "  ",
            "\n",
            ", ",
            ". ",
            "12",
            "?",
            "€",
            '"',
            "&",
            "%",
        ]
        paragraphs = [
            "x" + "".join(choose.choices(words, k=choose.randrange(80))).replace("\n", "\n    x")
            for _ in range(4)
        ]
        assert run(blank, "blocks", "\n\n".join(paragraphs)) == paragraphs


def test_any_text_is_safe_however_it_is_cut(blank: Page) -> None:
    """Whatever a model writes makes no element, attribute or link but the known ones, and the same in pieces as at once."""
    choose = random.Random(2)
    texts = ["".join(choose.choices(_PIECES, k=choose.randrange(1, 60))) for _ in range(1500)]
    texts += ["".join(choose.choices("*_`[]() a", k=400)) for _ in range(50)]
    texts += ["".join(choose.choices(("|", "-", ":", "a", "\n"), k=60)) for _ in range(200)]
    assert run(blank, "faults", texts) == []


@pytest.mark.parametrize(
    "text",
    [
        ">" * 20_000,
        "- " * 20_000,
        "1. " * 20_000,
        "[" * 20_000,
        "![](" * 5_000,
        "**a " * 10_000,
        "*a **b " * 5_000,
        "`" * 20_000,
        "".join("`" * n + " " for n in range(200)),
        "|" * 20_000 + "\n" + "|-" * 20_000,
        "a|b\n-|-\n" + "|`a" * 10_000,
        "https://" + "." * 20_000,
        "```\n" + "x" * 20_000,
        "#" * 20_000,
        " " * 20_000 + "a",
        "<div>" * 5_000,
        "word " * 20_000,
        "W" * 20_000,
        "👍" * 10_000,
        "a\n" * 10_000,
        "> " * 300 + "\n" + "- " * 300 + "\n```",
    ],
    ids=lambda text: text[:8],
)
def test_no_text_is_too_much(blank: Page, text: str) -> None:
    """Huge and hostile texts are shown, nested a few levels deep at most, the same in pieces as at once."""
    deepest = """async (text) => {
        const { shown } = await import("/render.js");
        let [deepest, level] = [0, [...shown([text]).children]];
        for (; level.length; deepest++) level = level.flatMap((element) => [...element.children]);
        return deepest;
    }"""
    assert blank.evaluate(deepest, text) < 40
    assert run(blank, "faults", [text[:3000]]) == []


def test_a_long_answer_costs_as_much_per_token_as_a_short_one(blank: Page) -> None:
    """With each token only the block that is being written changes, and of a long paragraph only its last run."""
    changed = blank.evaluate("""async () => {
        const { Markdown } = await import("/llm/markdown.js");
        const root = document.createElement("article");
        const text = new Markdown(root);
        const touched = [];
        const watch = new MutationObserver(() => {});
        const options = { childList: true, characterData: true, subtree: true };
        for (let paragraph = 0; paragraph < 50; paragraph++) text.append(`- item *${paragraph}*\\n\\npart **b** ${paragraph}\\n\\n`);
        for (let word = 0; word < 2000; word++) text.append(`long *word* ${word} `);
        watch.observe(root, options);
        for (const piece of ["one ", "*two", "* three"]) {
            text.append(piece);
            touched.push(...watch.takeRecords());
        }
        const last = root.lastElementChild;
        return [touched.length < 12, touched.every((record) => last.contains(record.target))];
    }""")
    assert changed == [True, True]


def test_what_is_not_closed_yet_is_shown_as_if_it_were(blank: Page) -> None:
    """While text comes, no marks of emphasis flash by; at the end those that were never closed are there again."""
    seen = blank.evaluate("""async () => {
        const { Markdown } = await import("/llm/markdown.js");
        const root = document.createElement("article");
        const text = new Markdown(root);
        const seen = [];
        for (const piece of ["a ", "**", "b", " c", "**", " `", "d"]) {
            text.append(piece);
            seen.push(root.textContent);
        }
        text.end();
        return [...seen, root.textContent];
    }""")
    assert seen == ["a ", "a ", "a b", "a b c", "a b c", "a b c ", "a b c d", "a b c `d"]
