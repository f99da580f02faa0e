"""`fovea experiment` as people and programs call it: assign for one and for many, analyze through files and pipes,
power, and what is refused with which exit code: experiment_test.py FOVEA"""

import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()

CONFIG = """
[actions.purchase]
weight = 5
[[experiment]]
name = "no-ranker"
layer = "ranking"
from = 0.0
to = 0.5
[[experiment.variant]]
name = "control"
weight = 0.5
[[experiment.variant]]
name = "treatment"
weight = 0.5
[experiment.variant.set]
ranker = false
[[experiment]]
name = "client"
hash = "growthbook"
salt = "seed"
from = 0.2
to = 1.0
[[experiment.variant]]
name = "A"
weight = 0.25
[[experiment.variant]]
name = "B"
weight = 0.75
"""


def run(*arguments, text=None, code=0):
    done = subprocess.run([FOVEA, "experiment", *arguments], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (arguments, done)
    return done.stdout if code == 0 else done.stderr


def uniform(text):
    return int(hashlib.sha1(text.encode()).hexdigest()[:15], 16) / 0xFFFFFFFFFFFFFFF


def fnv1a32(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def expected_variants(unit):
    variants = {}
    if 0 <= uniform(f"ranking.{unit}") < 0.5:
        variants["no-ranker"] = "control" if uniform(f"no-ranker.{unit}") < 0.5 else "treatment"
    n = fnv1a32(str(fnv1a32("seed" + unit))) % 10000 / 10000
    if n < 0.8 * 0.25:
        variants["client"] = "A"
    elif 0.25 <= n < 0.25 + 0.8 * 0.75:
        variants["client"] = "B"
    return variants


class Assign(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.config = pathlib.Path(self.scratch.name) / "fovea.toml"
        self.config.write_text(CONFIG)

    def test_users_of_a_file_are_where_the_formulas_put_them(self):
        users = [f"user {i} \u00e9" for i in range(2000)] + ["a", "b", "\u65e5\u672c"]
        listed = pathlib.Path(self.scratch.name) / "users"
        listed.write_text("\n".join(users))
        for source, text in ((listed, None), ("-", "\n".join(users) + "\n")):
            lines = run("assign", "--config", self.config, "--users", source, text=text).splitlines()
            self.assertEqual(len(lines), len(users))
            for user, line in zip(users, lines):
                self.assertEqual(json.loads(line), expected_variants(user), user)

    def test_one_user_is_where_many_are(self):
        for user in ("a", "b", "c"):
            found = json.loads(run("assign", "--config", self.config, "--user", user))
            self.assertEqual(found, expected_variants(user))

    def test_a_holdout_is_in_no_experiment(self):
        self.config.write_text("[holdout]\nshare = 0.5\n" + CONFIG)
        users = [str(i) for i in range(500)]
        lines = run("assign", "--config", self.config, "--users", "-", text="\n".join(users)).splitlines()
        for user, line in zip(users, lines):
            held_out = uniform(f"holdout.{user}") < 0.5
            self.assertEqual(json.loads(line), {} if held_out else expected_variants(user))

    def test_who_is_in_an_interleaved_experiment_is_in_both_variants(self):
        self.config.write_text(CONFIG.replace("to = 0.5", "to = 0.5\ninterleave = true"))
        for user in ("a", "b", "c", "d"):
            found = json.loads(run("assign", "--config", self.config, "--user", user))
            expected = expected_variants(user)
            if "no-ranker" in expected:
                expected["no-ranker"] = "interleaved"
            self.assertEqual(found, expected)

    def test_mistakes_are_sentences(self):
        self.assertIn("line 2", run("assign", "--config", self.config, "--users", "-", text="a\n\nb\n", code=1))
        self.assertIn("line 1", run("assign", "--config", self.config, "--users", "-", text="x" * 99999, code=1))
        self.assertIn("--users", run("assign", "--config", self.config, code=2))
        self.assertIn("nowhere", run("assign", "--config", "nowhere", "--user", "a", code=1))
        self.config.write_text(CONFIG.replace("ranker = false", "ranker = 1"))
        self.assertIn(":16: ", run("assign", "--config", self.config, "--user", "a", code=1))


class Analyze(unittest.TestCase):
    def test_of_a_file_and_of_a_pipe_is_the_same(self):
        arm = {"n": 100, "sum": 10, "sum_squares": 10}
        text = json.dumps({"control": arm, "treatment": dict(arm, sum=20, sum_squares=20)})
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            of_file = json.loads(run("analyze", "--summary", file.name))
        self.assertEqual(of_file, json.loads(run("analyze", "--summary", "-", text=text)))
        self.assertEqual(set(of_file), {"estimate", "standard_error", "ci", "p_value"})
        self.assertEqual(of_file["estimate"], 1)

    def test_what_cannot_be_is_a_sentence_and_never_nan(self):
        for text, sentence in (
            ("", "not one JSON object"),
            ("[]", "a JSON object is expected"),
            ("{}", "nothing to analyze"),
            ('{"control": {"n": 1}}', "control.sum is missing"),
            ('{"control": {"n": 2, "sum": 1, "sum_squares": 1}}', "treatment is missing"),
            ('{"control": 5}', "an object is expected"),
            ('{"control": {"n": 2.5}}', "a whole number"),
            ('{"control": {"n": "2"}}', "a whole number"),
            ('{"control": {"mean": 2}}', "control.mean"),
            ('{"control": {"n": 2, "sum": 1, "sum_squares": 1, "pre_sum": 1}}', "control.pre_sum_squares is missing"),
            ('{"difference": "percent"}', '"relative" or "absolute"'),
            ('{"sequential": {}}', "sequential.tuning is missing"),
            ('{"p_values": [0.5, null]}', "p_values[1]"),
            ('{"sample_ratio": {}}', "sample_ratio.units is missing"),
            ('{"sign_test": {"wins": 1}}', "sign_test.losses is missing"),
            ('{"off_policy": []}', "0 choices"),
            ('{"off_policy": [{"reward": 1}]}', "off_policy[0].propensity is missing"),
            ("[" * 100000, "not one JSON object"),
            (" " * 3000000, "at most"),
        ):
            error = run("analyze", "--summary", "-", text=text, code=1)
            self.assertIn(sentence, error)
            self.assertEqual(error.count("\n"), 1, error)
        self.assertIn("nowhere", run("analyze", "--summary", "nowhere", code=1))
        self.assertIn("cannot be read", run("analyze", "--summary", "/tmp", code=1))

    def test_damaged_summaries_are_answered_in_json_or_refused(self):
        before = '"pre_sum": 9, "pre_sum_squares": 9, "post_pre_sum_of_products": 3'
        arm = f'{{"n": 100, "sum": 10, "sum_squares": 10, {before}}}'
        right = f'{{"control": {arm}, "treatment": {arm}, "sequential": {{"tuning": 5000}}}}'
        chance = random.Random(1)
        for _ in range(150):
            text = list(right)
            for _ in range(chance.randint(1, 3)):
                text[chance.randrange(len(text))] = chance.choice('0123456789-.e"{}[],: ')
            command = [FOVEA, "experiment", "analyze", "--summary", "-"]
            done = subprocess.run(command, input="".join(text), capture_output=True, text=True, timeout=60)
            self.assertIn(done.returncode, (0, 1), text)
            if done.returncode == 0:
                json.loads(done.stdout, parse_constant=self.fail)


class Power(unittest.TestCase):
    def test_users_and_effect_are_each_others_answer(self):
        asked = json.loads(run("power", "--deviation", "1", "--effect", "0.5", "--absolute", "--json"))
        self.assertEqual(asked["users_per_arm"], 64)
        back = json.loads(run("power", "--deviation", "1", "--users", "64", "--absolute", "--json"))
        self.assertLessEqual(back["effect"], 0.5)
        self.assertGreater(back["effect"], 0.49)
        self.assertIn("64 users in each", run("power", "--deviation", "1", "--effect", "0.5", "--absolute"))

    def test_a_relative_effect_is_a_share_of_the_mean(self):
        relative = json.loads(run("power", "--mean", "20", "--deviation", "30", "--effect", "0.1", "--json"))
        absolute = json.loads(run("power", "--deviation", "30", "--effect", "2", "--absolute", "--json"))
        self.assertEqual(relative["users_per_arm"], absolute["users_per_arm"])
        rate = json.loads(run("power", "--rate", "0.5", "--effect", "0.1", "--json"))
        same = json.loads(run("power", "--mean", "0.5", "--deviation", "0.5", "--effect", "0.1", "--json"))
        self.assertEqual(rate, same)

    def test_misuse_is_told(self):
        self.assertIn("--rate", run("power", "--effect", "0.1", code=2))
        self.assertIn("--effect", run("power", "--rate", "0.1", code=2))
        self.assertIn("--rate is 2", run("power", "--rate", "2", "--users", "9", code=2))
        self.assertIn("--mean", run("power", "--deviation", "2", "--users", "9", code=2))
        self.assertIn("alpha", run("power", "--rate", ".5", "--users", "9", "--alpha", "2", code=1))


if __name__ == "__main__":
    unittest.main()
