"""`fovea demo` tells its story in a terminal and ends with the address of a page that shows the same data:
demo_test.py FOVEA"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import thrift_client

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()


def fetch(address, body=None):
    headers = {"Content-Type": "application/json"} if body else {}
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=60) as answer:
        return answer.read().decode()


class Demo(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.source = pathlib.Path(scratch.name)
        thrift_client.write_shop(self.source)

    def begin(self, page_seconds):
        command = [FOVEA, "demo", "--source", self.source, "--page-seconds", str(page_seconds)]
        demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(demo.kill)
        return demo

    def test_its_last_line_is_the_address_of_a_page_with_its_data(self):
        demo = self.begin(600)
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if line.startswith("http://"):
                break
        address = lines[-1].strip()
        self.assertRegex(address, r"^http://127\.0\.0\.1:\d+/$")
        self.assertIn("<title>", fetch(address))
        engine = json.loads(fetch(address + "console/engine"))
        self.assertEqual((engine["items"], engine["users"]), (60, 30))
        self.assertIn(f"version {engine['model_version']}\n", "".join(lines))
        self.assertTrue(engine["console"]["writes"])
        self.assertFalse(engine["console"]["token"])
        self.assertGreater(sum(method["ok"] for method in engine["requests"]), 0, "the story's own requests")
        users = json.loads(fetch(address + "console/users", b'{"prefix": "u1", "limit": 100}'))["users"]
        self.assertEqual(len(users), 11, users)  # u1 and u10 to u19
        demo.send_signal(signal.SIGTERM)
        rest, errors = demo.communicate(timeout=60)
        self.assertEqual((demo.returncode, rest), (0, ""), errors)

    def test_the_page_is_served_no_longer_than_it_was_told(self):
        story, errors = self.begin(1).communicate(timeout=300)
        self.assertRegex(story.splitlines()[-1], r"^http://127\.0\.0\.1:\d+/$", errors)
        demo = self.begin(0)
        story, errors = demo.communicate(timeout=300)
        self.assertEqual(demo.returncode, 0, errors)
        self.assertIn("Go on:", story)
        self.assertNotIn("http://", story)


if __name__ == "__main__":
    unittest.main()
