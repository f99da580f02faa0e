"""What a service manager hears of a server, over a datagram socket as systemd's: ready when the ports answer, alive as
long as network threads and workers are, ending when it ends: systemd_test.py FOVEA

A thread that hangs is a real one: it is stopped with ptrace, alone, as a debugger stops it."""

import ctypes
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import thrift_client

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent
WATCHDOG_USEC = 400_000
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
WAIT_ALL_THREADS = 0x40000000  # __WALL
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def setUpModule():
    global scratch, directory, data
    scratch = tempfile.TemporaryDirectory()
    directory = pathlib.Path(scratch.name)
    thrift_client.generate(directory)
    items, events = thrift_client.write_shop(directory, users=4)
    data = directory / "data"
    subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)


def tearDownModule():
    scratch.cleanup()


class Frozen:
    """One thread of another process, stopped as long as this lives."""

    def __init__(self, process, name):
        self.thread = next(
            int(task.name)
            for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()
            if (task / "comm").read_text().strip() == name
        )

    def __enter__(self):
        if libc.ptrace(PTRACE_ATTACH, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace is not allowed here")
        os.waitpid(self.thread, WAIT_ALL_THREADS)

    def __exit__(self, *_):
        libc.ptrace(PTRACE_DETACH, self.thread, None, None)


class Manager(unittest.TestCase):
    def listen(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(60)
        self.addCleanup(self.socket.close)

    def start(self, *flags, **environment):
        self.server = thrift_client.Server(FOVEA, data, flags, environment)
        self.addCleanup(lambda: self.server.process.poll() is None and self.server.kill())

    def start_watched(self, *flags):
        path = str(directory / f"{len(os.listdir(directory))}.socket")
        self.listen(path)
        self.start("--threads", "1", *flags, NOTIFY_SOCKET=path, WATCHDOG_USEC=str(WATCHDOG_USEC))
        self.assertIn("READY=1", self.hear())

    def hear(self):
        return self.socket.recv(4096).decode().split("\n")

    def heard_for(self, seconds):
        """How many times it said that it is alive."""
        end, alive = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                alive += self.hear() == ["WATCHDOG=1"]
            except TimeoutError:
                break
        self.socket.settimeout(60)
        return alive

    def test_ready_then_stopping(self):
        path = str(directory / "notify")
        self.listen(path)
        self.start(NOTIFY_SOCKET=path)
        self.assertEqual(self.hear(), ["READY=1", "STATUS=serving without a model"])
        self.server.connect().status()
        name = pathlib.Path(f"/proc/{self.server.process.pid}/comm").read_text().strip()
        self.assertEqual(name, FOVEA.name)
        self.assertEqual(self.server.stop(), 0, self.server.log)
        self.assertEqual(self.hear()[0], "STOPPING=1")
        self.socket.settimeout(0.1)
        self.assertRaises(TimeoutError, self.hear)

    def test_an_abstract_address(self):
        name = f"fovea-{os.getpid()}"
        self.listen("\0" + name)
        self.start(NOTIFY_SOCKET="@" + name)
        self.assertIn("READY=1", self.hear())
        self.assertEqual(self.server.stop(), 0, self.server.log)

    def test_the_status_names_the_version_that_serves(self):
        path = str(directory / "status")
        self.listen(path)
        self.start(NOTIFY_SOCKET=path)
        self.hear()
        subprocess.run([FOVEA, "train", "--data", data, "--force"], check=True, stderr=subprocess.DEVNULL)
        told = self.hear()
        version = self.server.connect().status().model_version
        self.assertTrue(version)
        self.assertEqual(told, [f"STATUS=serving version {version}"])

    def test_a_manager_that_is_gone_harms_nobody(self):
        for address in (str(directory / "nobody"), "@nobody", "/" + "x" * 200, "relative", "/"):
            self.start(NOTIFY_SOCKET=address, WATCHDOG_USEC="10000")
            self.server.connect().status()
            time.sleep(0.1)  # many times WATCHDOG=1, each in vain
            self.assertEqual(self.server.stop(), 0, self.server.log)
            told = [line for line in self.server.log if "service manager" in line or "NOTIFY_SOCKET" in line]
            self.assertEqual(len(told), 1, self.server.log)

    def test_no_watchdog_where_none_is_wanted_of_this_process(self):
        for wanted in ({}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"},
                       {"WATCHDOG_USEC": "-5"}):
            path = str(directory / f"none-{len(str(wanted))}")
            self.listen(path)
            self.start(NOTIFY_SOCKET=path, **wanted)
            self.assertIn("READY=1", self.hear())
            self.assertEqual(self.heard_for(0.5), 0)
            self.assertEqual(self.server.stop(), 0, self.server.log)

    def watchdog_stops_while_frozen(self, thread):
        self.assertEqual(self.hear(), ["WATCHDOG=1"])
        with Frozen(self.server.process, thread):
            # One for what had been answered before, however late it comes.
            self.assertLessEqual(self.heard_for(6 * WATCHDOG_USEC / 1e6), 1)
        self.assertEqual(self.hear(), ["WATCHDOG=1"])
        self.assertEqual(self.server.stop(), 0, self.server.log)

    def test_a_hanging_worker_ends_the_watchdog_and_one_that_goes_on_begins_it(self):
        self.start_watched()
        self.watchdog_stops_while_frozen("fovea-worker")

    def test_a_hanging_network_thread_ends_the_watchdog(self):
        self.start_watched()
        self.watchdog_stops_while_frozen("fovea-network")

    def test_each_port_has_to_answer(self):
        self.start_watched("--http", "127.0.0.1:0")
        self.watchdog_stops_while_frozen("fovea-network")

    def test_a_busy_server_is_alive(self):
        self.start_watched()
        client = self.server.connect()
        from fovea_api.ttypes import RankRequest

        for _ in range(20):
            client.rankMany([RankRequest(user_id=f"u{n % 4}") for n in range(50)])
        self.assertEqual(self.hear(), ["WATCHDOG=1"])


class Unit(unittest.TestCase):
    def test_the_unit_is_valid(self):
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            self.skipTest("there is no systemd-analyze")
        unit = (ROOT / "cmake" / "fovea.service.in").read_text()
        unit = unit.replace("@CMAKE_INSTALL_FULL_BINDIR@/fovea", str(FOVEA))
        unit = unit.replace("@CMAKE_INSTALL_FULL_SYSCONFDIR@", "/etc")
        self.assertNotIn("@CMAKE", unit)
        path = directory / "fovea.service"
        path.write_text(unit)
        verified = subprocess.run([analyze, "verify", "--man=no", path], capture_output=True, text=True)
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assertNotIn("fovea.service:", verified.stderr)

    def test_it_waits_longer_for_the_end_than_the_server_drains(self):
        unit = (ROOT / "cmake" / "fovea.service.in").read_text()
        stop_s = int(re.search(r"TimeoutStopSec=(\d+)s", unit).group(1))
        checked = subprocess.run([FOVEA, "serve", "--data", data, "--check-config"], capture_output=True, text=True,
                                 check=True)
        drain_ms = int(re.search(r"drain_timeout_ms = (\d+)", checked.stdout).group(1))
        self.assertGreater(stop_s * 1000, drain_ms)


if __name__ == "__main__":
    unittest.main()
