"""The whole loop of an experiment against a running server: assigned, exposed, acted, recorded, reported. What was planted
is found with an interval that covers it, and nothing where both variants are the same: simulate_test.py FOVEA"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from thrift_client import Server

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()
USERS = 1500

CONFIG = """
[actions.purchase]
weight = 5
[[experiment]]
name = "planted"
layer = "ranking"
success = "purchase"
[[experiment.variant]]
name = "control"
weight = 0.5
[[experiment.variant]]
name = "treatment"
weight = 0.5
[experiment.variant.set]
boosts = [{ filter = "genre = 'rare'", add = 1000.0 }]
[[experiment]]
name = "same"
layer = "nothing"
success = "purchase"
[[experiment.variant]]
name = "A"
weight = 0.5
[[experiment.variant]]
name = "B"
weight = 0.5
"""


def write_shop(directory):
    """Three genres; half of the items are crime, which is what most people read."""
    draw = random.Random(1)
    genres = ["crime"] * 100 + ["poetry"] * 60 + ["rare"] * 40
    with (directory / "items.jsonl").open("w") as items, (directory / "events.jsonl").open("w") as events:
        for i, genre in enumerate(genres):
            items.write(json.dumps({"item_id": f"b-{i}", "text": f"{genre} {i}", "attributes": {"genre": genre}}) + "\n")
        for user in range(200):
            for _ in range(5):
                event = {"user_id": f"u-{user}", "item_id": f"b-{int(len(genres) * draw.random() ** 2)}"}
                events.write(json.dumps(event | {"action": "purchase", "time_ms": 1_760_000_000_000}) + "\n")


def run(*arguments, code=0):
    done = subprocess.run([FOVEA, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (arguments, done)
    return done.stdout if code == 0 else done.stderr


class Simulate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        here = pathlib.Path(cls.scratch.name)
        cls.data, config = here / "shop", here / "fovea.toml"
        write_shop(here)
        config.write_text(CONFIG)
        run("import", "--data", cls.data, "--items", here / "items.jsonl", "--events", here / "events.jsonl",
            "--config", config)
        cls.server = Server(FOVEA, cls.data, ["--config", config])
        cls.simulate = ["experiment", "simulate", "--data", cls.data, "--thrift", f"127.0.0.1:{cls.server.port}"]
        cls.played = json.loads(run(*cls.simulate, "--experiment", "planted", "--users", str(USERS), "--json"))

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0
        cls.scratch.cleanup()

    def converted(self, experiment):
        """Of the report: the variants and the interval of the relative lift."""
        report = run("experiment", "report", "--data", self.data, "--experiment", experiment, "--json")
        variants = next(m for m in json.loads(report)["metrics"] if m["metric"] == "converted")["variants"]
        return variants, variants[1]["against_control"]["relative"]["ci"]

    def test_every_user_was_in_one_variant(self):
        control, treatment = self.played["arms"]
        self.assertEqual(control["users"] + treatment["users"], USERS)
        self.assertEqual(self.played["outside"], 0)
        self.assertLess(treatment["planted_lift"], -0.2, "few like what is rare")

    def test_the_report_counts_what_was_played(self):
        variants, _ = self.converted("planted")
        for variant, played in zip(variants, self.played["arms"], strict=True):
            self.assertEqual(variant["sums"]["n"], played["users"])
            self.assertEqual(variant["sums"]["sum"], played["acted"])

    def test_what_was_planted_is_found(self):
        _, (low, high) = self.converted("planted")
        self.assertLess(low, self.played["arms"][1]["planted_lift"])
        self.assertGreater(high, self.played["arms"][1]["planted_lift"])
        self.assertLess(high, 0)

    def test_nothing_is_found_between_two_that_are_the_same(self):
        variants, (low, high) = self.converted("same")
        self.assertEqual(sum(variant["sums"]["n"] for variant in variants), USERS)
        self.assertLess(low, 0)
        self.assertGreater(high, 0)

    def test_mistakes_are_named(self):
        self.assertIn("it has these: 'planted', 'same'", run(*self.simulate, "--experiment", "plantet", code=1))
        error = run(*self.simulate, "--experiment", "planted", "--taste", "colour", code=1)
        self.assertIn("'colour'", error)
        self.assertIn("there are: genre", error)
        error = run("experiment", "simulate", "--data", self.data, "--thrift", "127.0.0.1:1", "--experiment", "planted",
                    code=1)
        self.assertIn("no server answers at 127.0.0.1:1", error)


if __name__ == "__main__":
    unittest.main()
