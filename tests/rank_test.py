"""`fovea rank` as batch jobs use it: kills, shards, pipes, bad lines, wrong input. rank_test.py FOVEA

Equal scores with a server are batch_test's."""

import gzip
import json
import os
import pathlib
import pty
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import thrift_client

FOVEA = pathlib.Path(sys.argv[1]).resolve()
NOW = ("--now-ms", "1710000000000")

# What stands in the README, with the names of a test.
PARALLEL = """
seq 0 3 | parallel -j 2 "$FOVEA" rank --data shop --now-ms 1710000000000 \\
  --input requests.jsonl --output ranked.{}.jsonl --shard {}/4
"""
SLURM = """#!/bin/sh
#SBATCH --array=0-3
"$FOVEA" rank --data shop --now-ms 1710000000000 \\
  --input requests.jsonl --output ranked.$SLURM_ARRAY_TASK_ID.jsonl --shard $SLURM_ARRAY_TASK_ID/4
"""
MERGE = "paste -d '\\n' ranked.0.jsonl ranked.1.jsonl ranked.2.jsonl ranked.3.jsonl | sed '/^$/d' > merged.jsonl"

BAD_LINES = [
    b"",
    b"{",
    b"[1,2]",
    b"{}",
    b'{"user_id":"u1","limit":0}',
    b'{"user_id":"u1","limits":5}',
    b'{"user_id":5}',
    b'{"user_id":[[[[[[[[1]]]]]]]]}',
    b'{"user_id":"u1","filter":"kind ="}',
    b'{"user_id":"u1","deadline_ms":-1}',
    b'{"user_id":"u1","session":[{"user_id":"u1","item_id":"i1","action":"dance"}]}',
    b'{"user_id":"\xff\xfe"}',
    b'{"user_id":"u1","page_token":"nothing"}',
]


def rank(*arguments, data="shop", expected=0, **options):
    """Runs in the folder of the test. Returns what was said on stderr."""
    done = subprocess.run([FOVEA, "rank", "--data", data, *arguments], stderr=subprocess.PIPE, **options)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == expected, f"exit code {done.returncode} of {arguments}\n{said}"
    return said


def requests(count, seed=1, limit=100):
    chance = random.Random(seed)
    for _ in range(count):
        request = {"user_id": f"u{chance.randrange(160)}", "limit": limit, "include_seen": chance.random() < 0.5}
        if chance.random() < 0.2:
            request["query"] = chance.choice(["dragon series", "violin", "train number"])
        if chance.random() < 0.2:
            request["candidates"] = [f"i{chance.randrange(260)}" for _ in range(40)]
        if chance.random() < 0.1:
            del request["user_id"]
            request["seed_items"] = ["i3", "i7"]
        if chance.random() < 0.05:
            request["limit"] = -1
        yield json.dumps(request)


def content(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    return data


def files_of(folder):
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def notes_of(output):
    try:
        return json.loads(pathlib.Path(f"{output}.partial.json").read_text())["lines"]
    except FileNotFoundError:
        return 0


def nearly(whole):
    return len(whole) * 19 // 20


def kill_once(output, arguments, chance, bytes_max):
    """Kills a run with SIGKILL some time after it came further. However fast the machine is, it writes no file of more
    than `bytes_max`, so that it never ends by itself."""

    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))

    partial = pathlib.Path(f"{output}.partial")
    lines, size = notes_of(output), partial.stat().st_size if partial.exists() else 0
    command = [FOVEA, "rank", "--data", "shop", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=limit) as process:

        def wait(came_further):
            while process.poll() is None and not came_further():
                time.sleep(0.005)

        wait(lambda: partial.exists() and partial.stat().st_size > size)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.25)  # notes are written a few times a second, and a fast machine is done by then
        process.send_signal(signal.SIGCONT)
        wait(lambda: notes_of(output) > lines)
        time.sleep(chance.random() * 0.05)
        process.kill()
        assert process.wait() in (-signal.SIGKILL, -signal.SIGXFSZ), process.returncode
    assert not output.exists()


def begin_and_kill(output, arguments, chance, bytes_max):
    """Leaves an unfinished file that a run can go on from."""
    for _ in range(50):
        kill_once(output, arguments, chance, bytes_max)
        if notes_of(output) > 0:
            return
    raise AssertionError(f"{output}: 50 times killed before it had notes")


def killed_runs_give_the_same_bytes(scratch):
    chance = random.Random(7)
    whole = {}
    for name in ("ranked.jsonl", "ranked.jsonl.gz", "ranked.jsonl.zst", "ranked.csv"):
        rank("--input", "many.jsonl", "--output", f"whole.{name}", *NOW)
        whole[name] = (scratch / f"whole.{name}").read_bytes()
        output = scratch / f"killed.{name}"
        arguments = ("--input", "many.jsonl", "--output", output.name, *NOW)
        begin_and_kill(output, arguments, chance, nearly(whole[name]))
        for _ in range(2):
            kill_once(output, arguments, chance, nearly(whole[name]))
        partial = pathlib.Path(f"{output}.partial")
        with partial.open("ab") as torn:
            torn.write(b'{"request_id":"torn')
        said = rank(*arguments)
        assert "going on after the" in said, said
        assert output.read_bytes() == whole[name], f"{name}: other bytes after kills"
        assert not partial.exists() and not pathlib.Path(f"{partial}.json").exists()
        print(f"{name}: killed three times, {len(whole[name])} equal bytes")
    plain = content(scratch / "whole.ranked.jsonl")
    with open("stdout.jsonl", "wb") as out:
        rank("--input", "many.jsonl", "--output", "-", *NOW, stdout=out)
    assert (scratch / "stdout.jsonl").read_bytes() == plain
    assert content(scratch / "whole.ranked.jsonl.gz") == plain
    assert content(scratch / "whole.ranked.jsonl.zst") == plain


def a_run_goes_on_at_its_own_time_or_is_refused(scratch):
    chance = random.Random(8)
    bytes_max = nearly((scratch / "whole.ranked.jsonl").read_bytes())
    output = scratch / "own.jsonl"
    arguments = ("--input", "many.jsonl", "--output", output.name)
    begin_and_kill(output, arguments, chance, bytes_max)
    began = json.loads(pathlib.Path(f"{output}.partial.json").read_text())["begun_with"]["now_ms"]
    for more, name in (
        (NOW, "now_ms"),
        (("--shard", "0/2"), "shard"),
        (("--format", "csv"), "format"),
        (("--search-language", "german"), "search_language"),
        (("--search-attributes", "brand"), "search_attributes"),
        (("--words-weight", "3"), "words_weight"),
        (("--vectors-weight", "3"), "vectors_weight"),
        (("--query-attention", "3"), "query_attention"),
    ):
        said = rank(*arguments, *more, expected=1)
        assert f"begun with {name}" in said and "--fresh" in said, said
    said = rank("--input", "-", "--output", output.name, expected=1, input=b"")
    assert "a pipe cannot be read again" in said, said
    kept = pathlib.Path("many.jsonl").stat().st_mtime_ns
    os.utime("many.jsonl")
    assert "begun with input_modified_ns" in rank(*arguments, expected=1)
    os.utime("many.jsonl", ns=(kept, kept))
    assert "going on after" in rank(*arguments)
    rank("--input", "many.jsonl", "--output", "at.jsonl", "--now-ms", str(began))
    assert output.read_bytes() == (scratch / "at.jsonl").read_bytes()

    output = scratch / "short.jsonl"
    arguments = ("--input", "many.jsonl", "--output", output.name, *NOW)
    begin_and_kill(output, arguments, chance, bytes_max)
    os.truncate(f"{output}.partial", 10)
    assert "shorter than what was written to it" in rank(*arguments, expected=1)
    pathlib.Path(f"{output}.partial.json").write_text("{")
    assert "cannot be understood" in rank(*arguments, expected=1)
    said = rank(*arguments, "--fresh")
    assert "going on" not in said, said
    assert output.read_bytes() == (scratch / "whole.ranked.jsonl").read_bytes()

    output.unlink()
    pathlib.Path(f"{output}.partial.json").write_text('{"bytes": 10, "left by": "a run killed at its end"}')
    assert "going on" not in rank(*arguments)
    assert output.read_bytes() == (scratch / "whole.ranked.jsonl").read_bytes()
    assert not pathlib.Path(f"{output}.partial.json").exists()


def shards_merged_are_the_whole(scratch):
    environment = {**os.environ, "FOVEA": str(FOVEA)}
    rank("--input", "requests.jsonl", "--output", "whole.jsonl", *NOW)
    whole = (scratch / "whole.jsonl").read_bytes()
    for example in (PARALLEL, SLURM):
        tasks = range(4) if "SLURM" in example else [0]
        for task in tasks:
            one = {**environment, "SLURM_ARRAY_TASK_ID": str(task)}
            subprocess.run(["sh", "-c", example], check=True, env=one, stderr=subprocess.DEVNULL)
        subprocess.run(["sh", "-c", MERGE], check=True)
        assert (scratch / "merged.jsonl").read_bytes() == whole
        for shard in scratch.glob("ranked.*.jsonl"):
            shard.unlink()
    # Spark's pipe gives each task lines and takes lines; so does any other pipe.
    lines = (scratch / "requests.jsonl").read_bytes()
    piped = subprocess.run([FOVEA, "rank", "--data", "shop", "--input", "-", "--output", "-", *NOW],
                           input=lines, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    assert piped.stdout == whole
    (scratch / "requests.jsonl.gz").write_bytes(gzip.compress(lines[:500]) + gzip.compress(lines[500:]))
    subprocess.run(["zstd", "-q", "requests.jsonl"], check=True)
    for ending in ("gz", "zst"):
        rank("--input", f"requests.jsonl.{ending}", "--output", f"from.{ending}.jsonl", *NOW)
        assert (scratch / f"from.{ending}.jsonl").read_bytes() == whole, ending
    print("shards by parallel and by a Slurm array, and pipes, give the same bytes")


def bad_lines_are_answered_as_the_server_answers_them(scratch):
    server = thrift_client.Server(FOVEA, scratch / "shop", ["--http", "127.0.0.1:0"])
    deadline = time.monotonic() + 30
    while not (found := re.search(r"serving HTTP on [^\n]*:(\d+)", "".join(server.log))):
        assert time.monotonic() < deadline, "".join(server.log)
        time.sleep(0.05)
    url = f"http://127.0.0.1:{found.group(1)}/v1/rank"

    def refusal(line):
        request = urllib.request.Request(url, data=line, headers={"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request).read()
        except urllib.error.HTTPError as error:
            return json.loads(error.read())["error"]
        return None

    good = b'{"user_id":"u1","limit":3}'
    lines = [good] + [line for bad in BAD_LINES for line in (bad, good)]
    pathlib.Path("bad.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    before = files_of(scratch / "shop")
    said = rank("--input", "bad.jsonl", "--output", "bad.ranked.jsonl", *NOW)
    assert f"{len(lines)} lines ranked, {len(BAD_LINES)} of them bad" in said, said
    answers = (scratch / "bad.ranked.jsonl").read_text().splitlines()
    assert len(answers) == len(lines)
    for number, (line, answer) in enumerate(zip(lines, map(json.loads, answers)), 1):
        if line == good:
            assert len(answer["items"]) == 3 and answer["stage_us"] == {}
        else:
            assert answer["line"] == number and answer["error"] == refusal(line), (line, answer, refusal(line))
    assert files_of(scratch / "shop") == before, "the store of a server that rests was written to"
    assert server.stop() == 0
    assert "line 2: this is not one JSON object" in said, said

    rank("--input", "bad.jsonl", "--output", "bad.ranked.csv", *NOW)
    rows = (scratch / "bad.ranked.csv").read_text().splitlines()
    assert rows[0] == "user,rank,item,score" and len(rows) == 1 + 3 * (len(lines) - len(BAD_LINES)), rows
    assert re.fullmatch(r"u1,1,i\d+,-?[\d.e-]+", rows[1]), rows[1]
    limit = str(len(BAD_LINES))
    rank("--input", "bad.jsonl", "--output", "allowed.jsonl", "--max-errors", limit, *NOW)
    said = rank("--input", "bad.jsonl", "--output", "limited.jsonl", "--max-errors", "2", *NOW, expected=1)
    assert "stopped at line 6: 3 lines are bad and --max-errors allows 2" in said, said
    assert not (scratch / "limited.jsonl").exists()
    pathlib.Path("worse.jsonl").write_bytes(b"{\n" * 5000)
    said = rank("--input", "worse.jsonl", "--output", "worse.ranked.jsonl", *NOW)
    assert "more bad lines" in said and said.count("\n") < 5000 and "5000 of them bad" in said, said[-200:]
    print(f"{len(BAD_LINES)} bad lines are answered as the server answers them")


def a_terminal_sees_how_far_it_is(scratch):
    ours, theirs = pty.openpty()
    command = [FOVEA, "rank", "--data", "shop", "--input", "many.jsonl", "--output", "seen.jsonl", *NOW]
    with subprocess.Popen(command, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        try:
            while block := os.read(ours, 4096):
                said += block
        except OSError:  # how a terminal tells that nobody writes to it any more
            pass
        assert process.wait() == 0
    os.close(ours)
    said = said.decode()
    shares = [int(share) for share in re.findall(r"ranking, \d+ lines, \d+ lines/s, \d[^[]* left \[.*?(\d+) %", said)]
    assert shares and shares == sorted(shares) and shares[0] < 100, said
    assert re.search(r"1500 lines ranked, \d+ of them bad, \d+ lines/s, [\d.]+ s, version ", said), said


def wrong_input_is_a_sentence(scratch):
    def refused(sentence, code, *arguments, **options):
        said = rank(*arguments, expected=code, **options)
        assert sentence in said, f"{arguments}: {said}"

    given = ("--input", "requests.jsonl")
    refused("nowhere.jsonl cannot be read: No such file", 1, "--input", "nowhere.jsonl", "--output", "x.jsonl")
    refused("shop is a directory", 1, "--input", "shop", "--output", "x.jsonl")
    refused("whole.jsonl is there already", 1, *given, "--output", "whole.jsonl")
    refused("shop is there already", 1, *given, "--output", "shop")
    refused("cannot be written", 1, *given, "--output", "no/folder/x.jsonl")
    refused("holds no store", 1, *given, "--output", "x.jsonl", data="nothing-here")
    for shard in ("3/2", "2/2", "-1/2", "1", "a/b", "0/0", "1/2/3", "0/99999999999"):
        refused("I/N is expected", 2, *given, "--output", "x.jsonl", f"--shard={shard}")
    pathlib.Path("not.gz").write_bytes(b'{"user_id":"u1"}\n')
    refused("not.gz is not gzip", 1, "--input", "not.gz", "--output", "x.jsonl")
    pathlib.Path("not.zst").write_bytes(b'{"user_id":"u1"}\n')
    refused("not.zst is not zstd", 1, "--input", "not.zst", "--output", "x.jsonl")
    for ending in ("gz", "zst"):
        short = pathlib.Path(f"requests.jsonl.{ending}").read_bytes()[:-9]
        pathlib.Path(f"short.{ending}").write_bytes(short)
        refused(f"short.{ending} is cut short", 1, "--input", f"short.{ending}", "--output", "x.jsonl")
    assert not list(scratch.glob("x.jsonl*")), "left behind where nothing can go on"

    pathlib.Path("empty.jsonl").write_bytes(b"")
    for name in ("empty.ranked.jsonl", "empty.ranked.jsonl.gz", "empty.ranked.jsonl.zst"):
        assert "0 lines ranked" in rank("--input", "empty.jsonl", "--output", name, *NOW)
        assert content(scratch / name) == b""
    pathlib.Path("long.jsonl").write_bytes(b'{"user_id":"' + b"u" * 10_000_000 + b'"}\n{"user_id":"u1"}')
    said = rank("--input", "long.jsonl", "--output", "long.ranked.jsonl", *NOW)
    answers = [json.loads(line) for line in (scratch / "long.ranked.jsonl").read_text().splitlines()]
    assert "longer than the" in answers[0]["error"]["message"] and answers[1]["items"], said

    # Two runs never write one file.
    reader, writer = os.pipe()
    command = [FOVEA, "rank", "--data", "shop", "--input", "-", "--output", "one.jsonl"]
    with subprocess.Popen(command, stdin=reader, stderr=subprocess.DEVNULL) as first:
        os.close(reader)
        while not pathlib.Path("one.jsonl.partial").exists():
            assert first.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        refused("is being written by another process", 1, *given, "--output", "one.jsonl")
        os.close(writer)
        assert first.wait() == 0
    assert content(scratch / "one.jsonl") == b""
    full = subprocess.run([FOVEA, "rank", "--data", "shop", *given, "--output", "-"], stderr=subprocess.PIPE,
                          stdout=open("/dev/full", "wb"))
    assert full.returncode == 1 and b"stdout cannot be written to its end: No space left" in full.stderr, full
    print("wrong input is a sentence")


def main():
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        os.chdir(scratch)
        items, events = thrift_client.write_shop(scratch, items=240, users=150)
        subprocess.run([FOVEA, "import", "--data", "shop", "--items", items, "--events", events], check=True)
        subprocess.run([FOVEA, "train", "--data", "shop", "--width", "16", "--epochs-max", "2", "--epochs-min", "1",
                        "--ranker-epochs-max", "1", "--force"], check=True, stderr=subprocess.DEVNULL)
        (scratch / "requests.jsonl").write_text("\n".join(requests(402, limit=10)) + "\n")
        (scratch / "many.jsonl").write_text("\n".join(requests(1500, limit=150)) + "\n")
        shards_merged_are_the_whole(scratch)
        bad_lines_are_answered_as_the_server_answers_them(scratch)
        wrong_input_is_a_sentence(scratch)
        a_terminal_sees_how_far_it_is(scratch)
        killed_runs_give_the_same_bytes(scratch)
        a_run_goes_on_at_its_own_time_or_is_refused(scratch)


main()
