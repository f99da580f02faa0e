"""A foreign client: the Python code that Thrift makes of the contract, and a `fovea serve` for it to talk to.

Owns generating the client, starting and ending the server, and small data to serve; what is expected of the answers is
the tests'. Uses Debian's python3-thrift."""

import atexit
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import threading

from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.transport import TSocket, TTransport

ROOT = pathlib.Path(__file__).resolve().parent.parent
FACTORIES = {
    "binary": TBinaryProtocol.TBinaryProtocolFactory,
    "binary accelerated": TBinaryProtocol.TBinaryProtocolAcceleratedFactory,
    "compact": TCompactProtocol.TCompactProtocolFactory,
    "compact accelerated": TCompactProtocol.TCompactProtocolAcceleratedFactory,
}


def generate(directory):
    """Generates fovea_api into `directory` and makes it importable."""
    subprocess.run(["thrift", "--gen", "py", "-out", str(directory), str(ROOT / "api" / "fovea.thrift")], check=True)
    sys.path.insert(0, str(directory))


def write_shop(directory, items=60, users=30, events_per_user=20, seed=1):
    """Writes items.jsonl and events.jsonl: users who each like one kind of thing. Returns both paths."""
    chance = random.Random(seed)
    kinds = ["dragon", "train", "soup", "violin"]
    items_file, events_file = directory / "items.jsonl", directory / "events.jsonl"
    with items_file.open("w") as out:
        for i in range(items):
            kind = kinds[i % len(kinds)]
            item = {"item_id": f"i{i}", "text": f"{kind} number {i} of the {kind} series", "attributes": {"kind": kind}}
            out.write(json.dumps(item) + "\n")
    time_ms = 1_700_000_000_000
    with events_file.open("w") as out:
        for n in range(users * events_per_user):
            user = n % users
            time_ms += 60_000
            i = chance.randrange(items // len(kinds)) * len(kinds) + user % len(kinds)
            if chance.random() < 0.1:
                i = chance.randrange(items)
            event = {"user_id": f"u{user}", "item_id": f"i{i}", "action": "view", "time_ms": time_ms}
            out.write(json.dumps(event) + "\n")
    return items_file, events_file


def train(fovea, data, flags, kill_at=None):
    """Trains; at a line of stderr that begins with `kill_at` the program is killed. Returns stderr."""
    command = [fovea, "train", "--data", data, *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if kill_at and line.startswith(kill_at):
            process.kill()
    code = process.wait()
    assert code == (-9 if kill_at else 0), f"exit code {code}\n" + "".join(lines)
    return "".join(lines)


def connect(host, port, protocol="binary accelerated", framed=True, socket=None):
    """`socket`: one that is made for that port and not open yet."""
    from fovea_api import Fovea

    socket = socket or TSocket.TSocket(host, port)
    socket.setTimeout(60_000)
    transport = TTransport.TFramedTransport(socket) if framed else TTransport.TBufferedTransport(socket)
    client = Fovea.Client(FACTORIES[protocol]().getProtocol(transport))
    transport.open()
    return client


class Server:
    """`fovea serve` on a free port, in its own process, with further flags and variables of its environment."""

    def __init__(self, fovea, data, flags=(), environment=None):
        self.process = subprocess.Popen(
            [str(fovea), "serve", "--data", str(data), "--thrift", "127.0.0.1:0", *flags],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        atexit.register(self.process.kill)  # a test that fails leaves none behind; nothing happens to one that ended
        self.log = []
        self.connections = []
        self.port = None
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r'serving Thrift on [^"]*:(\d+)("}|)$', line.strip())
            if found:
                self.port = int(found.group(1))
                break
        if self.port is None:
            raise RuntimeError("the server did not start:\n" + "".join(self.log))
        # Read on, so that the server never waits for us to take its log.
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def connect(self, protocol="binary accelerated", framed=True, socket=None):
        client = connect("127.0.0.1", self.port, protocol, framed, socket)
        self.connections.append(client._iprot.trans)
        return client

    def stop(self):
        """As an operator does. Returns the exit code."""
        self.process.terminate()
        return self._ended()

    def kill(self):
        """As a power cut does, as far as the process goes."""
        self.process.kill()
        return self._ended()

    def _ended(self):
        code = self.process.wait(timeout=60)
        for transport in self.connections:
            transport.close()
        self.reader.join()
        self.process.stderr.close()
        return code
