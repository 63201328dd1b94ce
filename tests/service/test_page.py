"""The page in a browser: a scan goes in and its report opens; no console errors, nothing beside the window."""

import json

import pytest
from support.browser import browser_page
from support.layout import SIZES, faults, hindrances
from support.local_service import SAMPLE
from support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page():
    with browser_page() as page:
        yield page


def open_page(page, address):
    page.problems.clear()
    page.requests.clear()
    page.send("Page.navigate", url="about:blank")
    page.send("Page.navigate", url=address)
    page.wait_for("document.readyState === 'complete' && document.getElementById('drop')")


@pytest.mark.parametrize("width", [390, 1366, 1920])
def test_a_scan_goes_in_and_its_report_opens(page, service, engine, scan, width):
    page.resize(width, SIZES[width])
    open_page(page, f"{service.url}/#{service.tokens['alice']}")
    page.wait_for("!document.getElementById('inside').hidden")
    assert page.ask("location.href") == f"{service.url}/" and page.ask("document.cookie") == ""
    engine.go.clear()
    page.choose_files("#files", scan)
    page.wait_for("document.querySelector('.state')?.textContent === 'Running: segmenting'")
    engine.go.set()
    page.wait_for("document.querySelector('.state').textContent === 'Done'")
    page.settle()
    assert faults(page, width) == [] and hindrances(page) == []
    assert page.problems == [] and all(url.startswith((service.url, "data:")) for url in page.requests)
    assert not any("Doe" in url for url in page.requests)
    page.send("Page.navigate", url=page.ask("document.querySelector('.results a').href"))
    page.wait_for("document.title === 'Whole-heart segmentation' && document.images[0]?.naturalWidth > 0")
    assert page.problems == []


def test_without_the_token_it_asks_for_it(page, service):
    page.send("Network.clearBrowserCookies")
    open_page(page, service.url)
    page.wait_for("!document.getElementById('login').hidden")
    for token, told in (("wrong", "the token is missing or wrong"), (service.tokens["bob"], "")):
        page.ask(f"document.getElementById('token').value = {json.dumps(token)}; undefined")
        page.ask("document.querySelector('#login button').click()")
        page.wait_for(f"document.getElementById('problem').textContent === {json.dumps(told)}")
    page.wait_for("!document.getElementById('inside').hidden && document.getElementById('login').hidden")


def test_jobs_are_cancelled_and_removed_on_the_page(page, service, engine, scan):
    open_page(page, f"{service.url}/#{service.tokens['alice']}")
    page.wait_for("!document.getElementById('inside').hidden")
    engine.go.clear()
    page.choose_files("#files", SAMPLE)
    page.wait_for("document.querySelector('.state')?.textContent.startsWith('Running')")
    page.ask("document.querySelector('.cancel').click()")
    page.wait_for("document.querySelector('.state').textContent === 'Cancelled'")
    wait_for(lambda: not list(service.settings.queue.rglob("scan")))
    page.ask("document.querySelector('.remove').click()")
    page.wait_for("!document.getElementById('none').hidden && !document.querySelector('li')")
    assert service.ask("GET", "/api/jobs").json() == []


def test_a_report_can_reach_nothing_of_the_service(page, service, scan):
    """Its scripts run in a sandbox: not even with the cookie of who looks at it."""
    job = service.end(service.send(scan).json()["id"])
    open_page(page, f"{service.url}/#{service.tokens['alice']}")
    page.wait_for("!document.getElementById('inside').hidden")
    page.send("Page.navigate", url=f"{service.url}/api/jobs/{job['id']}/results/report.html")
    page.wait_for("document.title === 'Whole-heart segmentation'")
    assert page.ask(f"fetch('{service.url}/api/jobs').then(() => 'reached', () => 'refused')") == "refused"
    assert page.ask("self.origin") == "null"
