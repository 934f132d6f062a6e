"""What a person does on the page, in a real browser, against what the index itself answers."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from selenium.webdriver.common.keys import Keys
from serve.conftest import serving, write_keys
from serve.page.conftest import ENCODERS, QUESTION, Page
from support import HashEncoder, HashExpander
from typer.testing import CliRunner

from leanseek import Hit, Searcher
from leanseek.cli import app
from leanseek.serve import ServeSettings, create_app

WIDTH = "return document.documentElement.scrollWidth"


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def test_hits_appear_as_the_query_is_typed(page: Page, searcher: Searcher) -> None:
    page.open()
    assert "documents" in page.one(".welcome").text
    for part in ("remove", " a whole", " directory tree"):
        page.one("#q").send_keys(part)
    page.until(lambda: page.ids() == ids(searcher.search("remove a whole directory tree")))
    assert "q=remove+a+whole+directory+tree" in page.driver.current_url
    assert page.driver.title.startswith("remove a whole directory tree")
    assert page.one(".line p").text.startswith("10 hits in ")
    page.one("#q").clear()
    page.one("#q").send_keys(" ")
    page.until(lambda: not page.ids() and page.all(".welcome"))


SLOW = """
const real = window.fetch;
window.asked = [];
window.fetch = async (address, options) => {
  if (options?.method === "POST") {
    const { query } = JSON.parse(options.body);
    window.asked.push(query);
    if (query === "glob") await new Promise((done) => setTimeout(done, 1500));
  }
  return real(address, { ...options, signal: undefined });
};
"""


def test_an_answer_that_comes_late_is_dropped(page: Page, searcher: Searcher) -> None:
    page.open()
    page.run(SLOW)
    page.one("#q").send_keys("glob")
    page.until(lambda: page.run("return window.asked.includes('glob')"))
    page.one("#q").send_keys(" patterns of files")
    wanted = ids(searcher.search("glob patterns of files"))
    assert wanted != ids(searcher.search("glob"))
    page.until(lambda: page.ids() == wanted)
    page.driver.execute_async_script("setTimeout(arguments[0], 1800)")
    assert page.ids() == wanted


def test_keys_in_quick_succession_are_one_query(page: Page) -> None:
    page.open()
    page.run(SLOW)
    page.run(
        "const box = document.getElementById('q');"
        "for (const text of ['g', 'gl', 'globs']) {"
        "  box.value = text; box.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    page.settled()
    assert page.run("return window.asked") == ["globs"]


def test_highlights_are_where_the_server_says(page: Page, searcher: Searcher) -> None:
    [first, *_] = searcher.search("zebrafish", k=10, explain=True)
    assert first.id == "emoji" and first.explanation is not None
    snippet = first.explanation.snippet
    page.open(q="zebrafish")
    assert page.run("return document.querySelector('.snippet').textContent") == snippet.text
    marks = page.run(
        "return [...document.querySelector('.snippet').querySelectorAll('mark')].map(m => m.textContent)"
    )
    assert marks == [snippet.text[start:end] for start, end in snippet.highlights] and len(marks) == 3


def test_titles_metadata_and_facets(page: Page, searcher: Searcher) -> None:
    page.open(q=QUESTION)
    hits = searcher.search(QUESTION)
    for hit, shown in zip(hits, page.all(".hit"), strict=True):
        assert shown.find_element("css selector", ".title").text == hit.title
        assert f"module {hit.metadata['module']}" in shown.text.replace("\n", " ")
    counts = [hit.metadata["module"] for hit in hits]
    chip = page.one(".facets [aria-label=module] .chip")
    module = max(counts, key=counts.count)
    counted = dict(searcher.answer(QUESTION, facets=["module"]).facets["module"].values)
    assert chip.text.split() == [module, f"{counted[module]:,}"]
    chips = [one.text.split() for one in page.all(".facets [aria-label=module] .chip")]
    assert chips == [[name, f"{counted[name]:,}"] for name, _ in chips]
    assert any(counted[name] > counts.count(name) for name, _ in chips)
    chip.click()
    clause = f'module = "{module}"'
    assert page.one("#filter").get_attribute("value") == clause
    page.until(lambda: page.ids() == ids(searcher.search(QUESTION, filter=clause)))
    page.one(".facets .chip[aria-pressed=true]").click()
    page.until(lambda: page.ids() == ids(hits))


def test_a_facet_with_odd_names_and_values_is_a_filter_that_can_be_read(page: Page) -> None:
    page.open(q="quokka")
    labels = ["marsupial, 2 documents", 'with "quotes" and \\, 2 documents', "true, 2 documents"]
    for label in labels:
        [chip] = [one for one in page.all(".facets .chip") if one.get_attribute("aria-label") == label]
        chip.click()
        page.until(lambda: not page.all(".waiting") and len(page.ids()) == 2)
        assert not page.all(".problem") and set(page.ids()) == {"folder/a b?#ü.txt", ".."}
    assert len(page.all(".facets .chip[aria-pressed=true]")) == 3
    for left in (2, 1, 0):
        page.all(".facets .chip[aria-pressed=true]")[0].click()
        page.until(lambda left=left: len(page.all(".facets .chip[aria-pressed=true]")) == left)
    page.until(lambda: page.one("#filter").get_attribute("value") == "" and len(page.ids()) == 10)


def test_the_filters_error_is_shown_where_it_is(page: Page) -> None:
    page.open(q=QUESTION)
    before = page.ids()
    page.type("#filter", 'module = "glob')
    problem = page.one("#filter-problem")
    assert "no closing" in problem.text
    expression, caret = page.run("return document.querySelector('#filter-problem pre').textContent").split(
        "\n"
    )
    assert caret.index("^") == expression.index('"')
    assert page.one("#filter").get_attribute("aria-invalid") == "true"
    assert page.one("#filter").get_attribute("aria-describedby") == "filter-problem"
    assert page.ids() == before
    page.one("#filter").send_keys('"')
    page.until(lambda: not page.all("#filter-problem") and page.ids() != before)
    page.type("#filter", "moduel = 1")
    page.until(lambda: "moduel" in "".join(one.text for one in page.all("#filter-problem")))


def test_the_slider_cuts_and_shows_what_came_nearest(page: Page, searcher: Searcher) -> None:
    page.open(q=QUESTION)
    slider = page.one("#p")
    for _ in range(9):
        slider.send_keys(Keys.ARROW_RIGHT)
    answer = searcher.answer(QUESTION, 10, min_probability=0.3)
    assert 0 < len(answer.hits) < 10
    page.until(lambda: f"{answer.left_out} below .30" in page.one(".line p").text)
    assert page.ids() == ids(answer.hits) and "p=0.3" in page.driver.current_url
    assert slider.get_attribute("aria-valuetext") == "at least .30"
    page.type("#q", "sourdough bread in the oven")
    nothing = searcher.answer("sourdough bread in the oven", 10, min_probability=0.3)
    assert not nothing.hits and nothing.nearest is not None and nothing.nothing is not None
    page.until(lambda: page.all(".nearest") and not page.all(".waiting"))
    assert page.ids() == [nothing.nearest.id]
    assert nothing.nothing.sentence[1:] in page.one(".nothing").text
    page.one(".nothing .more").click()
    page.until(lambda: len(page.ids()) == 10)


def test_the_drawer_explains_each_stage_and_reads_the_document(page: Page, searcher: Searcher) -> None:
    [hit, *_] = searcher.search("smiling quokka", explain=True)
    assert hit.passage is not None and hit.passage.count > 1 and hit.explanation is not None
    page.open(q="smiling quokka")
    page.one(".title").click()
    rows = [row.text.split("\n") for row in page.one(".drawer").find_elements("css selector", "tbody tr")]
    rows = [" ".join(row) for row in rows]
    for row, name, stage in zip(
        rows, ("Words", "Meaning"), (hit.explanation.sparse, hit.explanation.dense), strict=False
    ):
        assert stage is not None and row.startswith(name)
        assert f"#{stage.rank}" in row and f"{stage.score:.3f}" in row
    assert rows[2] == f"Fusion #1 {hit.score:.3f}" and rows[3].startswith("Probability of relevance")
    assert [chip.text for chip in page.all(".terms .chip")] == list(hit.explanation.terms)
    page.one(".drawer .more").click()
    page.until(lambda: page.all(".drawer .text mark"))
    assert page.run("return document.querySelector('.drawer mark').textContent") == hit.text
    assert hit.id in ("..", "folder/a b?#ü.txt")
    [whole] = searcher.documents([hit.id])
    assert page.run("return document.querySelector('.drawer .text').textContent") == whole.text
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    assert page.run("return document.activeElement.textContent") == hit.title


def test_the_drawer_shows_each_re_ranker(page: Page, searcher: Searcher, folders: dict[str, Path]) -> None:
    settings = ServeSettings(rerank=("cross-encoder",), rerank_depth=(5,))
    with serving(create_app({"python": folders["python"]}, settings)) as address:
        page.driver.get(f"{address}/?q=copy+a+file&k=5")
        page.settled()
        reranked = httpx2.get(
            f"{address}/indexes/python/search", params={"query": "copy a file", "k": 5}
        ).json()
        hits = reranked["hits"]
        assert page.ids() == [hit["id"] for hit in hits]
        page.all(".title")[3].click()
        rows = [
            " ".join(row.text.split())
            for row in page.one(".drawer").find_elements("css selector", "tbody tr")
        ]
        fused, second = hits[3]["history"]
        assert rows[2] == f"Fusion #{fused['rank']} {fused['score']:.3f}"
        assert rows[3] == f"Re-ranker {second['by']} #{second['rank']} {second['score']:.3f}"
        page.press(Keys.ESCAPE)
        page.one("[name=a-rerank]").click()
        plain = ids(searcher.search("copy a file", 5))
        assert plain != [hit["id"] for hit in hits]
        page.until(lambda: page.ids() == plain)


def test_a_learned_side_has_its_mode_and_its_words(page: Page, folders: dict[str, Path]) -> None:
    page.open(index="python", q="heart")
    assert not page.all("input[value=learned]")
    page.open(index="learned", q="heart")
    page.one("input[value=learned]").find_element("xpath", "..").click()
    with Searcher.open(folders["learned"], encoder=HashEncoder(), learned=HashExpander()) as searcher:
        hits = searcher.search("heart", mode="learned", explain=True)
    page.until(lambda: page.ids() == ids(hits))
    page.one(".title").click()
    assert hits[0].explanation is not None
    words = [chip.text.removeprefix("+ ").split()[0] for chip in page.all(".terms:last-of-type .chip")]
    assert words == [term.term for term in hits[0].explanation.expanded] and words
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    page.one("nav .plain").click()
    page.until(lambda: page.ids(".second"))
    assert page.one(".second input[value=sparse]").is_selected()


def test_two_settings_side_by_side(page: Page, searcher: Searcher) -> None:
    page.open(q=QUESTION)
    page.one("nav .plain").click()
    left, right = searcher.search(QUESTION), searcher.search(QUESTION, mode="sparse")
    page.until(lambda: page.ids(".second") == ids(right))
    assert page.ids("section:not(.second)") == ids(left)
    both = {hit.id for hit in left} & {hit.id for hit in right}
    page.until(lambda: f"overlap@10 {len(both) / 10:.2f}" in page.one(".overlap").text)
    before = {hit.id: hit.rank for hit in left}
    moved = [one.text.split("\n")[0] for one in page.all(".second .moved")]
    for hit, shown in zip(right, moved, strict=True):
        by = before.get(hit.id, 0) - hit.rank
        wanted = (
            "only here" if hit.id not in before else "=" if not by else f"{'↑' if by > 0 else '↓'}{abs(by)}"
        )
        assert shown == wanted
    page.one(".second input[value=dense]").find_element("xpath", "..").click()
    page.until(lambda: page.ids(".second") == ids(searcher.search(QUESTION, mode="dense")))
    assert "b.mode=dense" in page.driver.current_url


def test_copies_work_where_they_are_pasted(
    page: Page, searcher: Searcher, folders: dict[str, Path], tmp_path: Path
) -> None:
    query, condition = 'it\'s a "tree" $HOME `ls`', 'module != "it\'s"'
    page.open(q=query, filter=condition, k=5, literal=1)
    wanted = ids(searcher.search(query, 5, filter=condition, literal=True))
    assert page.ids() == wanted

    def copied(kind: str) -> str:
        page.one(f"[data-copy={kind}]").click()
        said = {"command": "CLI command copied"}.get(kind, f"{kind} copied")
        page.until(lambda: said.lower() in page.one(".toast").text.lower())
        return page.pasted()

    answer = subprocess.run(copied("curl"), shell=True, capture_output=True, text=True, check=True).stdout
    assert re.findall(r'"rank":\d+,"id":"([^"]*)"', answer) == wanted
    words = shlex.split(copied("command").replace("python.index", str(folders["python"])))
    found = CliRunner().invoke(app, [*words[1:], "--json"])
    assert re.findall(r'"rank": \d+, "id": "([^"]*)"', found.stdout) == wanted, found.output
    text = searcher.context(query, k=5, filter=condition).text
    assert text and text in copied("prompt") and query in page.pasted()
    [first, *_] = searcher.search(query, 5, filter=condition, literal=True)
    assert first.title in copied("citation") and "python" in page.pasted()
    assert len(copied("citations").split("\n\n")) == 5


def test_where_copying_is_forbidden_the_text_is_shown(page: Page) -> None:
    page.open(q=QUESTION)
    page.run(
        "navigator.clipboard.writeText = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    )
    page.one("[data-copy=curl]").click()
    assert page.one(".toast textarea").get_attribute("value").startswith("curl http://127.0.0.1")


def test_the_address_holds_the_state(page: Page, searcher: Searcher) -> None:
    page.open(q=QUESTION, mode="dense", filter='kind = "function"', k=3, p=0.001, collapse=1, literal=1)
    options: dict[str, Any] = {
        "mode": "dense",
        "filter": 'kind = "function"',
        "collapse": True,
        "literal": True,
    }
    wanted = searcher.answer(QUESTION, 3, min_probability=None, **options).hits
    page.open(q=QUESTION, mode="dense", filter='kind = "function"', k=3, collapse=1, literal=1)
    assert page.ids() == ids(wanted)
    assert page.one("input[value=dense]").is_selected() and page.one("[name=a-collapse]").is_selected()
    assert page.one("#filter").get_attribute("value") == 'kind = "function"'
    page.one("input[value=sparse]").find_element("xpath", "..").click()
    page.until(lambda: page.ids() == ids(searcher.search(QUESTION, 3, **{**options, "mode": "sparse"})))
    page.driver.back()
    page.until(lambda: page.ids() == ids(wanted) and page.one("input[value=dense]").is_selected())
    page.type("#q", "glob")
    page.one("#q").send_keys(Keys.ENTER)
    page.type("#q", "escape")
    page.until(lambda: "q=escape" in page.driver.current_url)
    page.driver.back()
    page.until(lambda: page.one("#q").get_attribute("value") == "glob")
    page.open(q=QUESTION, k="x", p="-7", index="nowhere")
    assert "there is no index 'nowhere'" in page.one(".problem").text


def test_the_keyboard_is_enough(page: Page, searcher: Searcher) -> None:
    hits = searcher.search(QUESTION)
    page.open(q=QUESTION)
    focus = "return document.activeElement.textContent"
    page.press(Keys.ESCAPE)
    page.press("jjk")
    assert page.run(focus) == hits[0].title
    page.press("j")
    assert page.run(focus) == hits[1].title
    page.press("e")
    assert page.one("#drawer-title").text == hits[1].title
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    assert page.run(focus) == hits[1].title
    page.press("c")
    page.until(lambda: "Citation copied" in page.one(".toast").text)
    assert hits[1].title in page.pasted()
    page.press("?")
    assert "excluded" in page.one(".help").text
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    page.press("/")
    assert page.run("return document.activeElement.id") == "q"
    page.press("?")
    assert not page.all("dialog") and page.one("#q").get_attribute("value") == "?"


def test_more_hits_are_asked_for(page: Page, searcher: Searcher) -> None:
    page.open(q=QUESTION)
    page.one(".answer > .more").click()
    page.until(lambda: page.ids() == ids(searcher.search(QUESTION, 20)))


def test_themes(page: Page) -> None:
    paper = "return getComputedStyle(document.documentElement).backgroundColor"
    page.open(q=QUESTION)
    light = page.run(paper)
    page.theme("dark")
    dark = page.run(paper)
    assert dark != light
    page.theme("light")
    toggle = page.all("nav .plain")[1]
    for name, colour in (("light", light), ("dark", dark)):
        toggle.click()
        page.until(lambda name=name: toggle.text == f"Theme: {name}")
        assert page.run(paper) == colour
    page.open()
    assert page.run(paper) == dark
    page.all("nav .plain")[1].click()
    page.until(lambda: page.run(paper) == light)


@pytest.mark.parametrize("width", [320, 550])  # 550: a common window at a zoom of 200 %
def test_a_narrow_window_needs_no_sideways_scrolling(page: Page, width: int) -> None:
    page.size(width)
    page.open()
    assert page.run(WIDTH) <= width
    page.open(q=QUESTION, filter='module = "a string without an end and with many letters')
    assert page.run(WIDTH) <= width
    page.open(q="quokka", compare=1, b__mode="sparse")
    page.until(lambda: page.ids(".second"))
    assert page.run(WIDTH) <= width
    page.one(".title").click()
    page.one(".drawer .more").click()
    page.until(lambda: page.all(".drawer mark"))
    assert page.run("return document.querySelector('dialog').scrollWidth") <= width
    assert page.run(WIDTH) <= width


def test_a_server_that_does_not_answer(page: Page, searcher: Searcher) -> None:
    page.open(q=QUESTION)
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": True})
    try:
        page.type("#q", "glob")
        page.until(lambda: "does not answer" in page.one(".problem").text)
    finally:
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    page.one("#q").send_keys(Keys.ENTER)
    page.until(lambda: page.ids() == ids(searcher.search("glob")))


def test_a_key_is_asked_for(page: Page, folders: dict[str, Path], tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys.jsonl", {"name": "alice", "indexes": ["hostile"]})
    with serving(create_app({**folders}, ServeSettings(keys=keys, encoders=ENCODERS))) as address:
        page.driver.get(f"{address}/?q=venom")
        assert "needs a key" in page.one(".key").text
        page.one("#key").send_keys("wrong", Keys.ENTER)
        page.until(lambda: page.one("#key"))
        page.type("#key", "alice")
        page.press(Keys.ENTER)
        page.until(lambda: len(page.ids()) == 10)
        assert "alice" not in page.driver.current_url and not page.all("select")
        page.run("sessionStorage.clear()")
