"""`fovea train --text-encoder`: kills while texts are encoded, a server beside it, wrong folders. text_encoder_test.py FOVEA

What a version with a sentence encoder is, is sentence_version_test's."""

import json
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import thrift_client

FOVEA = pathlib.Path(sys.argv[1]).resolve()
TINY = pathlib.Path(__file__).resolve().parent / "golden" / "sentence"
WORDS = ["red", "blue", "shoe", "run", "running", "runner", "headphone", "wireless", "zurich", "naive"]
ITEMS = 6000


def store(directory, name):
    """Items of words that the tiny encoder knows, no two alike."""
    chance = random.Random(1)
    items = directory / f"{name}.jsonl"
    with items.open("w") as out:
        for i in range(ITEMS):
            text = " ".join(chance.choice(WORDS) for _ in range(8)) + f" {i}"
            out.write(json.dumps({"item_id": f"i{i}", "text": text}) + "\n")
    data = directory / name
    subprocess.run([FOVEA, "import", "--data", data, "--items", items], check=True, stderr=subprocess.DEVNULL)
    return data


def train(data, *flags, kill_after=None):
    """Kills so many seconds after the encoding began, where they are given. Returns stderr."""
    command = [FOVEA, "train", "--data", data, "--threads", "1", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if kill_after is not None and "texts to encode" in line:
            time.sleep(kill_after)
            process.kill()
    code, log = process.wait(), "".join(lines)
    assert code == 0 or (kill_after is not None and code == -signal.SIGKILL), f"exit code {code}\n{log}"
    return log


def to_encode(log):
    return int(re.search(r"text: (\d+) texts to encode, (\d+) are encoded already", log).group(1))


def published(data):
    versions = data / "versions"
    return versions / (versions / "CURRENT").read_text().split()[0]


def kills(directory):
    whole, killed = store(directory, "whole"), store(directory, "killed")
    assert to_encode(train(whole, "--text-encoder", TINY)) == ITEMS
    left, parts, wait = ITEMS, 0, 0.002
    for _ in range(40):
        if parts == 5:
            break
        log = train(killed, "--text-encoder", TINY, kill_after=wait)
        if (killed / "versions" / "CURRENT").exists():
            break
        assert to_encode(log) <= left, f"{left} were left before\n{log}"
        parts += 0 < to_encode(log) < left
        wait *= 1.0 if to_encode(log) < left else 1.5
        left = to_encode(log)
    if not (killed / "versions" / "CURRENT").exists():
        log = train(killed, "--text-encoder", TINY)
        parts += to_encode(log) < left
    assert parts > 0, "no kill came in the middle"
    for file in ("model.safetensors", "texts.faiss", "text_encoder/model.safetensors"):
        assert (published(whole) / file).read_bytes() == (published(killed) / file).read_bytes(), file
    return whole, parts


def serves(data):
    server = thrift_client.Server(FOVEA, data)
    client = server.connect()
    from fovea_api.ttypes import Item, RankRequest

    text = "zurich runner zurich head"
    client.putItems([Item(item_id="new", text=text)])
    assert client.rank(RankRequest(query=text, limit=1)).items[0].item_id == "new"
    before = client.rank(RankRequest(query="red shoe", limit=20)).model_version
    assert to_encode(train(data)) == 1
    for _ in range(100):
        if client.rank(RankRequest(query="red shoe", limit=20)).model_version != before:
            break
        time.sleep(0.1)
    answer = client.rank(RankRequest(query=text, limit=1))
    assert answer.model_version == published(data).name and answer.items[0].item_id == "new", answer
    assert server.stop() == 0
    listed = subprocess.run([FOVEA, "versions", "--data", data], check=True, capture_output=True, text=True).stdout
    assert listed.count("texts by sentence") == 2, listed


def refuses(directory, data):
    def said(*flags):
        done = subprocess.run([FOVEA, "train", "--data", data, *flags], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.count("\n") == 1, (done.returncode, done.stderr)
        return done.stderr

    current = published(data)
    for folder, complaint in [
        (directory / "nowhere", "is no folder"),
        (TINY / "config.json", "is no folder"),
        (current, "config.json is not there"),  # a version is no encoder
    ]:
        assert complaint in said("--text-encoder", folder), folder
    broken = directory / "broken"
    shutil.copytree(TINY, broken)
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        whole = (broken / name).read_bytes()
        (broken / name).write_bytes(whole[:7])
        assert f"{broken / name}: " in said("--text-encoder", broken)
        (broken / name).unlink()
        assert f"{name} is not there" in said("--text-encoder", broken)
        (broken / name).write_bytes(whole)
    embedded = directory / "embedded.jsonl"
    embedded.write_text(json.dumps({"item_id": "e", "embedding": [1, 2, 3]}) + "\n")
    subprocess.run([FOVEA, "import", "--data", data, "--items", embedded], check=True, stderr=subprocess.DEVNULL)
    assert "have 3 channels" in subprocess.run([FOVEA, "train", "--data", data], capture_output=True, text=True).stderr
    assert published(data) == current


def main():
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        thrift_client.generate(directory)
        data, parts = kills(directory)
        serves(data)
        refuses(directory, data)
        print(f"{parts} kills in the middle, the same bytes")


main()
