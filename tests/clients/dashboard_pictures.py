"""Makes the pictures of the page in docs/pictures: light, dark, and as a phone shows it.

    RINGBINDERD=target/release/ringbinderd tests/.venv/bin/python tests/clients/dashboard_pictures.py

A ring of three nodes works for some minutes (RINGBINDER_PICTURE_SECONDS, default 150), small enough
that it begins to evict, and is then looked at in a browser.
"""

import os
import time
from pathlib import Path

import browser
from dashboard import admin_of, loaded_fleet

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SECONDS = float(os.environ.get("RINGBINDER_PICTURE_SECONDS", "150"))
# How the page looks where, and how far down of it is shown, in pixels at most.
LOOKS = {
    "dashboard-light": (1280, False, 1400),
    "dashboard-dark": (1280, True, 1400),
    "dashboard-phone": (390, False, 1500),
}
# A browser that starts takes the processor from the nodes; this is for them to be themselves again.
REST = 30


def main():
    with loaded_fleet(memory="4", weights={"cache-c": 2}, value=1500, trap=None) as fleet:
        url = admin_of(fleet.nodes["cache-a"])
        time.sleep(SECONDS)
        for name, (width, dark, most) in LOOKS.items():
            with browser.browser(width, 900, dark) as driver:
                driver.get(url)
                time.sleep(REST)
                # All but the foot, which tells where the ring file of this run was.
                end = "document.querySelector('footer').getBoundingClientRect().top + scrollY"
                height = min(most, int(driver.execute_script(f"return {end}")))
                size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                time.sleep(1)
                driver.save_screenshot(str(PICTURES / f"{name}.png"))
                print(PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
