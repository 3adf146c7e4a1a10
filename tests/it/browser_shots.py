"""Makes the pictures of the documentation, of a daemon that has run the example jobs for a while.

usage: browser_shots.py BROWSER URL FOLDER
"""

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from browser_drive import FLAGS, PATIENCE, SCHEMES, deed

SIZE = {"width": 1280, "height": 960}
# Some two minutes: long enough for every example to have run several times.
RUNS = 6


def run_the_examples(page, url):
    """Waits for what the schedules do, asks for one run more, and gives the address of one that was retried."""
    page.goto(f"{url}/runs?job=flaky&status=succeeded")
    expect(page.locator("#runs tbody tr").nth(RUNS - 1)).to_be_visible(timeout=4 * PATIENCE)
    retried = page.locator("#runs tbody tr a[href^='/runs/']").first.get_attribute("href")
    page.goto(f"{url}/jobs/hello")
    deed(page, "Trigger", "to have a picture of it")
    page.wait_for_url("**/runs/*")
    expect(page.locator("#status")).to_contain_text(re.compile("succeeded|skipped"))
    return retried


def main():
    browser_path, url, folder = sys.argv[1:]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=2 * PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(browser_path), args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        run = run_the_examples(page, url)
        pages = {"overview": "/", "timeline": "/timeline?hours=1", "run": run, "job": "/jobs/flaky", "runs": "/runs"}
        for scheme in SCHEMES:
            context = browser.new_context(color_scheme=scheme, viewport=SIZE, timezone_id="Europe/Berlin", locale="en-GB")
            page = context.new_page()
            for name, path in pages.items():
                page.goto(url + path, wait_until="load")
                page.screenshot(path=folder / f"{name}-{scheme}.png")
            context.close()
        browser.close()
    print(f"{len(pages) * len(SCHEMES)} pictures: checks passed")


if __name__ == "__main__":
    main()
