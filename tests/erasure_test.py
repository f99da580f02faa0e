"""After deleteUser no file under the data directory holds anything of the user, whatever was done with them before:
imported, learned from, ranked, recorded, and learned from by a training that was killed: erasure_test.py FOVEA

The user's ids are random, so that nothing before them in a block of the store is like them: LZ4, which the store's tables
are written with, then has their first occurrence in each block as it is. That they are found before the deletion, in
tables as in logs, shows that the search would see them."""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

import thrift_client

FOVEA = pathlib.Path(sys.argv[1]).resolve()
MARKER = "".join(random.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=24))
USER = f"{MARKER}-user"
ENCODINGS = [MARKER, MARKER.encode().hex(), MARKER.encode().hex().upper()]


def files_with_marker(data):
    found = []
    for path in sorted(data.rglob("*")):
        if not path.is_file():
            continue
        contents = path.read_bytes()
        if MARKER in str(path) or any(pattern.encode() in contents for pattern in ENCODINGS):
            found.append(str(path.relative_to(data)))
    return found


def write_events(path, number):
    """As an import or a record has them: ids of the user, of the event and of the ranking that it answers."""
    with path.open("a") as out:
        for n in range(number):
            event = {
                "user_id": USER, "item_id": f"i{n % 60}", "action": "view", "time_ms": 1_700_000_000_000 + n,
                "event_id": f"{MARKER}-event-{n}", "request_id": f"{MARKER}-request-{n}",
            }
            out.write(json.dumps(event) + "\n")


def train(data, *more, kill_at=None):
    flags = ["--epochs-max", "4", "--epochs-min", "4", "--ranker-epochs-max", "2", *more]
    return thrift_client.train(FOVEA, data, flags, kill_at)


def live(client, round_number):
    """Lists, so that exposures are written, and behaviours that answer them."""
    from fovea_api.ttypes import Event, RankRequest

    for n in range(5):
        response = client.rank(RankRequest(user_id=USER, limit=5, include_seen=True))
        event_id = f"{MARKER}-live-{round_number}-{n}"
        event = Event(USER, response.items[0].item_id, "view", event_id=event_id, request_id=response.request_id)
        assert client.record([event]) == 1
    assert client.getHistory(USER, 1)[0].event_id == event_id


def main():
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        thrift_client.generate(directory)
        items, events = thrift_client.write_shop(directory)
        write_events(events, 40)
        data = directory / "data"
        subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)
        train(data)
        server = thrift_client.Server(FOVEA, data)
        client = server.connect()
        live(client, 0)
        # A version learned what was lived, beside the server; of the next one only the checkpoint is there.
        train(data)
        assert server.stop() == 0
        log = server.log
        server = thrift_client.Server(FOVEA, data)  # what stood in the log is in tables now
        client = server.connect()
        live(client, 1)
        said = train(data, "--seed", "3", kill_at="encoder: epoch 2:")
        checkpoint = data / "versions" / "checkpoint"
        assert any(checkpoint.iterdir()), "nothing was left by the training that was killed"

        holding = files_with_marker(data)
        assert any(name.endswith(".sst") for name in holding), holding
        assert any(name.endswith(".log") for name in holding), holding
        assert not [name for name in holding if name.startswith("versions")], f"a version names the user: {holding}"

        client.deleteUser(USER)
        assert files_with_marker(data) == []
        assert client.getHistory(USER, 10) == []
        others = client.status().users
        assert others == 30, others
        assert server.stop() == 0
        assert files_with_marker(data) == [], "the end of the server wrote the user again"

        # Nor does it come back: the checkpoint's training goes on, or starts anew, and a server starts.
        train(data, "--seed", "3")
        server = thrift_client.Server(FOVEA, data)
        client = server.connect()
        assert client.getHistory(USER, 10) == []
        assert files_with_marker(data) == []
        assert server.stop() == 0
        told = "".join(log + server.log) + said
        assert MARKER not in told, "a log names the user"
        print(f"was in {len(holding)} files ({', '.join(holding)}), is in none")


main()
