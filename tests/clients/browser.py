"""A real browser for the tests of the page: Debian's chromium without a screen.

It keeps nothing of the user's, and it may reach this machine only: whatever else the page asked for
would be an error in its log.
"""

import contextlib
import json
import shutil
import tempfile
import urllib.parse

from conftest import missing

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError as error:
    webdriver = None
    WHY = str(error)

ALONE = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def needed():
    """Skips where there is no browser to be had."""
    if webdriver is None:
        missing(f"selenium: {WHY}")
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed")


@contextlib.contextmanager
def browser(width=1280, height=900, dark=False):
    """A running browser with a window of this size."""
    with tempfile.TemporaryDirectory(prefix="ringbinder-browser-") as directory:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in [*ALONE, f"--user-data-dir={directory}", f"--window-size={width},{height}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            # A window cannot be as narrow as a phone; what the page is told can.
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield driver
        finally:
            driver.quit()


def requested(driver):
    """The hosts of everything that was asked for since the last call."""
    hosts = set()
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = urllib.parse.urlsplit(message["params"]["request"]["url"])
            if url.scheme in ("http", "https", "ws", "wss"):
                hosts.add(url.netloc)
    return hosts


def complaints(driver):
    """What the browser's console has to say since the last call."""
    return [entry for entry in driver.get_log("browser") if entry["level"] != "INFO"]
