"""Test side: headless Chromium on the page, the real daemon with nano, and small words for both."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 150.0  # only ever reached by a test that fails
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


@contextlib.contextmanager
def serving(
    daemon: str, home: Path, *flags: str, path: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """`acestep web` in a process of its own; its address. `path`: where it finds programs first."""
    command = [sys.executable, "-m", "plugin_bridge.web", "--port", "0", "--daemon", daemon]
    command += flags or ["--no-start"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "ACESTEP_HOME": str(home), **(environment or {})}
    env["PATH"] = os.pathsep.join(filter(None, (path, env["PATH"])))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()
            process.wait(WAIT_S)  # it ends a daemon it has started first


@contextlib.contextmanager
def chromium(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """A browser without a screen."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    options.binary_location = str(shutil.which("chromium"))
    service = webdriver.ChromeService(str(shutil.which("chromedriver")))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


class Tab:
    """One open page."""

    def __init__(self, driver: Any, printed: str) -> None:
        """`printed`: the address that `acestep web` prints, with the token in it."""
        self.driver, self.printed, self.address = driver, printed, printed.partition("?")[0]

    def open(self) -> "Tab":
        """Loads the page as somebody who was never here, but has the token."""
        if self.driver.current_url.startswith(self.address):
            self.driver.execute_script("sessionStorage.clear(); localStorage.clear()")
        self.driver.get(self.printed)
        self.until(lambda: self.all(".strip-fields #bpm"), "the form")
        self.until(lambda: self.all('.pill[data-state="up"]'), "the daemon")
        return self

    def until(self, found: Callable[[], Any], what: str) -> Any:
        """Waits until it is true, even if the page draws anew what is looked at; what was missing is told."""
        from selenium.common.exceptions import StaleElementReferenceException

        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(StaleElementReferenceException):
                if value := found():
                    return value
            time.sleep(0.03)
        raise AssertionError(f"no {what}; the page says: {self.said()}")

    def all(self, selector: str) -> list[Any]:
        """Every element that fits."""
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        """The first element that fits; waits for it."""
        return self.until(lambda: self.all(selector), selector)[0]

    def texts(self, selector: str) -> list[str]:
        """What they say, all at one moment."""
        text = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
        return [str(one) for one in self.script(text, selector)]

    def attributes(self, selector: str, name: str) -> list[str]:
        """What their attribute of that name holds, all at one moment."""
        text = (
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.getAttribute(arguments[1]))"
        )
        return [str(one) for one in self.script(text, selector, name)]

    def press(self, text: str, within: str = "body") -> None:
        """Clicks the first visible button of that text."""
        self.click(f"{within} button, {within} a.b", text)

    def click(self, selector: str, text: str | None = None) -> None:
        """Clicks the first visible one that fits."""

        def clicked() -> bool:
            for element in self.all(selector):
                if element.is_displayed() and text in (None, element.text):
                    self.script("arguments[0].scrollIntoView({block: 'center', inline: 'nearest'})", element)
                    element.click()
                    return True
            return False

        self.until(clicked, f"{selector} {text or ''}")

    def show(self, name: str) -> None:
        """Opens a view of the page."""
        self.click(".bar nav a", name)

    def value(self, selector: str) -> str:
        """What a field holds."""
        return str(self.script("return document.querySelector(arguments[0]).value", selector))

    def choose(self, selector: str, value: str) -> None:
        """Chooses in a menu."""
        text = (
            "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
            "for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true}))"
        )
        self.script(text, selector, value)

    def fill(self, selector: str, text: str) -> None:
        """Replaces what a field holds."""

        def filled() -> bool:
            field = self.one(selector)
            field.clear()
            field.send_keys(text)
            return True

        self.until(filled, selector)

    def script(self, text: str, *arguments: Any) -> Any:
        """Runs JavaScript in the page."""
        return self.driver.execute_script(text, *arguments)

    def later(self, text: str, *arguments: Any) -> Any:
        """Runs JavaScript that ends with `done(value)`."""
        self.driver.set_script_timeout(WAIT_S)
        done = "const done = arguments[arguments.length - 1];"
        return self.driver.execute_async_script(f"{done} {text}", *arguments)

    def said(self) -> str:
        """Notices, errors and states, for the message of a test that fails."""
        return " | ".join(self.texts(".notice, .field-error, .error-box, .run > header, .pill, .training"))[
            :1500
        ]

    def size(self, width: int, height: int) -> None:
        """The window, in CSS pixels; a narrow one is a phone's."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def drag(self, selector: str, start: float, end: float) -> None:
        """Drags over an element, from and to a part of its width."""
        from selenium.webdriver import ActionChains

        canvas = self.one(selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        width = canvas.size["width"]
        ActionChains(self.driver).move_to_element_with_offset(
            canvas, round((start - 0.5) * width), 0
        ).click_and_hold().move_by_offset(round((end - start) * width), 0).release().perform()

    def requested(self) -> set[str]:
        """Every address the browser has asked for."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                params = message["params"]
                found.add(str(params.get("url") or params["request"]["url"]))
        return found

    def complaints(self) -> list[str]:
        """What the browser's console calls an error."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]
