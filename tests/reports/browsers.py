"""Chromium, pages that are opened in it, and what axe-core says of them."""

import contextlib
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PHONE = {"width": 360, "height": 740}
# A desktop, the same at 200 % zoom, and a phone.
VIEWPORTS = ({"width": 1280, "height": 800}, {"width": 640, "height": 400}, PHONE)


@contextlib.contextmanager
def started_browser():
    """The browser; the test is skipped where there is none."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright."
    )
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"None of {', '.join(BROWSERS)} was found: install Chromium.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def pages_opened(browser, folder):
    """Opens a page by its path, or its address in a folder: `open_page(address, **options)`.

    Fails at the end for anything the browser complained about.
    """
    complaints, contexts = [], []

    def open_page(address, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append("a dialog"))
        page.goto((folder / address).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def assert_accessible(page):
    """Nothing above minor by axe-core, all pictures there, no scrolling to the side."""
    page.evaluate("[...document.images].forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert complaints_of_axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def complaints_of_axe(page):
    """What axe-core finds above minor."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe-core is not installed: pip install axe-playwright-python.",
    )
    # It would read the style sheet again, which a page on disk cannot.
    response = axe.Axe().run(page, options={"preload": False}).response
    told = [f"{v['impact']}: {v['help']}: {v['nodes'][0]['html']}" for v in response["violations"]]
    return [sentence for sentence in told if not sentence.startswith("minor")]
