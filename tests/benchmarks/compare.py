#!/usr/bin/env python3
"""Fovea beside what a team would use instead, on one machine and one data directory, in one go.

    tests/benchmarks/compare.py DATA --python VENV/bin/python [--rounds 3] [--seconds 10] [--json FILE]

1. Rank requests a second that keep a p99, from an open loop on the same cores (`fovea bench`): `fovea serve`, and
   python_service.py, which serves the same version from the same index with Faiss, PyTorch and a dict. They take turns;
   the median of the rounds counts. Beside it stands recall@500 of the index that both read.
2. api/server beside Thrift's TNonblockingServer, the same trivial service behind both (trivial_server.cpp).

DATA is made by tests/benchmarks/fill_store.cpp. What must be there before:

    ninja -C build fovea fovea_fill fovea_export fovea_trivial
    build/tests/benchmarks/fovea_fill DATA --items 200000 --users 100000
    python3 -m venv VENV && VENV/bin/pip install thrift numpy safetensors faiss-cpu torch

A machine that does something else meanwhile measures that too: its load is printed before and after."""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FACTOR = 1.25  # from rate to rate
MISSES = 2  # so many rates in a row that do not keep the bound are the end
OVERLOAD = 3  # times the last of them, for what is answered when too much is asked
RATE_MAX = 100_000


@contextlib.contextmanager
def served(command, pattern, stream):
    """Runs a server until the block is left; gives its port, which `pattern` finds in a line of `stream`."""
    with tempfile.NamedTemporaryFile("w+") as log:
        outputs = {"stdout": log, "stderr": log}
        outputs[stream] = subprocess.PIPE
        process = subprocess.Popen([str(part) for part in command], text=True, **outputs)
        try:
            lines = getattr(process, stream)
            seen = []
            for line in lines:
                seen.append(line)
                if found := re.search(pattern, line):
                    break
            else:
                log.seek(0)
                raise RuntimeError(f"{command[0]} did not start:\n" + "".join(seen) + log.read())
            if stream == "stderr":
                # Its log goes on; nobody who reads is nobody who waits.
                process.drain = subprocess.Popen(["cat"], stdin=lines, stdout=subprocess.DEVNULL)
            yield int(found.group(1))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def measure(options, port, first_rate):
    """Raises the rate until it does not keep the bound, and asks too much once. Returns the figures of every rate."""
    rates = []
    misses = 0
    rate = first_rate
    while misses <= MISSES and rate < RATE_MAX:
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory) / "bench.json"
            command = [
                options.build / "fovea", "bench", "--data", options.data, "--thrift", f"127.0.0.1:{port}",
                "--rates", rate, "--seconds", options.seconds, "--p99-max-ms", options.p99_max_ms,
                "--connections", options.connections, "--seed", options.seed, "--json", file,
            ]  # fmt: skip
            ran = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            if ran.returncode != 0:
                raise RuntimeError(ran.stderr)
            report = json.loads(file.read_text())
        figures = report["rates"][0]
        figures["machine"], figures["items"], figures["users"] = report["machine"], report["items"], report["users"]
        rates.append(figures)
        latency = figures["latency_us"]
        print(
            f"  {rate:>8g} a second: {figures['answered_per_s']:>8.1f} answered, p50 {latency['p50'] / 1000:.2f} ms, "
            f"p99 {latency['p99'] / 1000:.2f} ms{'' if figures['kept'] else ', not kept'}",
            flush=True,
        )
        misses = misses + 1 if misses == MISSES or not figures["kept"] else 0
        rate = round(rate * (OVERLOAD if misses == MISSES else FACTOR), 1)
    return rates


def summary(rounds):
    """Of some rounds of rates: the highest rate kept, the latency there, and the most that was answered."""
    highest = [max((f["rate_per_s"] for f in rates if f["kept"]), default=0) for rates in rounds]
    kept = statistics.median_low(highest)
    at = [f["latency_us"] for rates in rounds for f in rates if f["rate_per_s"] == kept and f["kept"]]
    return {
        "kept_per_s": kept,
        "kept_per_s_of_rounds": highest,
        "p50_ms": statistics.median(f["p50"] for f in at) / 1000 if at else None,
        "p99_ms": statistics.median(f["p99"] for f in at) / 1000 if at else None,
        "most_answered_per_s": statistics.median(max(f["answered_per_s"] for f in rates) for rates in rounds),
    }


def load():
    return "load of the machine " + " ".join(f"{value:.2f}" for value in os.getloadavg())


def row(name, figures, recall, least):
    def ms(value):
        return "-" if value is None else f"{value:.2f}"

    ratio = f"{figures['kept_per_s'] / least:.1f}" if least else "-"
    print(
        f"{name:<28} {figures['kept_per_s']:>10g} {ms(figures['p50_ms']):>8} {ms(figures['p99_ms']):>8} "
        f"{figures['most_answered_per_s']:>12.1f} {recall:>10.4f} {ratio:>9}"
    )


def compare(options):
    python = [options.python, ROOT / "tests" / "benchmarks" / "python_service.py", options.data]
    tools = options.build / "tests" / "benchmarks"
    print(load(), flush=True)
    with tempfile.TemporaryDirectory() as export:
        subprocess.run([str(tools / "fovea_export"), str(options.data), export], check=True)
        fovea = [options.build / "fovea", "serve", "--data", options.data, "--thrift", "127.0.0.1:0", "--device", "cpu"]
        with served(fovea, r"serving Thrift on .*:(\d+)$", "stderr") as port:
            told = subprocess.run(
                [str(part) for part in [*python, export, "recall", "--beside", port]],
                check=True,
                capture_output=True,
                text=True,
            )
        same = json.loads(told.stdout)
        rounds = {"fovea": [], "python": []}
        for number in range(1, options.rounds + 1):
            print(f"round {number}: fovea serve", flush=True)
            with served(fovea, r"serving Thrift on .*:(\d+)$", "stderr") as port:
                rounds["fovea"].append(measure(options, port, options.first_rate))
            print(f"round {number}: python_service.py", flush=True)
            with served([*python, export, "serve"], r"^port (\d+)$", "stdout") as port:
                rounds["python"].append(measure(options, port, options.python_first_rate))
    ours, theirs = summary(rounds["fovea"]), summary(rounds["python"])
    first = rounds["fovea"][0][0]
    print(
        f"\n{first['machine']['processor']}, {first['machine']['cores']} cores, the load generator among them; "
        f"{first['items']} items, {first['users']} users, seed {options.seed}, {options.connections} connections, "
        f"{options.rounds} rounds of {options.seconds:g} s a rate\n"
    )
    head = f"p99<={options.p99_max_ms:g}ms/s"
    print(f"{'rank, open loop':<28} {head:>10} {'p50 ms':>8} {'p99 ms':>8} {'most /s':>12} {'recall@500':>10} {'x python':>9}")
    row("fovea serve", ours, same["recall_at_500"], theirs["kept_per_s"])
    row("Faiss, PyTorch and a dict", theirs, same["recall_at_500"], theirs["kept_per_s"])
    print(f"{same['overlap_at_20']:.1%} of the items of a list are the same, over {same['users']} users\n", flush=True)
    trivial = [tools / "fovea_trivial", "--threads", os.cpu_count() or 1, "--rounds", options.rounds]
    ran = subprocess.run([str(part) for part in trivial], text=True, check=True, stdout=subprocess.PIPE)
    print(ran.stdout, load(), sep="\n")
    if options.json:
        everything = {"fovea": ours, "python": theirs, **same, "rounds": rounds, "trivial": ran.stdout}
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path, help="made by fovea_fill; rankings are logged in it")
    parser.add_argument("--python", type=pathlib.Path, required=True, help="with Faiss, PyTorch and Thrift")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="measured at each rate")
    parser.add_argument("--p99-max-ms", type=float, default=25)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1, help="of arrivals and of users")
    parser.add_argument("--first-rate", type=float, default=100, help="of Fovea, requests a second")
    parser.add_argument("--python-first-rate", type=float, default=10, help="of the Python service")
    parser.add_argument("--json", type=pathlib.Path, help="file for every figure")
    options = parser.parse_args()
    try:
        compare(options)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", None)
        print(f"compare.py: {error}{': ' + detail if detail else ''}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
