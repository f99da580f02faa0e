"""A training that was killed with SIGKILL in any stage publishes the same bytes as one that was not: resume_test.py FOVEA"""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

import thrift_client

FOVEA = pathlib.Path(sys.argv[1]).resolve()
STAGES = ["encoder for the ranker", "ranker", "encoder"]


def train(data, kill_at=None, *more):
    flags = ["--split", "leave-one-out", "--threads", "1", "--width", "16", "--epochs-max", "6", "--epochs-min", "6",
             "--ranker-epochs-max", "4", *more]
    return thrift_client.train(FOVEA, data, flags, kill_at)


def published(data):
    versions = data / "versions"
    folder = versions / (versions / "CURRENT").read_text().split()[0]
    files = ["model.safetensors", "items.faiss", "texts.faiss"]
    return {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files}


def main():
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        items, events = thrift_client.write_shop(directory, items=200, users=120)
        data = directory / "data"
        subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)
        train(data)
        expected = published(data)
        checkpoint = data / "versions" / "checkpoint"
        for stage in STAGES:
            for epoch in (2, 4):
                log = train(data, f"{stage}: epoch {epoch}:")
                assert checkpoint.exists()
                assert "starts anew" not in log, log
                log = train(data)
                assert "checkpoint: resuming at epoch" in log, log
                done = STAGES[: STAGES.index(stage)]
                assert not any(f"\n{before}: epoch" in log for before in done), f"{done} trained again\n{log}"
                assert published(data) == expected, f"killed in {stage}, epoch {epoch}: other bytes"
                assert not checkpoint.exists()
        # A damaged state is named, and what is published is the same all the same.
        train(data, "encoder: epoch 3:")
        state = max(checkpoint.glob("*.safetensors"), key=lambda file: int(file.stem))
        state.write_bytes(state.read_bytes()[:-1])
        log = train(data)
        assert f"{state.name}: has" in log and "training starts anew" in log, log
        assert published(data) == expected
        # Going on from a version is resumed too.
        shutil.rmtree(checkpoint, ignore_errors=True)
        before = (data / "versions" / "CURRENT").read_text().split()[0]
        go_on = ("--from", before, "--seed", "2")
        train(data, None, *go_on)
        expected = published(data)
        train(data, "encoder: epoch 2:", *go_on)
        log = train(data, None, *go_on)
        assert "checkpoint: resuming at epoch" in log, log
        assert published(data) == expected
        print("killed in every stage, the same bytes every time")


main()
