"""The console in a real browser, over a server of 10,000 items: what it shows is what the API says, what is clicked happens,
what items are called stays text, and a server that dies is missed and found again: console_test.py FOVEA"""

import contextlib
import json
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from selenium.webdriver.common.keys import Keys

import thrift_client
from console_page import Api, Page

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()

ITEMS = 10_000
GENRES = ["comedy", "western", "thriller", "musical", "horror"]
HOSTILE_ID = "<img src=x onerror=window.hacked=1>\"'&"
HOSTILE = "<script>window.hacked = 1</script><b>Bold</b> & \"quoted\" {{7*7}}"
USER = "viewer-7"
HOUR = 3_600_000
NEWEST = 1_700_000_000_000

EXPERIMENT = """
[actions.view]
weight = 1
[actions.purchase]
weight = 2
[[experiment]]
name = "no-ranker"
success = "purchase"
[[experiment.variant]]
name = "control"
weight = 0.5
[[experiment.variant]]
name = "<i>plain</i>"
weight = 0.5
[experiment.variant.set]
ranker = false
"""


def write_films(directory, seed=3):
    """Films of a few genres and viewers who like one each, as MovieLens is, but larger and thinner."""
    chance = random.Random(seed)
    items, events = directory / "items.jsonl", directory / "events.jsonl"
    words = ["river", "night", "train", "letter", "garden", "storm", "mirror", "harvest", "signal", "island"]
    with items.open("w") as out:
        for i in range(ITEMS):
            genre = GENRES[i % len(GENRES)]
            title = f"The {chance.choice(words).title()} and the {chance.choice(words).title()}"
            text = f"{title} ({1950 + i % 70}). A {genre} about a {chance.choice(words)} and a {chance.choice(words)}."
            item = {"item_id": f"film-{i:05}", "text": text, "attributes": {"genre": genre, "year": 1950 + i % 70}}
            out.write(json.dumps(item) + "\n")
        out.write(json.dumps({"item_id": HOSTILE_ID, "text": HOSTILE, "attributes": {"genre": "<u>horror</u>"}}) + "\n")
    with events.open("w") as out:
        for viewer in range(250):
            time_ms = NEWEST - 60 * HOUR + viewer * 1000
            for n in range(24):
                film = chance.randrange(60) * len(GENRES) + viewer % len(GENRES)
                time_ms += HOUR
                item = HOSTILE_ID if viewer == 7 and n == 20 else f"film-{film:05}"
                event = {"user_id": f"viewer-{viewer}", "item_id": item, "time_ms": time_ms,
                         "action": "purchase" if n % 6 == 5 else "view"}
                out.write(json.dumps(event) + "\n")
    return items, events


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fovea(*arguments):
    return subprocess.run([FOVEA, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


class Serving:
    """A server over the data on an HTTP port that stays the same, and its API."""

    def __init__(self, data, *flags):
        self.port = free_port()
        self.api = Api(self.port)
        self.command = (data, ["--http", f"127.0.0.1:{self.port}", *map(str, flags)])
        self.start()

    def start(self):
        self.server = thrift_client.Server(FOVEA, *self.command)
        end = time.monotonic() + 60
        while True:  # Thrift's port is told of before HTTP's is listened on
            try:
                self.api("/livez")
                return
            except OSError:
                assert time.monotonic() < end, self.server.log
                time.sleep(0.05)


@contextlib.contextmanager
def served_copy(data, *flags):
    """A server over a copy of the data, and a page of it."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / "data"
        fovea("backup", "--data", data, "--to", copy)
        serving = Serving(copy, *flags)
        page = Page(serving.port)
        try:
            yield serving, page
        finally:
            page.close()
            serving.server.stop()


class ConsoleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        directory = pathlib.Path(cls.scratch.name)
        cls.data = directory / "data"
        items, events = write_films(directory)
        fovea("import", "--data", cls.data, "--items", items, "--events", events)
        flags = ["--epochs-max", "2", "--epochs-min", "1", "--ranker-epochs-max", "2"]
        for seed in ("1", "2"):
            thrift_client.train(FOVEA, cls.data, [*flags, "--seed", seed, "--force"])
        cls.config = directory / "fovea.toml"
        cls.config.write_text(EXPERIMENT)
        thrift_client.generate(directory)
        cls.serving = Serving(cls.data, "--config", cls.config)
        cls.api = cls.serving.api
        cls.page = Page(cls.serving.port)

    @classmethod
    def tearDownClass(cls):
        cls.page.close()
        cls.serving.server.stop()
        cls.scratch.cleanup()

    def setUp(self):
        self.page.log()

    def assert_no_complaints(self, but=()):
        """Of the browser: nothing was refused by the content security policy, nothing was not found."""
        left = [line for line in self.page.log() if not any(known in line for known in but)]
        self.assertEqual(left, [])

    def history(self, user=USER, limit=500):
        return self.api("/v1/history", {"user_id": user, "limit": limit})["events"]

    def list_of(self, **request):
        return self.api("/v1/rank", {"limit": 20, "preview": True, **request})

    @staticmethod
    def ids(response):
        return [item["item_id"] for item in response["items"]]

    def without(self, events, struck):
        """The request of somebody who did all of `events` but those, with the user's variants."""
        variants = self.list_of(user_id=USER)["variants"]
        session = [{"user_id": "x", **{key: event[key] for key in ("item_id", "action", "time_ms")}}
                   for event in reversed(events) if event not in struck]
        return {"session": session, "variants": variants}

    # Ask.

    def test_the_list_and_its_attention_are_the_api_s(self):
        self.page.open("ask", user=USER)
        expected = self.list_of(user_id=USER, explain=True)
        self.assertEqual(self.page.ranked(), self.ids(expected))
        self.assertEqual(self.page.texts(".score"), [f"{item['score']:.2f}" for item in expected["items"]])
        events = self.history()
        attended = [event for event in events if any(
            (of["item_id"], of["time_ms"]) == (event["item_id"], event["time_ms"])
            for item in expected["items"] for of in item["explanation"]["attention"])]
        strips = self.page.wait(".strip", 20)
        for row in (0, 7):
            weights = {(of["item_id"], of["time_ms"]): of["weight"]
                       for of in expected["items"][row]["explanation"]["attention"]}
            for column in (0, len(attended) - 1):
                self.page.hover(strips[row], (column + 0.5) / len(attended))
                share = 100 * weights.get((attended[column]["item_id"], attended[column]["time_ms"]), 0)
                said = ("0 %" if share == 0 else "< 0.1 %" if share < 0.1 else
                        f"{share:.1f} %" if share < 10 else f"{share:.0f} %")
                self.assertIn(f"{said} of what", self.page.readout())
        self.assertEqual(len(self.page.all(".strip")[0].find_elements("css selector", "rect")), len(attended))
        # The same with keys.
        told = []
        for column in range(len(attended)):
            self.page.hover(strips[7], (column + 0.5) / len(attended))
            told.append(self.page.readout())
        self.assertEqual(len({*told[:3], told[-1]}), 4, "each must be told from the others")
        for key, column in ((Keys.HOME, 0), (Keys.ARROW_RIGHT, 1), (Keys.ARROW_RIGHT, 2), (Keys.ARROW_LEFT, 1), (Keys.END, -1),
                            (Keys.ARROW_RIGHT, -1)):
            strips[7].send_keys(key)
            self.assertEqual(self.page.readout(), told[column])
        self.page.click(".toggle", 2)
        parts = {name: float(value.replace("−", "-")) for name, value in zip(
            self.page.texts(".row:nth-child(3) .parts tbody th"), self.page.texts(".row:nth-child(3) .parts tbody td"))}
        for name, value in parts.items():
            self.assertAlmostEqual(value, expected["items"][2]["explanation"]["parts"][name], delta=0.0006)
        self.assertAlmostEqual(sum(parts.values()), expected["items"][2]["score"], delta=0.02)
        self.assert_no_complaints()

    def test_acting_on_an_item_is_recorded_and_reorders_the_list(self):
        user = "viewer-11"
        self.page.open("ask", user=user)
        before = self.page.ranked()
        self.page.click(".toggle", 4)
        self.page.click(".row:nth-child(5) .act")
        after = self.page.ranked_anew(before)
        newest = self.history(user, 1)[0]
        self.assertEqual(newest["item_id"], before[4])
        self.assertNotIn(before[4], after)
        self.assertEqual(after, self.ids(self.list_of(user_id=user)))
        self.assertRegex(self.page.texts(".summary")[0], r"recorded in \d+ ms; 20 items in \d+ ms, of which the server")
        self.check_changes(before, after)
        self.assert_no_complaints()

    def check_changes(self, before, after):
        """Each change of place that both lists tell is shown."""
        shown = self.page.texts(".row .change")
        self.assertEqual(len(shown), len(after))
        for now, item in enumerate(after):
            if item not in before:
                self.assertRegex(shown[now], r"new|▲")
            elif before.index(item) == now:
                self.assertEqual(shown[now], "")
            else:
                by = before.index(item) - now
                self.assertEqual(shown[now], f"{'▲' if by > 0 else '▼'}\u2009{abs(by)}")

    def test_a_struck_behaviour_is_as_if_it_had_not_happened(self):
        self.page.open("ask", user=USER)
        before = self.page.ranked()
        events = self.history()
        self.page.click(".strike", 0)
        struck = self.page.ranked_anew(before)
        self.assertEqual(struck, self.ids(self.list_of(**self.without(events, events[:1]))))
        self.check_changes(before, struck)
        self.assertEqual(self.history(), events, "striking out must not touch the store")
        self.page.click(".strike", 0)
        self.assertEqual(self.page.ranked_anew(struck), before)
        self.assertEqual(set(self.page.texts(".row .change")), {""})
        # The same with keys alone.
        self.page.all(".strip")[0].send_keys(Keys.HOME)
        self.page.keys("x")
        self.assertEqual(self.page.ranked_anew(before), struck)
        self.assert_no_complaints()

    def test_nobody_builds_a_session_that_no_store_keeps(self):
        users = self.api("/v1/status")["users"]
        self.page.open("ask", user=USER)
        self.page.ranked()
        self.page.click(".who button")
        self.page.until("a newcomer's list", lambda: "newcomer" in "".join(self.page.texts(".behaviours")))
        popular = self.page.ranked()
        self.page.click(".toggle", 0)
        self.page.click(".act", 0)
        reordered = self.page.ranked_anew(popular)
        self.assertNotIn(popular[0], reordered)
        self.assertEqual(len(self.page.all(".behaviour")), 1)
        self.assertEqual(self.api("/v1/status")["users"], users)

    def test_users_are_found_by_how_their_id_begins(self):
        self.page.open("ask", user=USER)
        before = self.page.ranked()
        self.page.fill("[role=combobox]", "viewer-24")
        self.page.until("suggestions", lambda: self.page.texts("[role=option] span") == [
            "viewer-24", *(f"viewer-24{n}" for n in range(10))])
        self.page.keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
        self.page.ranked_anew(before)
        self.assertEqual(self.page.ranked(), self.ids(self.list_of(user_id="viewer-240")))
        self.assertIn("user=viewer-240", self.page.browser.current_url)

    def test_a_query_a_filter_and_their_mistakes(self):
        self.page.open("ask", user=USER, query="harvest storm", filter="genre = 'western' and year >= 1990")
        expected = self.list_of(user_id=USER, query="harvest storm", filter="genre = 'western' and year >= 1990")
        self.assertEqual(self.page.ranked(), self.ids(expected))
        self.page.fill("input[name=filter]", "year >")
        self.page.until("a complaint", lambda: any("a value is expected" in text for text in self.page.texts(".complaint")))
        self.page.fill("input[name=filter]", "year < 1000")
        self.page.until("nothing", lambda: any("Nothing is left" in text for text in self.page.texts(".empty")))
        self.page.fill("input[name=filter]", "")
        self.page.until("a list again", lambda: self.page.all(".row"))
        self.assert_no_complaints(but=["400 (Bad Request)"])

    # What items are called.

    def test_a_title_that_is_a_script_tag_stays_text(self):
        self.page.open("ask", user=USER)
        self.page.ranked()
        self.assertIn(HOSTILE.replace(" ", ""), "".join(self.page.texts(".behaviour b")).replace(" ", ""))
        self.page.open("items", item=HOSTILE_ID)
        self.page.until("the item", lambda: HOSTILE in "".join(self.page.texts(".item .text")))
        self.assertIn("<u>horror</u>", self.page.texts(".attributes dd")[0])
        self.page.open("items", text="<img src")
        self.page.until("its id", lambda: HOSTILE_ID in [a.get_attribute("data-item") for a in self.page.all(".found a")])
        self.page.open("experiments")
        self.page.until("the variant", lambda: "<i>plain</i>" in "".join(self.page.texts("main")))
        self.assertIsNone(self.page.script("return window.hacked ?? null"))
        self.assertEqual(self.page.all("main script, main img, main i, main u"), [])
        self.assert_no_complaints()

    # Items.

    def test_ten_thousand_items_are_searched_and_paged(self):
        self.page.open("items", text="storm harvest")
        expected = self.list_of(query="storm harvest", limit=50, include_seen=True)
        self.page.wait(".found a", 50)
        shown = [a.get_attribute("data-item") for a in self.page.all(".found a")]
        self.assertEqual(shown, self.ids(expected))
        self.page.click(".found button")
        self.page.wait(".found a", 100)
        shown = [a.get_attribute("data-item") for a in self.page.all(".found a")]
        self.assertEqual(len(set(shown)), 100)
        self.assertIn("has the words", "".join(self.page.texts(".item .hint")))

        self.page.open("items", text="film-0123")
        self.page.wait(".found a", 10)
        shown = [a.get_attribute("data-item") for a in self.page.all(".found a")]
        self.assertEqual(shown[:10], [f"film-0123{n}" for n in range(10)])
        self.page.wait(".item .row", 10)
        neighbours = self.list_of(seed_items=["film-01230"], limit=10)
        self.assertEqual(self.page.ranked(), self.ids(neighbours))
        self.assertIn(self.api("/v1/items/get", {"item_ids": ["film-01230"]})["items"][0]["text"], self.page.texts(".item .text")[0])
        self.assert_no_complaints()

    def test_embeddings_come_only_with_the_item_that_is_shown(self):
        item = {"item_id": "with-a-vector", "text": "A vector of its own.", "embedding": [0.5, 0.25, 0.125]}
        self.api("/v1/items", {"items": [item]})
        try:
            self.page.open("ask", user=USER)
            self.page.ranked()
            asked = {path for path, _ in self.page.fetched()}
            self.assertIn("/console/items/get", asked)
            self.assertNotIn("/v1/items/get", asked)
            self.page.open("items", text="with-a-vec")
            self.page.until("the item", lambda: "Its vector of 3 numbers" in "".join(self.page.texts(".item .hint")))
            self.assertEqual(self.page.texts(".item h2")[0], item["text"])
            self.page.wait(".item .row", 10)
            self.assertEqual([path for path, _ in self.page.fetched()].count("/v1/items/get"), 1)
        finally:
            self.api("/v1/items/remove", {"item_ids": [item["item_id"]]})

    # Experiments.

    def test_an_experiment_s_numbers_are_the_report_s(self):
        chance = random.Random(5)
        for n in range(120):
            user = f"new-{n}"
            ranked = self.api("/v1/rank", {"user_id": user, "limit": 5})
            if chance.random() < 0.6:
                self.api("/v1/events", {"events": [{"user_id": user, "item_id": ranked["items"][0]["item_id"],
                                                    "action": "purchase", "request_id": ranked["request_id"]}]})
        # A report of before is kept for half a minute.
        acted = time.time() * 1000
        asked = {"experiment": "no-ranker", "by": "day"}
        self.page.until("a report of now", lambda: (self.api("/console/report", asked)["as_of_ms"] or 0) >= acted)
        self.page.open("experiments", experiment="no-ranker")
        self.page.wait(".verdict")
        report = json.loads(fovea("experiment", "report", "--data", self.data, "--experiment", "no-ranker", "--json"))
        self.assertEqual(self.page.texts(".verdict"), [verdict["sentence"] for verdict in report["verdicts"]])
        rows = [[cell.text for cell in row.find_elements("css selector", "td")] for row in self.page.all("table")[0].find_elements(
            "css selector", "tbody tr")]
        for row, variant in zip(rows, report["variants"], strict=True):
            self.assertEqual(row[0], variant["name"])
            self.assertEqual(row[2:6], [f"{variant[key]:,}" for key in ("units", "exposures", "acted", "converted")])
        cells = self.page.texts("table")[1]
        for metric in report["metrics"]:
            for variant in metric["variants"]:
                self.assertIn(repr(float(f"{variant['mean']:.5g}")).removesuffix(".0"), cells)
                if "against_control" in variant and "relative" in variant["against_control"]:
                    lift = 100 * variant["against_control"]["relative"]["estimate"]
                    self.assertIn(f"{'−' if lift < 0 else '+'}{abs(lift):.2f} %", cells)
        made = self.api("/console/report", asked)["report"]
        for of in (made, report):
            of.pop("now_ms")
        self.assertEqual(made, report)
        self.page.until("charts", lambda: len(self.page.all("canvas")) == 3)
        self.assertIn("The split is as declared", "".join(self.page.texts(".hint")))
        self.assert_no_complaints()

    # Engine.

    def test_the_engine_s_numbers_and_a_roll_back(self):
        self.page.open("engine")
        self.page.wait(".tile", 8)
        engine = self.api("/console/engine")
        items = next(index for index in engine["indexes"] if index["name"] == "items")
        row = [cell.text for cell in self.page.all("main .panel table")[2].find_elements("css selector", "tbody tr:first-child td")]
        self.assertEqual(row[:5], ["items", items["kind"], *(f"{items[key]:,}" for key in ("main", "fresh", "removed"))])
        versions = json.loads(fovea("versions", "--data", self.data, "--json"))
        self.assertEqual(len(versions), 2)
        current = next(version["version"] for version in versions if version["current"])
        other = next(version["version"] for version in versions if not version["current"])
        self.page.until("both", lambda: all(name in "".join(self.page.texts("table")) for name in (current, other)))
        button = self.page.until("its button", lambda: [
            button for button in self.page.all("table button") if "Roll back" in button.text])[0]
        self.page.script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        self.page.browser.switch_to.alert.accept()
        self.page.until("the other version", lambda: self.api("/v1/status")["model_version"] == other)
        self.page.until("its badge", lambda: any(
            other in row.text and "serves" in row.text for row in self.page.all("tbody tr")))
        self.page.until("the training's charts", lambda: len(self.page.all("canvas")) == 4)
        self.assertEqual(self.api("/console/versions")["rollback"]["error"], None)
        self.assert_no_complaints()

    def test_a_first_look_at_the_engine_asks_once(self):
        self.page.open("engine")
        self.page.wait("table", 3)
        fetched = self.page.fetched()
        looked = [path for path, _ in fetched].index("/console/versions")
        until = fetched[looked][1]
        self.assertEqual([path for path, at in fetched if at <= until].count("/console/engine"), 1)

    # The server.

    def test_a_server_that_dies_is_missed_and_found_again(self):
        with served_copy(self.data) as (serving, page):
            page.open("ask", user=USER)
            before = page.ranked()
            serving.server.kill()
            page.click(".strike", 0)
            page.until("the banner", lambda: page.all("#offline:not([hidden])"))
            self.assertEqual(page.ranked(), before)
            serving.start()
            page.until("no banner", lambda: not page.all("#offline:not([hidden])"))
            self.assertNotEqual(page.ranked_anew(before), before)  # what was asked meanwhile is answered
            page.open("engine")
            page.wait(".tile", 8)
            # A view that is opened while there is no server comes by itself when there is one.
            serving.server.kill()
            page.click("nav a[data-view=items]")
            page.until("the banner", lambda: page.all("#offline:not([hidden])"))
            serving.start()
            page.wait(".found a", 10)

    def test_read_only_shows_and_writes_nothing(self):
        with served_copy(self.data, "--console", "read-only") as (serving, page):
            page.open("ask", user=USER)
            page.ranked()
            page.click(".toggle", 0)
            page.wait(".parts")
            self.assertEqual(page.all(".act"), [])
            page.open("engine")
            page.wait("table", 3)
            self.assertEqual(page.texts("table button"), [])
            event = {"events": [{"user_id": "u", "item_id": "film-00001", "action": "view"}]}
            origin = {"Origin": page.address.rstrip("/")}
            self.assertEqual(serving.api.call("/v1/events", event, origin)[0], 403)
            self.assertEqual(serving.api.call("/v1/events", event)[0], 200)

    def test_a_token_is_asked_for_where_one_is_needed(self):
        tokens = pathlib.Path(self.scratch.name) / "tokens"
        tokens.write_text("a-token-of-forty-characters-for-this-test\n")
        tokens.chmod(0o600)
        with served_copy(self.data, "--token-file", tokens) as (serving, page):
            page.open("ask", user=USER)
            before = page.ranked()
            page.click(".toggle", 0)
            page.click(".act", 0)
            page.fill("dialog[open] input", "not the token")
            page.keys(Keys.ENTER)
            page.until("asked again", lambda: page.all("dialog[open] input") and page.script(
                "return document.querySelector('dialog[open] input').value") == "")
            page.fill("dialog[open] input", "a-token-of-forty-characters-for-this-test")
            page.keys(Keys.ENTER)
            page.ranked_anew(before)
            newest = serving.api("/v1/history", {"user_id": USER, "limit": 1})["events"][0]
            self.assertEqual(newest["item_id"], before[0])

    # The page as a whole.

    def test_the_page_asks_its_own_server_alone_and_is_light(self):
        self.page.resize(400, 800)
        try:
            sizes = {}
            for view in ("ask", "items", "experiments", "engine"):
                self.page.open(view)
                self.page.wait("main > :not(.empty)")
                if view == "engine":
                    self.page.until("a chart", lambda: self.page.script("return Boolean(window.Chart)"))
                for entry in self.page.script(
                        "return performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
                        ".map((e) => [e.name, e.encodedBodySize])"):
                    self.assertTrue(entry[0].startswith(self.page.address), entry)
                    if re.search(r"/console/[^/]+\.\w+$|/$|/#", entry[0]):
                        sizes[entry[0].split("#")[0]] = max(entry[1], sizes.get(entry[0].split("#")[0], 0))
                self.assertLessEqual(self.page.script("return document.documentElement.scrollWidth"), 400, view)
            self.assertGreater(len(sizes), 10)
            self.assertLess(sum(sizes.values()), 200_000, sizes)
            print(f"{len(sizes)} assets, {sum(sizes.values())} bytes")
        finally:
            self.page.resize(1400, 1000)
        self.assert_no_complaints()


if __name__ == "__main__":
    unittest.main(verbosity=2)
