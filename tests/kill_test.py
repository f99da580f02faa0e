"""No acknowledged event or item is missing and no event is doubled after kill -9 in the middle of a stream of them:
kill_test.py FOVEA [ROUNDS]

The clients are the independent log: an event counts as acknowledged when record() has returned, an item when putItems()
has. After the kill each client sends its last, unanswered call again, as a client does that does not know; events carry
ids, so they must not be recorded twice."""

import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

import thrift_client
from thrift.Thrift import TException

FOVEA = pathlib.Path(sys.argv[1]).resolve()
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
WRITERS = 4


class Writer:
    """One client. Its user's history fits what the store keeps of a user."""

    def __init__(self, round_number, number):
        self.user = f"round-{round_number}-{number}"
        self.chance = random.Random(round_number * 100 + number)
        self.sent = 0
        self.acknowledged = []
        self.unanswered = []
        self.complaint = None

    def batch(self):
        from fovea_api.ttypes import Event

        ids = range(self.sent, self.sent + self.chance.randint(1, 3))
        self.sent = ids.stop
        return [Event(self.user, f"i{n % 60}", "view", event_id=f"{self.user}-{n}") for n in ids]

    def stream(self, client):
        try:
            while self.sent < 450:
                self.unanswered = self.batch()
                new = client.record(self.unanswered)
                if new != len(self.unanswered):
                    self.complaint = f"{new} of {len(self.unanswered)} events of {self.user} were new"
                self.acknowledged += [event.event_id for event in self.unanswered]
                self.unanswered = []
        except (TException, OSError, AttributeError):
            pass  # the kill; Thrift's TSocket reads on from the socket that it gave up at a reset

    def check(self, client):
        def recorded():
            return [event.event_id for event in client.getHistory(self.user, 1000)]

        assert self.complaint is None, self.complaint
        found = recorded()
        missing = set(self.acknowledged) - set(found)
        assert not missing, f"{len(missing)} acknowledged events of {self.user} are missing, such as {min(missing)}"
        if self.unanswered:
            client.record(self.unanswered)
            found = recorded()
        expected = self.acknowledged + [event.event_id for event in self.unanswered]
        assert sorted(found) == sorted(expected), f"{self.user} has {len(found)} events, expected {len(expected)}"


class Stocker:
    """A client that puts a few items of its round again and again, each time with a text that says which time it was."""

    ITEMS = 3

    def __init__(self, round_number):
        self.round = round_number
        self.revision = 0
        self.acknowledged = {}
        self.unanswered = None

    def stream(self, client):
        try:
            while True:
                item_id = f"stock-{self.round}-{self.revision % self.ITEMS}"
                self.unanswered = (item_id, f"revision {self.revision}")
                self.put(client)
                self.acknowledged[item_id] = self.unanswered[1]
                self.unanswered = None
                self.revision += 1
        except (TException, OSError, AttributeError):
            pass  # as a Writer's

    def put(self, client):
        from fovea_api.ttypes import Item

        assert client.putItems([Item(*self.unanswered)]) == 1

    def check(self, client):
        """What was not answered may have been kept or not; put again it is kept."""
        found = {item.item_id: item.text for item in client.getItems(sorted(self.acknowledged))}
        for item_id, text in self.acknowledged.items():
            assert item_id in found, f"the acknowledged item {item_id} is missing"
            allowed = {text, self.unanswered[1] if self.unanswered and self.unanswered[0] == item_id else text}
            assert found[item_id] in allowed, f"{item_id} is '{found[item_id]}' and not one of {sorted(allowed)}"
        if self.unanswered:
            self.put(client)
            self.acknowledged[self.unanswered[0]] = self.unanswered[1]
            self.unanswered = None
            self.check(client)


def main():
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        thrift_client.generate(directory)
        items, events = thrift_client.write_shop(directory)
        data = directory / "data"
        subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)
        acknowledged = items_put = cut = 0
        everyone = []
        server = thrift_client.Server(FOVEA, data)
        for round_number in range(ROUNDS):
            writers = [Writer(round_number, number) for number in range(WRITERS)]
            stocker = Stocker(round_number)
            clients = [server.connect() for _ in writers]
            threads = [threading.Thread(target=w.stream, args=(c,)) for w, c in zip(writers, clients)]
            threads.append(threading.Thread(target=stocker.stream, args=(server.connect(),)))
            for thread in threads:
                thread.start()
            time.sleep(random.Random(round_number).uniform(0.02, 0.2))
            server.kill()
            for thread in threads:
                thread.join()
            server = thrift_client.Server(FOVEA, data)
            client = server.connect()
            cut += sum(bool(writer.unanswered) for writer in [*writers, stocker])
            items_put += stocker.revision
            for writer in [*writers, stocker]:
                writer.check(client)
            everyone += [*writers, stocker]
            acknowledged += sum(len(writer.acknowledged) for writer in writers)
        # What was there stays there, whatever crashes came later.
        client = server.connect()
        for writer in everyone:
            writer.check(client)
        assert server.stop() == 0, "".join(server.log)
        print(
            f"{ROUNDS} kills, {acknowledged} acknowledged events, {items_put} acknowledged puts of items, "
            f"{cut} calls cut: none missing, none doubled"
        )
        assert acknowledged > ROUNDS and items_put > ROUNDS and cut > 0, "the kills did not fall into the stream"


main()
