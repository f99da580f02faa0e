"""The console in Debian's Chromium: what a person sees of it and does with it. Owns the browser and how the page is read;
what is expected of it is console_test's."""

import http.client
import json
import time
import urllib.parse

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

PATIENCE_S = 60  # sanitizers are slow, and so are busy machines


class Api:
    """The server's JSON, as any client sees it."""

    def __init__(self, port):
        self.port = port

    def call(self, path, body=None, headers=None):
        """Returns the status and the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            given = {"Content-Type": "application/json", **(headers or {})} if body is not None else headers or {}
            connection.request("GET" if body is None else "POST", path,
                               None if body is None else json.dumps(body), given)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def __call__(self, path, body=None):
        status, answer = self.call(path, body)
        assert status == 200, (path, body, status, answer)
        return answer


class Page:
    """One browser with one tab."""

    def __init__(self, port, width=1400, height=1000):
        self.address = f"http://127.0.0.1:{port}/"
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         f"--window-size={width},{height}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.browser = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.browser.set_page_load_timeout(PATIENCE_S)
        self.browser.set_script_timeout(PATIENCE_S)
        self.resize(width, height)

    def close(self):
        self.browser.quit()

    def resize(self, width, height):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def open(self, view, **given):
        """A view by its link, loaded anew."""
        query = urllib.parse.urlencode(given, quote_via=urllib.parse.quote)
        self.browser.get("about:blank")
        self.browser.get(f"{self.address}#{view}{'?' + query if query else ''}")

    def script(self, text, *arguments):
        return self.browser.execute_script(text, *arguments)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        return self.script("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector)

    def until(self, what, holds):
        """Waits until `holds()` is true or returns something; fails with `what` and what is seen."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                found = holds()
            except StaleElementReferenceException:
                continue  # drawn again while it was looked at
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"never seen: {what}\n{self.script('return document.body.innerText')}\n{self.log()}")

    def wait(self, selector, at_least=1):
        return self.until(f"{at_least} of {selector}", lambda: (
            len(self.all(selector)) >= at_least and not self.all("[aria-busy]") and self.all(selector)))

    def click(self, selector, number=0):
        element = self.wait(selector, number + 1)[number]
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def hover(self, element, right=0.5):
        """At this share of the element's width."""
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        width = element.rect["width"]
        ActionChains(self.browser).move_to_element_with_offset(element, int(width * (right - 0.5)), 0).perform()

    def keys(self, *keys):
        chain = ActionChains(self.browser)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def fill(self, selector, text):
        field = self.wait(selector)[0]
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.BACKSPACE, text)

    def log(self):
        """What the browser complained of since the last call."""
        return [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]

    def fetched(self):
        """Of the page that is open: the path of each request that has been answered and when it began, in that order."""
        entries = self.script("return performance.getEntriesByType('resource').map((e) => [e.name, e.startTime])")
        return sorted(((urllib.parse.urlsplit(name).path, begun) for name, begun in entries), key=lambda entry: entry[1])

    # The view Ask.

    def ranked(self):
        """Ids of the list, best first."""
        self.wait(".row")
        return self.script("return [...document.querySelectorAll('.row')].map((row) => row.dataset.item)")

    def ranked_anew(self, before):
        """Ids, once they are others than those."""
        return self.until("another list", lambda: not self.all("[aria-busy]") and (
            lambda now: now != before and now)(self.ranked()))

    def readout(self):
        return self.texts(".readout")[0]
