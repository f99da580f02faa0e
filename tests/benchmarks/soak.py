"""Serves a data directory under a steady mixed load and watches the server's memory and open files:
soak.py FOVEA DATA RATE [SECONDS]

RATE is ranks and records a second, ten to one; SECONDS are 3,600. Every ten seconds the server's resident memory, threads
and descriptors are read from /proc; a line a minute is printed. Ends with 1 where a request failed, where memory grew after
the first sixth of the time by more than GROWTH_MAX, or where more descriptors are open in the end than were then.

What the product promises to remember grows with what is recorded until its bounds are reached: a history's length, the
transitions kept of an item, --store-memory-mib for the store's caches. Before the hour WARM_UP_S of records bring the
server there, as days of a shop would, so that what grows afterwards is a leak."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

GROWTH_MAX = 0.03
EVERY_S = 10
STORE_MEMORY_MIB = 16
WARM_UP_S = 240
WARM_UP_RATE = 2000


def figures(pid):
    """Resident megabytes, threads and open descriptors of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    number = lambda key: int(re.search(rf"^{key}:\s+(\d+)", status, re.M)[1])
    return number("VmRSS") / 1024, number("Threads"), len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def sockets(pid):
    """The descriptors that are connections; RocksDB opens and closes files as it compacts."""
    links = (entry.readlink() for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    return sum(str(link).startswith("socket:") for link in links)


def serve(fovea, data, log):
    """A server that logs to a file: a pipe that nobody reads would stop it."""
    with log.open("w") as out:
        server = subprocess.Popen(
            [fovea, "serve", "--data", data, "--thrift", "127.0.0.1:0", "--store-memory-mib", str(STORE_MEMORY_MIB)],
            stderr=out,
        )
    while server.poll() is None:
        if found := re.search(r"serving Thrift on (\S+)\n", log.read_text()):
            return server, found[1]
        time.sleep(0.1)
    raise SystemExit(f"the server ended before it served:\n{log.read_text()}")


def load(fovea, data, address, workload, rate, seconds, report):
    """Over the wire to that server; ends by itself."""
    return subprocess.Popen(
        [fovea, "bench", "--data", data, "--thrift", address, "--workload", workload]
        + ["--rates", str(rate), "--seconds", str(seconds), "--json", str(report)],
        stdout=subprocess.DEVNULL,
    )


def main(fovea, data, rate, seconds=3600):
    seconds = float(seconds)
    with tempfile.TemporaryDirectory() as scratch:
        report, log = pathlib.Path(scratch) / "report.json", pathlib.Path(scratch) / "log"
        server, address = serve(fovea, data, log)
        if load(fovea, data, address, "record", WARM_UP_RATE, WARM_UP_S, report).wait() != 0:
            raise SystemExit(f"the records before the hour failed; the server logged\n{log.read_text()}")
        running = load(fovea, data, address, "mixed", rate, seconds, report)
        begin = time.monotonic()
        samples = []
        print("minute  resident MB  threads  descriptors  sockets", flush=True)
        while running.poll() is None:
            samples.append((time.monotonic() - begin, *figures(server.pid), sockets(server.pid)))
            if len(samples) % (60 // EVERY_S) == 1:
                passed, *rest = samples[-1]
                print("{:6.0f}  {:11.1f}  {:7}  {:11}  {:7}".format(passed / 60, *rest), flush=True)
            time.sleep(EVERY_S)
        time.sleep(2)  # for the server to see that its clients have gone
        left = sockets(server.pid)
        if running.returncode != 0:
            raise SystemExit(f"the load ended with {running.returncode}; the server logged\n{log.read_text()}")
        result = json.loads(report.read_text())["rates"][0]
        server.terminate()
        if server.wait() != 0:
            raise SystemExit(f"the server ended with {server.returncode}:\n{log.read_text()}")

    settled = [s for s in samples if s[0] >= seconds / 6]
    early, late = settled[: max(1, len(settled) // 10)], settled[-max(1, len(settled) // 10) :]
    mean = lambda some, i: sum(s[i] for s in some) / len(some)
    growth = mean(late, 1) / mean(early, 1) - 1
    failed = result["due"] - result["answered"]
    print(
        f"{result['due']} requests, {failed} failed, {result['degraded']} degraded, "
        f"p50 {result['latency_us']['p50'] / 1000:.1f} ms, p99 {result['latency_us']['p99'] / 1000:.1f} ms; "
        f"resident {mean(early, 1):.1f} MB after a sixth of the time, {mean(late, 1):.1f} MB in the end "
        f"({100 * growth:+.1f} %); descriptors {mean(early, 3):.0f} and {mean(late, 3):.0f}; "
        f"{left} sockets when the load had gone"
    )
    wrong = []
    if failed:
        wrong.append(f"{failed} requests failed: {result.get('first_failure')}")
    if growth > GROWTH_MAX:
        wrong.append(f"memory grew by {100 * growth:.1f} %")
    if mean(late, 4) > mean(early, 4) + 1:
        wrong.append("sockets leaked")
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
