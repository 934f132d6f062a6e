"""Suggestions below the query box, in a real browser: what is typed, the keys, the pointer, screen readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from serve.conftest import serving, until
from serve.page.conftest import ENCODERS, Page

from leanseek.serve import ServeSettings, create_app

OPTIONS = "return [...document.querySelectorAll('#suggested:not([hidden]) [role=option]')].map(one => one.textContent)"
CHOSEN = "return document.querySelector('#suggested [aria-selected=true]')?.textContent"


@pytest.fixture(scope="module")
def suggesting(folders: dict[str, Path]) -> Iterator[str]:
    """The address of a server that has collected the suggestions of the indexes."""
    settings = ServeSettings(encoders=ENCODERS, suggest=True)
    with serving(create_app(folders, settings)) as address:
        for name in folders:
            until(lambda name=name: httpx2.get(f"{address}/indexes/{name}/suggest").json()["ready"])  # type: ignore[misc]
        yield address


@pytest.fixture
def box(chromium: webdriver.Chrome, suggesting: str) -> Page:
    """The page of that server."""
    found = Page(chromium, suggesting)
    found.size(1100)
    return found.open()


def test_queries_are_suggested_while_one_is_typed(box: Page, suggesting: str) -> None:
    box.until(lambda: box.all(".welcome"))
    box.one("#q").send_keys("shutil.c")
    expected = httpx2.get(f"{suggesting}/indexes/python/suggest", params={"text": "shutil.c"}).json()
    texts = [one["text"] for one in expected["suggestions"]]
    assert len(texts) > 1
    box.until(lambda: box.run(OPTIONS) == texts)
    assert box.one("#q").get_attribute("aria-expanded") == "true" and box.run(CHOSEN) is None
    box.press(Keys.ARROW_DOWN)
    box.until(lambda: box.run(CHOSEN) == texts[0])
    box.press(Keys.ARROW_UP)
    box.until(lambda: box.run(CHOSEN) is None)
    box.press(Keys.ARROW_UP)
    box.until(lambda: box.run(CHOSEN) == texts[-1])
    box.press(Keys.ENTER)
    box.until(lambda: box.one("#q").get_attribute("value") == texts[-1] and not box.run(OPTIONS))
    box.settled()
    assert box.ids()


def test_escape_the_pointer_and_leaving_close_the_list(box: Page) -> None:
    box.until(lambda: box.all(".welcome"))
    box.one("#q").send_keys("shutil.c")
    texts = box.until(lambda: box.run(OPTIONS))
    box.press(Keys.ESCAPE)
    box.until(lambda: not box.run(OPTIONS))
    assert box.run("return document.activeElement.id") == "q"
    box.one("#q").send_keys("o")
    box.until(lambda: box.run(OPTIONS))
    box.press(Keys.TAB)
    box.until(lambda: not box.run(OPTIONS))
    box.type("#q", "shutil.c")
    box.until(lambda: box.run(OPTIONS) == texts)
    box.all("#suggested [role=option]")[1].click()
    box.until(lambda: box.one("#q").get_attribute("value") == texts[1] and not box.run(OPTIONS))


def test_enter_asks_what_was_typed_where_no_suggestion_is_chosen(box: Page) -> None:
    box.until(lambda: box.all(".welcome"))
    box.one("#q").send_keys("shutil.c")
    box.until(lambda: box.run(OPTIONS))
    box.press(Keys.ENTER)
    box.until(lambda: not box.run(OPTIONS))
    assert box.one("#q").get_attribute("value") == "shutil.c"


def test_a_server_without_suggestions_is_not_asked(page: Page) -> None:
    page.open()
    page.run(
        "window.asked = []; const real = fetch; window.fetch = (...given) => (asked.push(given[0]), real(...given))"
    )
    page.one("#q").send_keys("shutil.copy")
    page.settled()
    assert page.run("return asked.length") and not [
        one for one in page.run("return asked") if "suggest" in one
    ]
