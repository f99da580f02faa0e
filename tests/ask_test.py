"""`fovea ask --query` as people see it, on a terminal and in a pipe, with texts that would steer a terminal; and the
settings of the search, of a server and of a batch that must agree with it. ask_test.py FOVEA"""

import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import unittest

import thrift_client

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()
CONTROL = {chr(c) for c in [*range(0x20), 0x7F, *range(0x80, 0xA0)]} - {"\n"}
ITEMS = [
    {"item_id": "sea", "text": "The Old Man and the SEA"},
    {"item_id": "evil", "text": "sea \x1b[31mred\x1b]0;owned\x07 \x9b2J \u202eback\r\nlighthouse"},
    {"item_id": "long", "text": "word " * 300 + "then a lighthouse stands far behind " + "all " * 300},
    {"item_id": "brand", "text": "a quiet book", "attributes": {"brand": "Hemingway"}},
    {"item_id": "han", "text": "红色跑鞋和灯塔"},
    {"item_id": "german", "text": "laufende Häuser"},
]


def setUpModule():
    global scratch, data, server
    scratch = tempfile.TemporaryDirectory()
    directory = pathlib.Path(scratch.name)
    (directory / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    data = directory / "data"
    subprocess.run([FOVEA, "import", "--data", data, "--items", directory / "items.jsonl"], check=True)
    server = thrift_client.Server(FOVEA, data, ["--search-attributes", "brand"])


def tearDownModule():
    code = server.stop()
    scratch.cleanup()
    assert code == 0, f"the server ended with {code}:\n" + "".join(server.log)


def ask(*flags, port=None):
    command = [FOVEA, "ask", f"127.0.0.1:{port or server.port}", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask_on_a_terminal(*flags, environment=None):
    primary, secondary = pty.openpty()
    command = [FOVEA, "ask", f"127.0.0.1:{server.port}", *flags]
    environment = {**os.environ, "TERM": "xterm", **(environment or {})}
    process = subprocess.Popen(command, stdout=secondary, env=environment)
    os.close(secondary)
    shown = b""
    while True:
        try:
            part = os.read(primary, 65536)
        except OSError:  # how Linux tells that the other side has gone
            break
        if not part:
            break
        shown += part
    os.close(primary)
    assert process.wait(timeout=60) == 0
    return shown.decode().replace("\r\n", "\n")


class Ask(unittest.TestCase):
    def test_found_words_are_bold_on_a_terminal_and_between_asterisks_elsewhere(self):
        self.assertIn("\x1b[1mOld\x1b[22m Man and the \x1b[1mSEA\x1b[22m", ask_on_a_terminal("--query", "old sea "))
        self.assertIn("*Old* Man and the *SEA*", ask("--query", "old sea "))
        self.assertIn("*SEA*", ask_on_a_terminal("--query", "old sea ", environment={"TERM": "dumb"}))
        self.assertIn("红色*跑鞋*和灯塔", ask("--query", "跑鞋"))
        self.assertNotIn("*", ask("--seed", "sea"))

    def test_a_long_text_is_shown_around_the_first_word(self):
        line = next(line for line in ask("--query", "lighthouse ").splitlines() if " long " in line)
        self.assertIn("…word then a *lighthouse* stands far", line)

    def test_nothing_of_a_text_steers_the_terminal(self):
        for shown in (ask("--query", "sea ", "--explain"), ask("--seed", "sea"), ask("--candidates", "evil")):
            self.assertFalse(CONTROL & set(shown), shown)
            self.assertNotIn("\u202e", shown)
        on_terminal = ask_on_a_terminal("--query", "sea lighthouse ", "--explain")
        for mark in ("\x1b[1m", "\x1b[22m"):
            on_terminal = on_terminal.replace(mark, "")
        self.assertFalse(CONTROL & set(on_terminal), on_terminal)

    def test_a_correction_is_told(self):
        shown = ask("--query", "lihgthouse\x1b[9Z ")
        self.assertIn('searched for "lighthouse [9Z " instead of "lihgthouse [9Z "', shown)
        self.assertNotIn("instead of", ask("--query", "lighthouse "))
        self.assertEqual(json.loads(ask("--query", "lihgthouse ", "--json"))["corrected_query"], "lighthouse ")

    def test_why_is_told_when_asked_for(self):
        shown = ask("--query", "hemingway quiet ", "--explain")
        self.assertIn("has 'quiet', 'Hemingway'\n", shown)
        self.assertNotIn("has '", ask("--query", "hemingway quiet "))
        self.assertNotIn("explanation", json.loads(ask("--query", "sea ", "--json"))["items"][0])


class Settings(unittest.TestCase):
    def test_a_batch_searches_as_the_server_does(self):
        directory = pathlib.Path(scratch.name)
        request = {"query": "haus hemingway ", "explain": True, "limit": 6}
        (directory / "requests.jsonl").write_text(json.dumps(request) + "\n")
        (directory / "fovea.toml").write_text('[server]\nsearch_language = "german"\nthreads = 1\n')
        flags = ["--config", directory / "fovea.toml", "--search-attributes", "brand", "--words-weight", "3"]
        copy = directory / "copy"
        subprocess.run([FOVEA, "backup", "--data", data, "--to", copy], check=True)
        other = thrift_client.Server(FOVEA, copy, flags)
        try:
            asked = ["--query", request["query"], "--explain", "--limit", "6", "--json"]
            online = json.loads(ask(*asked, port=other.port))
        finally:
            self.assertEqual(other.stop(), 0, other.log)
        batch = [FOVEA, "rank", "--data", copy, "--input", directory / "requests.jsonl", "--output", "-"]
        done = subprocess.run([*batch, *flags], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        offline = json.loads(done.stdout)
        self.assertEqual(offline["items"], online["items"])
        words = {item["item_id"]: item["explanation"]["matched_words"] for item in online["items"]}
        self.assertEqual(words["german"], ["Häuser"])
        self.assertEqual(words["brand"], ["Hemingway"])
        wrong = subprocess.run([*batch, "--search-language", "klingon"], capture_output=True, text=True, timeout=60)
        self.assertEqual(wrong.returncode, 2, wrong.stderr)
        self.assertIn("'klingon' has no stems; one of these is expected: none arabic", wrong.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
