"""Experiments of a running server, over Thrift and HTTP: who is served which variant, what a request may force, and
that the file is taken over without a restart or refused as a whole: experiment_reload_test.py FOVEA"""

import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import thrift_client

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()
USERS = [f"u{i}" for i in range(40)]


def experiment(name, what="", more=""):
    return f"""
[[experiment]]
name = "{name}"
{more}
[[experiment.variant]]
name = "control"
weight = 0.5
[[experiment.variant]]
name = "treatment"
weight = 0.5
{"[experiment.variant.set]" if what else ""}
{what}
"""


def setUpModule():
    global scratch, directory, data
    scratch = tempfile.TemporaryDirectory()
    directory = pathlib.Path(scratch.name)
    thrift_client.generate(directory)
    items, events = thrift_client.write_shop(directory, users=len(USERS))
    data = directory / "data"
    subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)


def tearDownModule():
    scratch.cleanup()


class Reload(unittest.TestCase):
    def start(self, text):
        self.config = directory / f"{self.id()}.toml"
        self.config.write_text(text)
        self.server = thrift_client.Server(FOVEA, data, ["--config", self.config, "--http", "127.0.0.1:0"])
        self.addCleanup(lambda: self.server.process.poll() is None and self.server.stop())
        self.client = self.server.connect()
        self.wait(lambda: self.logged("serving HTTP on"))
        self.http_port = int(re.search(r"serving HTTP on [^\"\n]*:(\d+)", self.log()).group(1))

    def log(self):
        return "".join(self.server.log)

    def logged(self, text):
        return self.log().count(text)

    def wait(self, condition):
        for _ in range(600):
            if condition():
                return
            time.sleep(0.1)
        self.fail(self.log())

    def replace(self, text):
        """As an editor does: another file under the same name."""
        beside = self.config.with_suffix(".new")
        beside.write_text(text)
        os.replace(beside, self.config)

    def variants(self, user, **more):
        from fovea_api.ttypes import RankRequest

        return self.client.rank(RankRequest(user_id=user, **more)).variants

    def metric(self, name):
        """Its value; with labels, as they are written. None: there is no such line."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " ")), None)

    def over_http(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        connection.request("POST", "/v1/rank", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    def assigned(self):
        command = [FOVEA, "experiment", "assign", "--config", self.config, "--users", "-"]
        done = subprocess.run(command, input="\n".join(USERS), capture_output=True, text=True, timeout=60, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_each_is_served_what_assign_says_and_may_be_forced(self):
        self.start('[holdout]\nshare = 0.2\n' + experiment("a", "ranker = false") + experiment("b", "diversity = 0.5"))
        expected = self.assigned()
        self.assertIn({}, expected)
        self.assertEqual([self.variants(user) for user in USERS], expected)
        self.assertEqual([self.over_http({"user_id": user})[1]["variants"] for user in USERS[:10]], expected[:10])

        held_out = USERS[expected.index({})]
        self.assertEqual(self.variants(held_out, variants={"a": "treatment"}), {"a": "treatment"})
        status, answer = self.over_http({"user_id": held_out, "variants": {"b": "control"}})
        self.assertEqual((status, answer["variants"]), (200, {"b": "control"}))

        from fovea_api.ttypes import InvalidRequest

        for forced in ({"c": "control"}, {"a": "C"}):
            with self.assertRaises(InvalidRequest) as caught:
                self.variants("u1", variants=forced)
            self.assertEqual(caught.exception.field, "variants")
            status, answer = self.over_http({"user_id": "u1", "variants": forced})
            self.assertEqual(status, 400)
            self.assertIn(caught.exception.message, json.dumps(answer, ensure_ascii=False))

    def test_a_changed_file_is_taken_over_without_a_restart(self):
        self.start(experiment("a", "ranker = false"))
        self.assertEqual(set(self.variants("u1")), {"a"})
        self.replace(experiment("b", more="interleave = true"))
        self.wait(lambda: self.variants("u1") == {"b": "interleaved"})
        self.config.write_text("")  # in place, and no experiment is left
        self.wait(lambda: self.variants("u1") == {})
        self.assertEqual(self.logged("was read again"), 2)
        self.assertEqual(self.server.stop(), 0, self.log())

    def test_what_is_wrong_is_refused_as_a_whole_and_told_once(self):
        taken = "fovea_config_last_reload_successful"
        exposures = 'fovea_experiment_exposures_total{{experiment="{}",variant="{}"}}'
        self.start(experiment("a", "ranker = false"))
        self.assertEqual(self.metric(taken), 1)
        for number, (text, sentence) in enumerate((
            (experiment("b") + experiment("b"), "two experiments are named 'b'"),
            (experiment("b", "rankr = false"), "has no key 'rankr'"),
            (experiment("b") + '[server]\nthreads = "x"\n', "threads is "),
            (experiment("b") + experiment("c", 'model_version = "20200101T000000.000Z"'), "'c': variant 'treatment'"),
            ("[[experiment]", f"{self.config}:1: "),
        )):
            self.replace(text)
            self.wait(lambda: self.logged("the experiments from before are served on") == number + 1)
            self.assertEqual(self.logged(sentence), 1, self.log())
            self.assertEqual(set(self.variants("u1")), {"a"})
            self.assertEqual(self.metric(taken), 0)
        time.sleep(2.5)  # more looks at the same file say nothing more
        self.assertEqual(self.logged("the experiments from before are served on"), 5, self.log())
        self.assertEqual(sum(self.metric(exposures.format("a", of)) for of in ("control", "treatment")), 5)
        self.replace(experiment("b"))
        self.wait(lambda: self.metric(taken) == 1)
        self.assertEqual([self.metric(exposures.format(*of)) for of in (("a", "control"), ("b", "control"), ("b", "treatment"))],
                         [None, 0, 0])
        (variant,) = self.variants("u1").values()
        self.assertEqual(self.metric(exposures.format("b", variant)), 1)

    def test_what_else_changed_waits_for_a_restart(self):
        self.start("[server]\nthreads = 1\n[actions.view]\nweight = 1\n" + experiment("a"))
        self.replace("[server]\nthreads = 2\n[actions.view]\nweight = 3\n" + experiment("b"))
        self.wait(lambda: set(self.variants("u1")) == {"b"})
        self.wait(lambda: self.logged("actions.view, server.threads changed and waits for a restart"))

    def test_a_server_does_not_begin_with_a_version_that_is_missing(self):
        config = directory / "missing.toml"
        config.write_text(experiment("a", 'model_version = "20200101T000000.000Z"'))
        command = [FOVEA, "serve", "--data", data, "--thrift", "127.0.0.1:0", "--config", config]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("experiment 'a': variant 'treatment' cannot have version 20200101T000000.000Z", done.stderr)


if __name__ == "__main__":
    unittest.main()
