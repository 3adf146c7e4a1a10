"""Looks at the page as a person does, and as axe-core does.

usage: browser_drive.py BROWSER open URL
       browser_drive.py BROWSER guarded URL FULL_TOKEN READ_TOKEN
"""

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import expect, sync_playwright

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]
WIDTHS = [(390, 844), (1440, 900)]
SCHEMES = ["light", "dark"]
# How long something that must happen may take before it counts as not happening.
PATIENCE = 60_000

expect.set_options(timeout=PATIENCE)
checks = 0


def check(holds, what):
    global checks
    checks += 1
    if not holds:
        raise SystemExit(f"failed: {what}")


class Visitor:
    """A browser window of its own; what its console complains about is a mistake of ours."""

    def __init__(self, browser, url, **settings):
        self.url = url
        self.context = browser.new_context(timezone_id="Europe/Berlin", locale="en-GB", **settings)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.complaints = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("request", self.note)

    def note(self, request):
        if request.url.split("/")[2] != self.url.split("/")[2]:
            self.complaints.append(f"asks elsewhere: {request.url}")

    def go(self, path):
        answer = self.page.goto(self.url + path, wait_until="load")
        check(answer.ok, f"{path} answers {answer.status}")
        return self.page

    def at(self):
        return urlsplit(self.page.url).path

    def close(self, expected=()):
        left = [told for told in self.complaints if not any(part in told for part in expected)]
        check(not left, f"the console complains: {left}")
        self.context.close()


@contextmanager
def visitor(browser, url, expected=(), **settings):
    one = Visitor(browser, url, **settings)
    yield one
    one.close(expected)


def violations(page, what):
    """What axe-core finds, and what hangs over the edge."""
    # Not by a tag: the page's own policy forbids that, as it should.
    page.evaluate(AXE + "; undefined")
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    told = [
        f"{one['id']}: {one['help']}: " + " | ".join(node["html"][:160] for node in one["nodes"][:3])
        for one in found["violations"]
    ]
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    named = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    told += [f"two elements are called {one}" for one in sorted(set(named)) if named.count(one) > 1]
    if wide > 0:
        told.append(f"it is {wide} pixels too wide")
    return [f"{what}: {one}" for one in told]


def every_page_is_accessible(browser, url, paths, **settings):
    told = []
    for scheme in SCHEMES:
        for width, height in WIDTHS:
            size = {"width": width, "height": height}
            with visitor(browser, url, color_scheme=scheme, viewport=size, reduced_motion="reduce", **settings) as one:
                for path in paths:
                    told += violations(one.go(path), f"{path} in {scheme} at {width}")
    check(not told, "what anybody must be able to read:\n  " + "\n  ".join(told))


def deed(page, name, reason):
    """Opens what does something, says why, and does it."""
    page.locator("summary", has_text=re.compile(f"^{name}$")).first.click()
    form = page.locator("details.deed[open]").first
    form.get_by_label("Reason").fill(reason)
    form.get_by_role("button", name=name, exact=True).click()


def a_run_fails_and_is_retried(one):
    page = one.go("/jobs/flaky")
    deed(page, "Trigger", "to see it fail")
    page.wait_for_url("**/runs/*")
    path = one.at()
    head = page.locator("h1").first
    expect(head).to_contain_text("flaky")
    marked = "document.body.dataset.untouched = 'yes'"
    page.evaluate(marked)
    status = page.locator("#status")
    expect(status).to_contain_text("waiting")
    expect(page.locator("#attempt-1")).to_contain_text("States.TaskFailed")
    expect(status).to_contain_text("succeeded")
    expect(page.locator("#attempt-2")).to_be_visible()
    check(page.evaluate("document.body.dataset.untouched") == "yes", "the page was not loaded anew meanwhile")
    check("to see it fail" in page.content(), "the reason is shown")
    return path


def a_run_is_cancelled(one):
    page = one.go("/jobs/slow")
    deed(page, "Trigger", "")
    page.wait_for_url("**/runs/*")
    status = page.locator("#status")
    expect(status).to_contain_text("running")
    deed(page, "Cancel", "not tonight")
    expect(status).to_contain_text("cancelled")
    check("not tonight" in page.content(), "the reason is shown")
    return one.at()


def seen_again(page):
    """Has the page ask anew, as when somebody comes back to it, and waits until what it got is shown."""
    as_of = page.locator("#as-of time")
    before = as_of.get_attribute("datetime")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(as_of).not_to_have_attribute("datetime", before)


def a_run_fails_for_good(one):
    page = one.go("/jobs/hostile")
    deed(page, "Trigger", "<script>alert(1)</script>")
    page.wait_for_url("**/runs/*")
    expect(page.locator("#status")).to_contain_text("failed")
    check("<script>alert(1)" not in page.content(), "what a person says is escaped")
    path = one.at()
    page = one.go("/jobs/hostile")
    expect(page.locator("#state")).to_contain_text("Failing")
    seen_again(page)
    expect(page.locator("#state")).to_contain_text("Failing")
    page = one.go("/")
    expect(page.locator("main")).to_contain_text("hostile")
    expect(page.locator("#failed")).to_contain_text("States.TaskFailed")
    return path


def a_job_is_paused(one):
    page = one.go("/jobs/minutely")
    deed(page, "Pause", "the database moves")
    expect(page.locator("main")).to_contain_text("the database moves")
    check(one.at() == "/jobs/minutely", "back where it was asked")
    page = one.go("/?show=paused")
    expect(page.locator("main")).to_contain_text("minutely")
    expect(page.locator("main")).to_contain_text("the database moves")
    page = one.go("/jobs/minutely")
    deed(page, "Resume", "")
    expect(page.locator("summary", has_text=re.compile("^Pause$")).first).to_be_visible()


def a_change_is_seen_elsewhere(browser, url):
    """Somebody looks at the overview while somebody else does something."""
    with visitor(browser, url) as wall, visitor(browser, url) as hand:
        page = wall.go("/")
        page.evaluate("document.body.dataset.untouched = 'yes'")
        expect(page.locator("#zone")).to_have_text("Times are Europe/Berlin")
        job = hand.go("/jobs/slow")
        deed(job, "Trigger", "")
        job.wait_for_url("**/runs/*")
        expect(page.locator("#in-flight")).to_contain_text("slow")
        deed(job, "Cancel", "")
        expect(job.locator("#status")).to_contain_text("cancelled")
        expect(page.locator("#in-flight")).not_to_contain_text("slow")
        check(page.evaluate("document.body.dataset.untouched") == "yes", "the overview was not loaded anew")


def what_is_open_stays_open(one):
    page = one.go("/jobs/slow")
    page.locator("summary", has_text=re.compile("^Pause$")).first.click()
    page.locator("details.deed[open]").get_by_label("Reason").fill("half a sen")
    seen_again(page)
    check(page.locator("details.deed[open]").get_by_label("Reason").input_value() == "half a sen", "a form keeps what is in it")


def the_keyboard_suffices(one):
    page = one.go("/")
    page.keyboard.press("Tab")
    check(page.evaluate("document.activeElement.className") == "skip", "the first stop leads to the content")
    page.keyboard.press("Enter")
    check(page.evaluate("document.activeElement.id") == "main", "and it does")
    page = one.go("/jobs/slow")
    summary = page.locator("summary", has_text=re.compile("^Trigger$")).first
    summary.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    outline = summary.evaluate("(node) => getComputedStyle(node).outlineStyle")
    check(outline == "solid", f"what has the focus is seen to have it, not with an outline of {outline}")
    page.keyboard.press("Enter")
    expect(page.locator("details.deed[open]").first).to_be_visible()


def without_script(browser, url):
    with visitor(browser, url, java_script_enabled=False) as one:
        for path in ["/", "/timeline", "/runs", "/jobs/flaky"]:
            one.go(path)
        page = one.go("/jobs/minutely")
        deed(page, "Pause", "no script needed")
        expect(page.locator("main")).to_contain_text("no script needed")
        deed(page, "Resume", "")
        expect(page.locator("summary", has_text=re.compile("^Pause$")).first).to_be_visible()


def a_lost_connection_is_shown(browser, url):
    refused = ["net::ERR", "Failed to load"]
    with visitor(browser, url, expected=refused) as one:
        page = one.go("/")
        expect(page.locator("#connection")).to_be_hidden()
        one.context.set_offline(True)
        page.evaluate("dispatchEvent(new Event('focus')); document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator("#connection")).to_be_visible()
        one.context.set_offline(False)
        expect(page.locator("#connection")).to_be_hidden()


def open_to_all(browser, url):
    with visitor(browser, url) as one:
        runs = [a_run_fails_and_is_retried(one), a_run_is_cancelled(one), a_run_fails_for_good(one)]
        a_job_is_paused(one)
        what_is_open_stays_open(one)
        the_keyboard_suffices(one)
    a_change_is_seen_elsewhere(browser, url)
    without_script(browser, url)
    a_lost_connection_is_shown(browser, url)
    paths = ["/", "/?show=failing", "/?q=nothing-is-called-this", "/timeline", "/timeline?hours=1", "/runs"]
    paths += ["/runs?status=failed", "/runs?status=missed", "/jobs/flaky", "/jobs/minutely", *runs]
    every_page_is_accessible(browser, url, paths)


def guarded(browser, url, full, read):
    refused = ["401", "403"]
    with visitor(browser, url, expected=refused) as one:
        page = one.page
        page.goto(url + "/jobs/slow?status=failed")
        check(one.at() == "/sign-in", "who shows no token is asked for one")
        told = violations(page, "the page to sign in on")
        check(not told, told)
        page.get_by_label("Token").fill("a-token-that-is-wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not known")
        page.get_by_label("Token").fill(read)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/jobs/slow?status=failed")
        check(page.locator("details.deed").count() == 0, "who may only read is offered nothing to do")
        token = page.evaluate("document.cookie")
        check(token == "", "no script reads the session")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        page.goto(url + "/")
        check(one.at() == "/sign-in", "signed out is signed out")
        page.get_by_label("Token").fill(full)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(url + "/")
        one.go("/jobs/slow")
        deed(page, "Trigger", "")
        page.wait_for_url("**/runs/*")
        expect(page.locator("#status")).to_contain_text("running")
        deed(page, "Cancel", "")
        expect(page.locator("#status")).to_contain_text("cancelled")
        for cookie in one.context.cookies():
            check(full not in cookie["value"] and cookie["httpOnly"] and cookie["sameSite"] == "Lax", "the cookie is no token")


def main():
    browser_path, mode, *rest = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found(browser_path), args=FLAGS)
        {"open": open_to_all, "guarded": guarded}[mode](browser, *rest)
        browser.close()
    print(f"{checks} checks passed")


def found(name):
    import shutil

    return shutil.which(name) or name


if __name__ == "__main__":
    main()
