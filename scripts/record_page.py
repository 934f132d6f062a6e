"""Record the page of the server in a browser as an animated picture, docs/page.gif.

    leanseek demo                              # makes demo.index
    python scripts/record_page.py demo.index

The server and the page are the real ones, driven as a person would. Needs chromium, its driver, selenium and Pillow.
"""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

PICTURE = Path(__file__).parents[1] / "docs" / "page.gif"
QUESTION = "cache the results of a slow function"
SIZE = 1000, 700
SHOWN = 800, 560
COLOURS = 48


@contextmanager
def serving(index: Path) -> Iterator[str]:
    """The address of a server of the index."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "leanseek", "serve", f"python={index}", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium without a window."""
    program, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if program is None or driver is None:
        sys.exit("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--hide-scrollbars",
    ):
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=Service(driver)) as chrome:
        size = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        likes = [
            {"name": "prefers-color-scheme", "value": "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": likes})
        yield chrome


class Film:
    """Pictures of the page, each with the time that it is shown."""

    def __init__(self, chrome: webdriver.Chrome) -> None:
        self.chrome = chrome
        self.frames: list[Image.Image] = []
        self.milliseconds: list[int] = []

    def take(self, seconds: float) -> None:
        """What the page shows now, for so many seconds."""
        shot = Image.open(io.BytesIO(self.chrome.get_screenshot_as_png())).convert("RGB")
        self.frames.append(shot.resize(SHOWN, Image.Resampling.LANCZOS))
        self.milliseconds.append(round(1000 * seconds))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition."""
        WebDriverWait(self.chrome, 60, 0.05).until(lambda _: condition())

    def all(self, selector: str) -> list[webdriver.remote.webelement.WebElement]:
        """The elements there are."""
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def settled(self) -> None:
        """Wait until hits are shown and nothing is under way."""
        self.until(
            lambda: self.all(".hit") and self.all(".answer:not(.waiting)") and not self.all(".busy.on")
        )

    def save(self, path: Path) -> None:
        """Write the animation, of few colours that all its frames share."""
        palette = Image.new("RGB", (SHOWN[0], SHOWN[1] * len(self.frames)))
        for number, frame in enumerate(self.frames):
            palette.paste(frame, (0, SHOWN[1] * number))
        palette = palette.quantize(COLOURS)
        first, *rest = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self.frames]
        first.save(path, save_all=True, append_images=rest, duration=self.milliseconds, loop=0, optimize=True)


def play(film: Film, address: str) -> None:
    """What is shown: a question, why a hit was found, a threshold, and two settings beside each other."""
    film.chrome.get(address)
    film.until(lambda: film.all("#q"))
    film.take(1.2)
    for word in QUESTION.split():
        film.all("#q")[0].send_keys(f"{word} ")
        film.take(0.25)
    film.settled()
    film.take(2.5)
    film.all(".title")[0].click()
    film.until(lambda: film.all("dialog .terms"))
    film.take(3.5)
    film.chrome.switch_to.active_element.send_keys(Keys.ESCAPE)
    film.until(lambda: not film.all("dialog"))
    film.take(0.6)
    for steps in (4, 4, 4):
        film.all("#p")[0].send_keys(*[Keys.ARROW_RIGHT] * steps)
        film.settled()
        film.take(0.5)
    film.take(1.8)
    film.all("#p")[0].send_keys(Keys.HOME)
    film.settled()
    film.all("nav .plain")[0].click()
    film.until(lambda: film.all(".overlap") and not film.all(".waiting"))
    film.take(3.5)


def main() -> None:
    """Record and write."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with serving(Path(sys.argv[1])) as address, browser() as chrome:
        film = Film(chrome)
        play(film, address)
    film.save(PICTURE)
    sys.stdout.write(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB, {len(film.frames)} frames\n")


if __name__ == "__main__":
    main()
