"""`fovea experiment report` over a store that another process holds open: its numbers are those of `experiment analyze`
on the same sums, its page is well formed and needs nothing else: experiment_report_test.py FOVEA PLANTED_STORE"""

import html.parser
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()
PLANTED_STORE = pathlib.Path(sys.argv.pop(1)).resolve()

DAY = 86_400_000
START = 1_772_323_200_000  # 2026-03-01
NOW = START + 14 * DAY

DECLARED = """
[[experiment]]
name = "{name}"
success = "buy"
guardrails = ["refund"]
[[experiment.variant]]
name = "control"
weight = 0.5
[[experiment.variant]]
name = "{treatment}"
weight = 0.5
"""


def planted_lines(experiment, treatment, seed, users=400, share=0.5):
    """Users who come on two weeks' days, some of them again, and buy more often when treated."""
    chance = random.Random(seed)
    for i in range(users):
        user = f"{experiment}-{i}"
        treated = chance.random() < share
        variant = treatment if treated else "control"
        eager = chance.random()
        first = START + int(chance.random() * 12 * DAY)
        for _ in range(chance.randrange(3)):
            yield f"act {user} buy x {first - 1 - int(chance.random() * 20 * DAY)} - {chance.randrange(1, 30)}" if (
                eager > 0.5) else f"act {user} view x {first - 1 - int(chance.random() * DAY)} - -"
        for visit in range(chance.randrange(1, 4)):
            time = first + visit * DAY // 3
            request = f"{user}/{visit}"
            yield f"expose {user} {request} {time} {variant} 1 {experiment}"
            if chance.random() < 0.7:
                yield f"act {user} view x {time + 1000} {request} -"
            if chance.random() < eager * (0.7 if treated else 0.45):
                join = chance.choice((request, "-"))
                yield f"act {user} buy x {time + 60_000} {join} {chance.randrange(1, 30)}"
        if chance.random() < 0.1:
            yield f"act {user} refund x {first + DAY} - -"


def shuffled_lists(seed=5):
    """What was shown, and which of it was bought: mostly what is liked by all, more often on top."""
    chance = random.Random(seed)
    for i in range(300):
        items = chance.sample("pqrs", 4)
        yield items, [item for place, item in enumerate(items)
                      if chance.random() < {"p": 0.6, "q": 0.4, "r": 0.2, "s": 0.1}[item] / (1 + place)]


def shuffled_lines():
    for rank, item in enumerate("srqp"):
        yield f"put {item}"
        for fan in range(10 + 20 * rank):
            yield f"act fan-{fan} view {item} {START - 1000 - rank} - -"
    for i, (items, bought) in enumerate(shuffled_lists()):
        yield f"shuffle visitor-{i} s{i} {START + i} control 1 slice {' '.join(items)}"
        for item in bought:
            yield f"act visitor-{i} buy {item} {START + DAY} s{i} -"


class Page(html.parser.HTMLParser):
    """Every tag is closed in order, and nothing is loaded or run."""
    VOID = {"meta", "br", "hr", "img", "input", "link"}

    def __init__(self, test):
        super().__init__()
        self.test, self.open, self.texts, self.tags = test, [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.test.assertNotIn(tag, {"script", "link", "img", "iframe", "object"})
        for name, value in attributes:
            self.test.assertNotIn(name, {"src", "href", "onload", "onclick"}, (tag, name, value))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.test.assertFalse({name for name, _ in attributes} & {"src", "href"})

    def handle_endtag(self, tag):
        self.test.assertTrue(self.open and self.open[-1] == tag, (tag, self.open))
        self.open.pop()

    def handle_data(self, data):
        self.texts.append(data)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        folder = pathlib.Path(cls.scratch.name)
        cls.data, cls.config = folder / "data", folder / "fovea.toml"
        cls.odd = "<b>&amp;'x'"
        cls.config.write_text(
            DECLARED.format(name="shelf", treatment="treatment") + DECLARED.format(name="odd", treatment=cls.odd) +
            DECLARED.format(name="skewed", treatment="treatment") + DECLARED.format(name="idle", treatment="treatment")
            + DECLARED.format(name="teams", treatment="treatment") + DECLARED.format(name="slice", treatment="other") +
            "[experiment.variant.set]\nranker = false\n")
        lines = [*planted_lines("shelf", "treatment", 1), *planted_lines("odd", cls.odd, 2, users=60),
                 *planted_lines("skewed", "treatment", 3, users=300, share=0.7), "act z view a 1 - -",
                 "act z view b 1 - -"]
        for i in range(40):
            lines.append(f"expose team-{i} t{i} {START} interleaved 1 teams a:0 b:1")
            lines.append(f"act team-{i} buy {'b' if i % 4 else 'a'} {START + 5} t{i} -")
        lines += shuffled_lines()
        cls.planter = subprocess.Popen([PLANTED_STORE, cls.data, cls.config], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.planter.communicate)
        cls.planter.stdin.write("\n".join(lines + ["done"]) + "\n")
        cls.planter.stdin.flush()
        assert cls.planter.stdout.readline() == "planted\n"

    def run_report(self, *arguments, code=0, experiment="shelf", data=None, now_ms=NOW):
        command = [FOVEA, "experiment", "report", "--data", data or self.data, "--experiment", experiment, "--now-ms", str(now_ms),
                   *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done)
        return done.stdout if code == 0 else done.stderr

    def report(self, *arguments, **rest):
        return json.loads(self.run_report("--json", *arguments, **rest), parse_constant=self.fail)

    def analyze(self, control, treatment, **rest):
        summary = json.dumps({"control": control, "treatment": treatment, **rest})
        done = subprocess.run([FOVEA, "experiment", "analyze", "--summary", "-"], input=summary, capture_output=True,
                              text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    def test_agrees_with_analyze_on_its_own_sums(self):
        for sequential in (False, True):
            report = self.report(*(["--sequential"] if sequential else []))
            extra = {"sequential": {"tuning": 5000}} if sequential else {}
            self.assertEqual([metric["metric"] for metric in report["metrics"]],
                             ["successes_per_unit", "converted", "value_per_unit", "successes_per_exposure", "guardrail"])
            for metric in report["metrics"]:
                control, treatment = (variant["sums"] for variant in metric["variants"])
                compared = metric["variants"][1]["against_control"]
                if "with_cuped" in compared:
                    self.assertEqual(compared["with_cuped"],
                                     self.analyze(control, treatment, difference="relative", **extra))
                    self.assertGreater(compared["variance_reduction"], -0.01)
                plain = [{key: value for key, value in arm.items() if "pre_" not in key} for arm in (control, treatment)]
                for scale in ("relative", "absolute"):
                    self.assertEqual(compared[scale], self.analyze(*plain, difference=scale, **extra))

    def test_says_what_was_planted(self):
        report = self.report()
        self.assertEqual(report["verdicts"][0]["verdict"], "better", report["verdicts"])
        low, high = report["metrics"][0]["variants"][1]["against_control"]["relative"]["ci"]
        self.assertTrue(low < 0.7 / 0.45 - 1 < high, (low, high))
        self.assertFalse(report["sample_ratio"]["mismatch"])
        self.assertEqual(report["periods"][0]["begins"], "2026-03-01")
        units = [sum(day["variants"][v]["new_units"] for day in report["periods"]) for v in (0, 1)]
        self.assertEqual(units, [variant["units"] for variant in report["variants"]])
        self.assertEqual(sum(units), 400)
        self.assertEqual(units, [variant["units"] for variant in report["periods"][-1]["variants"]])
        text = self.run_report()
        self.assertIn(report["verdicts"][0]["sentence"], text)
        self.assertIn("The split is as declared", text)

    def test_withholds_its_verdict_on_a_split_that_was_not_declared(self):
        report = self.report(experiment="skewed")
        self.assertTrue(report["sample_ratio"]["mismatch"])
        self.assertEqual(report["verdicts"][0]["verdict"], "withheld")
        self.assertIn("sample ratio mismatch", self.run_report(experiment="skewed"))

    def test_of_interleaved_lists_counts_preferences(self):
        report = self.report(experiment="teams")
        self.assertEqual({key: report["interleaved"][0][key] for key in ("units", "wins", "losses", "draws")},
                         {"units": 40, "wins": 30, "losses": 10, "draws": 0})
        self.assertEqual(report["verdicts"][0]["verdict"], "better")
        self.assertNotIn("metrics", report)
        self.assertIn("30", self.run_report(experiment="teams"))

    def test_flags_choose_what_counts(self):
        whole = self.report()["metrics"][0]["variants"]
        short = self.report("--window-hours", "0.01")["metrics"][0]["variants"]
        self.assertGreater(whole[0]["sums"]["sum"], short[0]["sums"]["sum"])
        views = self.report("--success", "view")
        self.assertEqual(views["success"], "view")
        self.assertEqual(self.report("--version", "2")["left_out"]["other_versions"], 400)
        early = self.report(now_ms=START + 3 * DAY)
        self.assertLess(early["variants"][0]["units"], whole[0]["sums"]["n"])
        self.assertEqual(self.report("--config", self.config), self.report())

    def test_nobody_and_nothing_are_sentences(self):
        report = self.report(experiment="idle")
        self.assertIn("nobody was exposed", report["verdicts"][0]["sentence"])
        self.assertEqual(report["periods"], [])
        unknown = self.run_report(experiment="shelves", code=1)
        self.assertIn("has no experiment 'shelves'; it has these: 'idle', 'odd', 'shelf', 'skewed', 'slice', 'teams'", unknown)
        self.assertIn("success is 'by', which is not declared", self.run_report("--success", "by", code=1))
        self.assertIn("--window-hours", self.run_report("--window-hours", "0", code=2))
        self.assertIn("holds no store", self.run_report(data=self.scratch.name, code=1))

    def test_off_policy_is_analyze_on_the_same_log(self):
        # Without a version lists are by popularity, which was planted: p, q, r, s.
        places, log = [[] for _ in range(4)], []
        for items, bought in shuffled_lists():
            for place, item in enumerate(items):
                reward = 1 if item in bought else 0
                places[place].append(reward)
                log.append((place, reward, 1 if item == "pqrs"[place] else 0))
        expected = [sum(rewards) / len(rewards) for rewards in places]
        summary = {"off_policy": [{"reward": reward, "propensity": 0.25, "target_probability": target,
                                   "expected_of_choice": expected[place], "expected_of_target": expected[place]}
                                  for place, reward, target in log]}
        done = subprocess.run([FOVEA, "experiment", "analyze", "--summary", "-"], input=json.dumps(summary),
                              capture_output=True, text=True, timeout=60, check=True)
        analyzed = json.loads(done.stdout)["off_policy"]
        for which in (["--no-ranker"], ["--variant", "other"], ["--variant", "control"]):
            judged = json.loads(self.off_policy("--json", *which))
            self.assertEqual((judged["lists"], judged["choices"], judged["left_out"]), (300, 1200, 0))
            self.assertAlmostEqual(judged["logged_reward"], sum(reward for _, reward, _ in log) / len(log), 12)
            self.assertAlmostEqual(judged["effective_sample"], analyzed["effective_sample"], 9)
            for estimator in ("ips", "snips", "doubly_robust"):
                for ours, theirs in ((judged[estimator]["estimate"], analyzed[estimator]["estimate"]),
                                     (judged[estimator]["standard_error"], analyzed[estimator]["standard_error"])):
                    self.assertAlmostEqual(ours, theirs, 9)
            self.assertEqual(judged["ranker"], which[-1] == "control")
            # What everybody likes on top earns more than chance.
            self.assertGreater(judged["doubly_robust"]["ci"][0], judged["logged_reward"])
        self.assertIn("doubly robust", self.off_policy("--no-ranker"))

    def test_off_policy_without_a_policy_or_a_log_is_a_sentence(self):
        self.assertIn("--model-version, --no-ranker or --variant", self.off_policy(code=2))
        self.assertIn("it has these: 'control', 'other'", self.off_policy("--variant", "third", code=1))
        self.assertIn("no list of experiment 'shelf' was shuffled",
                      self.off_policy("--no-ranker", code=1, experiment="shelf"))
        self.assertIn("--no-ranker", self.off_policy("--no-ranker", "--variant", "other", code=2))
        self.assertIn("20200101T000000.000Z", self.off_policy("--model-version", "20200101T000000.000Z", code=1))

    def off_policy(self, *arguments, code=0, experiment="slice"):
        command = [FOVEA, "experiment", "off-policy", "--data", self.data, "--experiment", experiment, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done)
        return done.stdout if code == 0 else done.stderr

    def test_pages_are_whole_and_need_nothing_else(self):
        for experiment in ("shelf", "odd", "skewed", "teams", "idle"):
            path = pathlib.Path(self.scratch.name) / f"{experiment}.html"
            self.run_report("--html", path, experiment=experiment)
            text = path.read_text()
            page = Page(self)
            page.feed(text)
            page.close()
            self.assertEqual(page.open, [])
            self.assertNotRegex(text, re.compile(r"https?://|url\(|@import|\bnan\b|\binf\b"))
            shown = "".join(page.texts)
            for verdict in self.report(experiment=experiment)["verdicts"]:
                self.assertIn(verdict["sentence"], shown)
            self.assertEqual(page.tags.count("svg"), 3 if experiment in ("shelf", "odd", "skewed") else 0)
            if experiment == "odd":
                self.assertIn(self.odd, shown)
            if experiment == "shelf":
                self.assertIn("03-01", shown)
                self.assertIn("2026-03-01 to 2026-03-1", shown)


if __name__ == "__main__":
    unittest.main()
