"""Lines of the log of a running server: JSON whatever requests hold, found by the answer's request id and by the
caller's trace id: request_log_test.py FOVEA"""

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
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
HOSTILE = '"}\n{"level":"error","x":"\\ \x00\x1b[2J\u2028\ud7ff'


def setUpModule():
    global scratch, directory, data
    scratch = tempfile.TemporaryDirectory()
    directory = pathlib.Path(scratch.name)
    thrift_client.generate(directory)
    items, events = thrift_client.write_shop(directory, users=2)
    data = directory / "data"
    subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)


def tearDownModule():
    scratch.cleanup()


class Log(unittest.TestCase):
    def start(self, *flags):
        self.server = thrift_client.Server(FOVEA, data, ["--http", "127.0.0.1:0", *flags])
        self.addCleanup(lambda: self.server.process.poll() is None and self.server.stop())
        # Its own line comes right behind the one that tells the other port.
        for _ in range(600):
            found = re.search(r"serving HTTP on [^\"\n]*:(\d+)", "".join(self.server.log))
            if found:
                self.http_port = int(found.group(1))
                return
            time.sleep(0.1)
        self.fail("".join(self.server.log))

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        connection.putrequest(method, path)
        content = b"" if body is None else json.dumps(body).encode() if not isinstance(body, bytes) else body
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(content)))
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(content)
        response = connection.getresponse()
        answer = response.status, response.getheader("X-Request-Id"), json.loads(response.read() or b"null")
        connection.close()
        return answer

    def lines(self):
        """Everything that was logged, once the server has ended."""
        self.assertEqual(self.server.stop(), 0, self.server.log)
        return [json.loads(line) for line in self.server.log]

    def requests(self):
        return {line["request_id"]: line for line in self.lines() if line["message"] == "request"}

    def test_every_line_is_an_object_whatever_requests_hold(self):
        from fovea_api.ttypes import Event, InvalidRequest, RankRequest

        self.start("--log-format", "json", "--log-requests", "all")
        client = self.server.connect()
        client.rank(RankRequest(user_id=HOSTILE, traceparent='00-"}{"level":"error'))
        with self.assertRaises(InvalidRequest):
            client.record([Event(HOSTILE, "i1", HOSTILE)])
        self.ask("POST", "/v1/rank", {"user_id": HOSTILE, HOSTILE: 1})
        self.ask("POST", "/v1/rank", {"user_id": HOSTILE, "filter": HOSTILE}, [("traceparent", "00-" + "\xff" * 52)])
        self.ask("POST", "/v1/events", {"events": [{"user_id": HOSTILE, "item_id": HOSTILE, "action": HOSTILE}]})
        self.ask("GET", '/%22%7d/"}{"level":"error"')
        self.ask("POST", "/v1/rank", b'{"\xff\n')
        lines = self.lines()
        for line in lines:
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("info", "warning", "error"))
            self.assertNotIn("x", line)
        requests = [line for line in lines if line["message"] == "request"]
        self.assertEqual(len(requests), 7, requests)
        self.assertEqual([line["outcome"] for line in requests], ["ok"] + ["invalid"] * 6)
        self.assertFalse(any("trace_id" in line for line in requests))

    def test_a_request_is_found_by_its_id(self):
        from fovea_api.ttypes import RankRequest

        self.start("--log-format", "json", "--log-requests", "all")
        response = self.server.connect().rank(RankRequest(user_id="u1"))
        many = self.server.connect().rankMany([RankRequest(user_id="u0"), RankRequest(user_id="u1")])
        status, rank_id, ranked = self.ask("POST", "/v1/rank", {"user_id": "u1"})
        self.assertEqual((status, ranked["request_id"]), (200, rank_id))
        status, recorded_id, _ = self.ask("POST", "/v1/events", {"events": []})
        self.assertEqual(status, 200)
        status, refused_id, _ = self.ask("POST", "/v1/rank", {"limit": 0, "user_id": "u1"})
        self.assertEqual(status, 400)
        status, unread_id, _ = self.ask("POST", "/v1/rank", {"limitt": 0})
        self.assertEqual(status, 400)
        status, lost_id, _ = self.ask("GET", "/nowhere")
        self.assertEqual(status, 404)
        ids = [self.ask("GET", "/livez")[1] for _ in range(3)]
        self.assertEqual(len(set(ids)), 3)
        requests = self.requests()
        self.assertEqual(requests[response.request_id]["method"], "rank")
        self.assertGreater(requests[response.request_id]["milliseconds"], 0)
        self.assertTrue(all(requests[each.request_id]["method"] == "rankMany" for each in many))
        self.assertEqual(requests[rank_id]["outcome"], "ok")
        self.assertEqual(requests[recorded_id]["method"], "record")
        self.assertEqual((requests[refused_id]["method"], requests[refused_id]["outcome"]), ("rank", "invalid"))
        self.assertIn("limit", requests[refused_id]["reason"])
        self.assertEqual((requests[unread_id]["method"], requests[unread_id]["outcome"]), ("/v1/rank", "invalid"))
        self.assertIn("limitt", requests[unread_id]["reason"])
        self.assertEqual(requests[lost_id]["method"], "/nowhere")
        self.assertFalse(set(ids) & set(requests), "probes are no requests")

    def test_a_valid_traceparent_is_in_the_line(self):
        from fovea_api.ttypes import RankRequest

        self.start("--log-format", "json", "--log-requests", "all")
        by_header = self.ask("POST", "/v1/rank", {"user_id": "u1"}, [("TraceParent", TRACEPARENT)])[1]
        by_field = self.server.connect().rank(RankRequest(user_id="u1", traceparent=TRACEPARENT)).request_id
        without = self.ask("POST", "/v1/rank", {"user_id": "u1"}, [("traceparent", TRACEPARENT.upper())])[1]
        twice = self.ask("POST", "/v1/rank", {"user_id": "u1"}, [("traceparent", TRACEPARENT)] * 2)[1]
        refused = self.ask("POST", "/v1/rank", {"limit": 0}, [("traceparent", TRACEPARENT)])[1]
        requests = self.requests()
        self.assertEqual(requests[by_header]["trace_id"], TRACE)
        self.assertEqual(requests[by_field]["trace_id"], TRACE)
        self.assertEqual(requests[refused]["trace_id"], TRACE)
        self.assertNotIn("trace_id", requests[without])
        self.assertNotIn("trace_id", requests[twice])

    def test_off_there_is_no_line_of_a_request_and_an_id_in_the_answer_all_the_same(self):
        self.start("--log-format", "json")
        status, request_id, ranked = self.ask("POST", "/v1/rank", {"user_id": "u1"})
        self.assertEqual((status, ranked["request_id"]), (200, request_id))
        self.assertRegex(self.ask("POST", "/v1/rank", {"limit": 0})[1], "^[0-9a-f]{32}$")
        self.assertEqual(self.requests(), {})

    def test_slow_requests_only(self):
        self.start("--log-format", "json", "--log-requests", "slow:600000")
        self.ask("POST", "/v1/rank", {"user_id": "u1"})
        self.ask("POST", "/v1/rank", {"limit": 0})
        self.assertEqual(self.requests(), {})
        self.start("--log-format", "json", "--log-requests", "slow:0")
        slow = self.ask("POST", "/v1/rank", {"user_id": "u1"})[1]
        self.assertIn(slow, self.requests())

    def test_text_is_a_line_with_names(self):
        self.start("--log-requests", "all")
        request_id = self.ask("POST", "/v1/rank", {"user_id": HOSTILE})[1]
        self.assertEqual(self.server.stop(), 0, self.server.log)
        lines = [line for line in self.server.log if f"request request_id={request_id} method=rank" in line]
        self.assertEqual(len(lines), 1, self.server.log)

    def test_nobody_waits_for_whoever_reads_the_log(self):
        """Nobody reads while far more lines come than the pipe and the queue hold."""
        command = [FOVEA, "serve", "--data", data, "--thrift", "127.0.0.1:0", "--log-format", "json"]
        process = subprocess.Popen([*command, "--log-requests", "all"], stderr=subprocess.PIPE)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        log = b""
        while not (found := re.search(rb"serving Thrift on 127.0.0.1:(\d+)\"", log)):
            log += os.read(process.stderr.fileno(), 1)
        client = thrift_client.connect("127.0.0.1", int(found.group(1)))
        self.addCleanup(client._iprot.trans.close)
        for _ in range(12_000):
            client.status()
        process.terminate()
        log += process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(timeout=60), 0)
        lines = [json.loads(line) for line in log.splitlines()]
        dropped = sum(line.get("dropped_lines", 0) for line in lines)
        self.assertGreater(dropped, 0)
        self.assertEqual(dropped + sum(line["message"] == "request" for line in lines), 12_000)


if __name__ == "__main__":
    unittest.main()
