"""A browser, and a server of real texts and of hostile ones, for the tests of the page."""

from __future__ import annotations

import importlib
import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from serve.conftest import serving
from support import HashEncoder, HashExpander, make_documents

from leanseek import Document, Index, Searcher
from leanseek.serve import ServeSettings, create_app

ENCODERS = (HashEncoder(), HashExpander())
INSTALL = "apt-get install chromium chromium-driver"
MODULES = ("functools", "glob", "linecache", "shutil", "subprocess", "textwrap")
QUESTION = "cache the results of a slow function"
SPECIAL = [
    Document(
        "emoji",
        "😀😀 A zebrafish 🐟 swims; the zebrafish sleeps. é e\u0301 zebrafish",
        "𝒵ebrafish",
        {"year": 2020},
    ),
    *(
        Document(
            name,
            "Quokkas are small. " * 40
            + "The quokka smiles at visitors of the island. "
            + "They eat leaves. " * 40,
            title,
            {"year": 2021, "tags": ["marsupial", 'with "quotes" and \\'], "an odd `field`": True},
        )
        for name, title in (("folder/a b?#ü.txt", "On quokkas"), ("..", "Quokkas again"))
    ),
]


def documents() -> list[Document]:
    """What some modules of Python say of their functions and classes, and a few documents that need care."""
    found = [
        Document(
            f"{module}.{name}",
            inspect.getdoc(one) or "",
            f"{module}.{name}",
            {"module": module, "kind": "class" if inspect.isclass(one) else "function"},
        )
        for module in MODULES
        for name, one in sorted(vars(importlib.import_module(module)).items())
        if inspect.isroutine(one) or inspect.isclass(one)
        if getattr(one, "__module__", "") == module and not name.startswith("_") and inspect.getdoc(one)
    ]
    return [*found, *SPECIAL]


HOSTILE = [
    "<script>window.struck = 1</script>",
    "<img src=x onerror='window.struck = 1'>",
    "</mark></p><svg onload=window.struck=1>",
    "javascript:window.struck=1",
    "\"><iframe srcdoc='<script>parent.struck=1</script>'></iframe>",
    "${window.struck = 1} {{constructor.constructor('window.struck=1')()}}",
    "<a href='javascript:window.struck=1' autofocus onfocus=window.struck=1>venom</a>",
    "<style>@import 'http://evil.example/'</style><link rel=stylesheet href=//evil.example/x.css>",
    "<base href='http://evil.example/'><meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "\u202e<details open ontoggle=window.struck=1>",
    "<math><mtext></mtext><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=window.struck=1&gt;'>",
    "__proto__",
]


def hostile_documents() -> list[Document]:
    """Every text as id, title, text, field and value."""
    return [
        Document(f"{text}{at}", f"venom {text} venom", text, {text: text, "kind": text, "constructor": text})
        for at, text in enumerate(HOSTILE)
    ]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The indexes that are served, by name."""
    root = tmp_path_factory.mktemp("page")
    with Index.create(root / "python.index", chunk_words=120) as index:
        index.add(documents())
    with Index.create(root / "hostile.index", encoder=None) as index:
        index.add(hostile_documents())
    with Index.create(root / "learned.index", encoder=HashEncoder(), learned=HashExpander()) as index:
        index.add(make_documents(60))
    return {name: root / f"{name}.index" for name in ("python", "hostile", "learned")}


@pytest.fixture(scope="session")
def searcher(folders: dict[str, Path]) -> Iterator[Searcher]:
    """A searcher of the real texts, to compare with."""
    with Searcher.open(folders["python"]) as found:
        yield found


@pytest.fixture(scope="session")
def site(folders: dict[str, Path]) -> Iterator[str]:
    """The address of the server."""
    with serving(create_app(folders, ServeSettings(encoders=ENCODERS))) as address:
        yield address


@pytest.fixture(scope="session")
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser without a window."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip(f"needs a browser: {INSTALL}")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service(str(programs[1]))) as driver:
        yield driver


class Page:
    """The page in a browser, as a person uses it."""

    def __init__(self, driver: webdriver.Chrome, site: str) -> None:
        self.driver = driver
        self.site = site

    def open(self, **parameters: Any) -> Page:
        """Open the page at an address with these parameters, until it shows what it was asked for."""
        names = {name.replace("__", "."): value for name, value in parameters.items()}
        self.driver.get(f"{self.site}/?{urlencode(names)}" if names else f"{self.site}/")
        self.until(lambda: self.all("#q, .key, .problem"))
        if names.get("q"):
            self.settled()
        return self

    def settled(self) -> None:
        """Wait until nothing is under way."""
        self.until(lambda: self.all(".answer:not(.waiting), .problem") and not self.all(".busy.on"))

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for a condition; what it gave."""
        wait = WebDriverWait(self.driver, 60, 0.05, ignored_exceptions=[StaleElementReferenceException])
        return wait.until(lambda _: condition())

    def all(self, selector: str) -> list[WebElement]:
        """The elements there are."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The element, when it is there."""
        found: WebElement = self.until(lambda: self.all(selector))[0]
        return found

    def type(self, selector: str, text: str) -> None:
        """Replace what a box holds."""
        box = self.one(selector)
        # As a person does: `clear` tells the page nothing, which may then write the former text again.
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(text or Keys.DELETE)

    def press(self, keys: str) -> None:
        """Press keys wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(keys)

    def ids(self, within: str = "") -> list[str]:
        """The ids of the hits that are shown, in their order."""
        return list(
            self.run(f"return [...document.querySelectorAll('{within} .hit')].map(hit => hit.dataset.id)")
        )

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script gives."""
        return self.driver.execute_script(script, *arguments)

    def pasted(self) -> str:
        """What the clipboard holds."""
        return str(
            self.driver.execute_async_script(
                "navigator.clipboard.readText().then(arguments[arguments.length - 1])"
            )
        )

    def theme(self, name: str) -> None:
        """What the browser says its user likes: light or dark."""
        likes = {"prefers-color-scheme": name, "prefers-reduced-motion": "reduce"}
        features = [{"name": one, "value": value} for one, value in likes.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def size(self, width: int, height: int = 900) -> None:
        """The size of the window in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.fixture
def page(chromium: webdriver.Chrome, site: str) -> Iterator[Page]:
    """The page, not yet open, in a light window of common size; at its end no error has been logged."""
    found = Page(chromium, site)
    found.size(1100)
    found.theme("light")
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    chromium.execute_cdp_cmd("Browser.grantPermissions", {"permissions": permissions, "origin": site})
    chromium.get_log("browser")
    yield found
    errors = [line["message"] for line in chromium.get_log("browser") if line["level"] == "SEVERE"]
    chromium.get("about:blank")
    # A refused request is logged by the browser itself, as the tests of refusals want.
    assert not [line for line in errors if "Failed to load resource" not in line]
