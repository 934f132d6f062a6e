"""Texts that want to be markup, accessibility by axe-core's rules, and what the page is made of."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from serve.page.conftest import ENCODERS, HOSTILE, QUESTION, Page
from starlette.testclient import TestClient
from support import ROOT

from leanseek.serve import ServeSettings, create_app

STATIC = ROOT / "leanseek" / "serve" / "static"
VENDORED = Path(__file__).parent / "vendor"
BUDGET = 60_000
"""Bytes of the whole page, compressed."""

ALIEN = (
    "#page :is(script, iframe, svg, math, style, link, base, meta, object, embed), "
    "#page img:not([src='static/icon.svg'])"
)


def untouched(page: Page) -> None:
    """Assert that no text has become an element, or run."""
    assert page.run("return window.struck ?? null") is None
    assert page.run("return document.querySelectorAll(arguments[0]).length", ALIEN) == 0
    requests = page.run(
        "return performance.getEntries().filter(e => e.name.startsWith('http')).map(e => e.name)"
    )
    assert requests and all(name.startswith(page.site) for name in requests)


def test_hostile_texts_are_texts(page: Page) -> None:
    page.open(index="hostile", q="venom", k=50, compare=1)
    page.until(lambda: page.ids(".second"))
    assert sorted(page.ids(".second")) == sorted(f"{text}{at}" for at, text in enumerate(HOSTILE))
    untouched(page)
    for at in range(len(HOSTILE)):
        title = page.all(".title")[at]
        title.click()
        assert page.one("#drawer-title").text.strip() == title.text.strip()
        untouched(page)
        page.run("document.querySelector('dialog').close()")
        page.until(lambda: not page.all("dialog"))
    page.one("[data-copy=prompt]").click()
    page.one(".toast")
    untouched(page)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_addresses_are_texts(page: Page, text: str) -> None:
    page.open(index="hostile", q=text, filter=text)
    untouched(page)
    page.open(index=text, q=text, mode=text)
    untouched(page)


def test_the_policy_lets_no_markup_be_made(page: Page) -> None:
    page.open(q=QUESTION)
    refused = page.run(
        "try { document.body.innerHTML = '<b>x</b>'; return '' } catch (error) { return error.name }"
    )
    assert refused == "TypeError"
    page.driver.get_log("browser")


VIEWS: dict[str, dict[str, Any]] = {
    "welcome": {},
    "hits": {"q": QUESTION},
    "error": {"q": QUESTION, "filter": "module ="},
    "nothing": {"q": "sourdough bread in the oven", "p": 0.5},
    "compare": {"q": QUESTION, "compare": 1, "b.mode": "sparse"},
    "drawer": {"q": "quokka"},
    "help": {"q": QUESTION},
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, theme: str) -> None:
    axe = (VENDORED / "axe.min.js").read_text("utf-8")
    page.theme(theme)
    found: list[str] = []
    for name, parameters in VIEWS.items():
        page.open(**parameters)
        if name == "compare":
            page.until(lambda: page.ids(".second"))
        if name == "drawer":
            page.one(".title").click()
            page.one("dialog")
        if name == "help":
            page.one("[data-copy=curl]").click()
            page.one(".toast")
            page.press("?")
            page.one("dialog")
        page.run(axe)
        report = page.driver.execute_async_script(
            "axe.run(document, {resultTypes: ['violations']}).then(arguments[arguments.length - 1])"
        )
        found += [
            f"{name}: {one['id']}: {node['html'][:200]}"
            for one in report["violations"]
            for node in one["nodes"]
        ]
        assert len(report["passes"]) > 15
    assert not found, "\n".join(found)


def test_results_are_announced(page: Page) -> None:
    page.open(q=QUESTION)
    status = page.run(
        "return [...document.querySelectorAll('[role=status]')].map(one => one.textContent.trim()).filter(Boolean)"
    )
    assert len(status) == 1 and status[0].startswith("10 hits")
    assert page.one("#q").accessible_name == "Search for"
    assert page.one("#filter").accessible_name == "Filter"
    assert page.one("#p").accessible_name.startswith("Probability")
    assert page.one(".hit .title").aria_role == "button"


def test_the_page_is_small_and_asks_nobody_else() -> None:
    served = {path: gzip.compress(path.read_bytes()) for path in STATIC.rglob("*") if path.is_file()}
    assert sum(map(len, served.values())) <= BUDGET
    for path in served:
        if path.parent == STATIC and path.suffix in (".js", ".css", ".html"):
            text = path.read_text("utf-8")
            assert not re.search(
                r"https?://|innerHTML|dangerously|\beval\b|new Function|@import|\burl\(", text
            ), path
            assert len(text.splitlines()) <= 350


@pytest.mark.parametrize("folder", [STATIC / "vendor", VENDORED], ids=["page", "tests"])
def test_vendored_files_are_as_released(folder: Path) -> None:
    listed = json.loads((folder / "vendor.json").read_text("utf-8"))
    for one in listed:
        assert hashlib.sha256((folder / one["file"]).read_bytes()).hexdigest() == one["sha256"]
        assert (folder / one["licence_file"]).stat().st_size > 500 and one["licence"] and one["version"]
    known = {name for one in listed for name in (one["file"], one["licence_file"])}
    assert {path.name for path in folder.iterdir()} == known | {"vendor.json"}


def test_how_the_files_are_served(folders: dict[str, Path]) -> None:
    with TestClient(create_app(folders, ServeSettings(encoders=ENCODERS)), "http://localhost") as client:
        start = client.get("/", params={"q": "any", "unknown": "1"})
        assert start.status_code == 200 and start.headers["content-encoding"] == "gzip"
        policy = start.headers["content-security-policy"]
        assert "unsafe" not in policy and "default-src 'none'" in policy and "script-src 'self'" in policy
        for address in re.findall(r'(?:src|href)="(static/[^"]+)"', start.text):
            found = client.get(f"/{address}")
            assert found.status_code == 200 and found.headers["content-security-policy"] == policy
        plain = client.get("/static/app.js", headers={"accept-encoding": "identity"})
        assert plain.content == (STATIC / "app.js").read_bytes()
        assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
        again = client.get("/static/app.js", headers={"if-none-match": plain.headers["etag"]})
        assert again.status_code == 304 and not again.content
        for outside in (
            "/static/../page.py",
            "/static/%2e%2e/page.py",
            "/static/vendor/vendor.json",
            "/static/",
        ):
            assert client.get(outside).status_code == 404
        assert client.post("/").status_code == 405 and client.head("/").status_code == 200


@pytest.mark.slow
def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True)
    [wheel] = tmp_path.glob("*.whl")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True
    )
    for path in STATIC.rglob("*"):
        assert path.is_dir() or str(path.relative_to(ROOT)) in listed.stdout
