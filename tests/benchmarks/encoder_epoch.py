#!/usr/bin/env python3
"""Seconds per epoch of the user encoder, beside PyTorch's on the same cores, in one run.

    /usr/bin/python3 tests/benchmarks/encoder_epoch.py build/fovea DIRECTORY [--epochs 3] [--rounds 2] [--full]

DIRECTORY holds items.jsonl and events.jsonl in import's format. Both sides learn the same model from the same
leave-one-out sequences with the same recipe: whitened text (Fovea's own, read from the version it published), full
softmax over every touched item at every position, steps of 2,048 behaviours, Adam, dropout, and after each epoch the
validation ndcg@10 over all items. The seconds of an epoch include that validation on both sides. Fovea and PyTorch take
turns: of each round's runs one begins where the other has ended, and rounds differ in their seed and in who begins.

PyTorch gets what a practised user gives it: sequences of like length side by side, so that little is padded
(--batches shuffled to pad as they come), logits only where there is a behaviour, one fused cross-entropy, and threads
that do not spin while they wait, which on two cores more than halves its epoch where anything else runs. Needs Debian's
python3-torch and python3-numpy, and libopenblas0-openmp for PyTorch's best: its products then use PyTorch's own threads.
With --full both stop by themselves and are compared on the test items.
"""
import argparse
import json
import math
import os
import pathlib
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the library is loaded; Fovea inherits it

import numpy
import torch
import torch.nn.functional as F

D, HEADS, LENGTH, BLOCKS, GAP_BUCKETS = 64, 2, 50, 2, 40
STEP_BEHAVIOURS = 2048
DROPOUT, ITEM_DROPOUT, RATE = 0.3, 0.1, 1e-3
QUESTIONS_MAX = 20_000  # as Fovea's validation
PATIENCE, EPOCHS_MIN, EPOCHS_MAX = 5, 15, 60  # of --full: Fovea's defaults
POOL_STEPS = 50  # steps whose sequences are sorted by length together


class Data:
    """Leave-one-out: the last behaviour of a user tests, the one before it validates, the rest trains."""

    def __init__(self, directory):
        items, actions, users = {}, {"": 0}, {}
        with open(directory / "items.jsonl") as lines:
            for line in lines:
                items.setdefault(json.loads(line)["item_id"], len(items))
        with open(directory / "events.jsonl") as lines:
            for line in lines:
                event = json.loads(line)
                row = items.setdefault(event["item_id"], len(items))
                action = actions.setdefault(event["action"], len(actions))
                users.setdefault(event["user_id"], []).append((event["time_ms"], row, action))
        self.items, self.actions = len(items), len(actions)
        self.sequences, self.validation, self.test = [], [], []
        for events in users.values():
            events.sort(key=lambda event: event[0])
            if len(events) < 3:
                self.sequences.append(events)
                continue
            self.sequences.append(events[:-2])
            self.validation.append((events[:-2], events[-2][1]))
            self.test.append((events[:-1], events[-1][1]))
        touched = numpy.zeros(self.items, dtype=bool)
        for events in self.sequences:
            touched[[row for _, row, _ in events]] = True
        self.touched = numpy.flatnonzero(touched)
        self.position = numpy.full(self.items, -1)
        self.position[self.touched] = numpy.arange(len(self.touched))

    def windows(self):
        """Each sequence cut from its end into at most LENGTH inputs, targets one later: (rows, actions, gaps, targets)."""
        cut = []
        for events in self.sequences:
            end = len(events) - 1
            while end > 0:
                begin = max(0, end - LENGTH)
                targets = self.position[[row for _, row, _ in events[begin + 1:end + 1]]]
                rows, actions, gaps = inputs(events[begin:end])
                cut.append((self.position[rows], actions, gaps, targets))
                end = begin
        return cut


def inputs(events):
    times = numpy.array([time_ms for time_ms, _, _ in events])
    seconds = numpy.maximum(numpy.diff(times, prepend=times[0]), 0) // 1000
    gaps = numpy.minimum(numpy.floor(numpy.log2(seconds + 1)), GAP_BUCKETS - 1).astype(int)
    rows = numpy.array([row for _, row, _ in events])
    return rows, numpy.array([action for _, _, action in events]), gaps


def padded(arrays):
    result = numpy.zeros((len(arrays), max(len(a) for a in arrays)), dtype=numpy.int64)
    for i, a in enumerate(arrays):
        result[i, :len(a)] = a
    return torch.from_numpy(result)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(D), torch.nn.LayerNorm(D)
        self.qkv, self.out = torch.nn.Linear(D, 3 * D), torch.nn.Linear(D, D)
        self.expand, self.contract = torch.nn.Linear(D, 4 * D), torch.nn.Linear(4 * D, D)

    def forward(self, x, later):
        b, n, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        logits = (q @ k.transpose(2, 3)) * (D // HEADS) ** -0.5 + later
        attended = (torch.softmax(logits, -1) @ v).transpose(1, 2).reshape(b, n, D)
        x = x + F.dropout(self.out(attended), DROPOUT, self.training)
        hidden = F.dropout(F.relu(self.expand(self.norm2(x))), DROPOUT, self.training)
        return x + F.dropout(self.contract(hidden), DROPOUT, self.training)


class Encoder(torch.nn.Module):
    def __init__(self, data, whitened):
        super().__init__()
        self.items = torch.nn.Parameter(torch.empty(len(data.touched), D))
        self.text = torch.nn.Linear(whitened.shape[1], D, bias=False)
        self.positions = torch.nn.Parameter(torch.empty(LENGTH, D))
        self.actions = torch.nn.Embedding(data.actions, D)
        self.gaps = torch.nn.Embedding(GAP_BUCKETS, D)
        self.norm_in, self.norm_out = torch.nn.LayerNorm(D), torch.nn.LayerNorm(D)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(BLOCKS))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.02)
        for module in self.modules():
            if getattr(module, "bias", None) is not None:
                torch.nn.init.zeros_(module.bias)
        # Added to the logits of attention: behaviours that come later, padding among them, get no weight.
        self.register_buffer("later", torch.full((LENGTH, LENGTH), -math.inf).triu(1))

    def forward(self, vectors, rows, actions, gaps):
        n = rows.shape[1]
        x = F.embedding(rows, vectors) * math.sqrt(D) + self.positions[:n] + self.actions(actions) + self.gaps(gaps)
        x = F.dropout(self.norm_in(x), DROPOUT, self.training)
        for block in self.blocks:
            x = block(x, self.later[:n, :n])
        return self.norm_out(x)


def steps(windows, random, batches):
    """Windows of one step each: whole ones until they hold STEP_BEHAVIOURS, as Fovea takes them."""
    order = [windows[i] for i in random.permutation(len(windows))]
    if batches == "bucketed":
        pool = POOL_STEPS * STEP_BEHAVIOURS * len(order) // max(1, sum(len(w[0]) for w in order))
        order = [w for i in range(0, len(order), pool) for w in sorted(order[i:i + pool], key=lambda w: len(w[0]))]
    result, step, behaviours = [], [], 0
    for window in order:
        step.append(window)
        behaviours += len(window[0])
        if behaviours >= STEP_BEHAVIOURS:
            result.append(step)
            step, behaviours = [], 0
    if step:
        result.append(step)
    random.shuffle(result)
    return result


@torch.no_grad()
def ndcg_10(model, data, whitened, questions):
    model.eval()
    vectors = model.text(whitened)
    vectors[torch.from_numpy(data.touched)] += model.items
    total = 0.0
    for begin in range(0, len(questions), 256):
        part = questions[begin:begin + 256]
        read = [inputs(history[-LENGTH:]) for history, _ in part]
        states = model(vectors, *(padded([r[i] for r in read]) for i in range(3)))
        last = states[torch.arange(len(part)), torch.tensor([len(r[0]) - 1 for r in read])]
        scores = last @ vectors.T
        wanted = scores[torch.arange(len(part)), torch.tensor([target for _, target in part])]
        asker = numpy.repeat(numpy.arange(len(part)), [len(history) for history, _ in part])
        seen = numpy.concatenate([[row for _, row, _ in history] for history, _ in part])
        scores[torch.from_numpy(asker), torch.from_numpy(seen)] = -math.inf
        better = (scores > wanted[:, None]).sum(1).double()
        total += torch.where(better < 10, 1 / torch.log2(better + 2), torch.zeros(())).sum().item()
    return total / len(questions)


def train_torch(data, whitened, seed, options):
    """[(seconds, validation ndcg@10)] by epoch, processor seconds an epoch, and with --full the test ndcg@10."""
    torch.manual_seed(seed)
    random = numpy.random.default_rng(seed)
    model = Encoder(data, whitened)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    touched_text = whitened[torch.from_numpy(data.touched)]
    windows = data.windows()
    questions = data.validation
    if len(questions) > QUESTIONS_MAX:
        questions = [questions[i] for i in random.choice(len(questions), QUESTIONS_MAX, replace=False)]
    epochs, best, kept = [], 0, None
    processor_start = time.process_time()
    for epoch in range(1, (EPOCHS_MAX if options.full else options.epochs) + 1):
        start = time.monotonic()
        model.train()
        for step in steps(windows, random, options.batches):
            lengths = torch.tensor([len(w[0]) for w in step])
            rows, actions, gaps = (padded([w[i] for w in step]) for i in range(3))
            targets = torch.from_numpy(numpy.concatenate([w[3] for w in step]))
            mask = (torch.rand(len(data.touched), 1) >= ITEM_DROPOUT).float()
            vectors = mask * model.items + model.text(touched_text)
            states = model(vectors, rows, actions, gaps)
            real = torch.arange(rows.shape[1])[None] < lengths[:, None]
            loss = F.cross_entropy(F.linear(states[real], vectors), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        trained = time.monotonic()
        ndcg = ndcg_10(model, data, whitened, questions)
        epochs.append((time.monotonic() - start, ndcg))
        print(f"  PyTorch epoch {epoch}: validation ndcg@10 {ndcg:.4f}, {epochs[-1][0]:.1f} s, of which validation "
              f"{epochs[-1][0] - trained + start:.1f} s", flush=True)
        if best == 0 or ndcg > epochs[best - 1][1]:
            best, kept = epoch, {name: value.clone() for name, value in model.state_dict().items()}
        if options.full and epoch >= max(best + PATIENCE, EPOCHS_MIN):
            break
    processor_seconds = (time.process_time() - processor_start) / len(epochs)
    test = None
    if options.full:
        model.load_state_dict(kept)
        test = ndcg_10(model, data, whitened, data.test)
    return epochs, processor_seconds, test


def train_fovea(fovea, store, seed, options):
    """As train_torch. Processor seconds are of the whole command over the epochs of its two encoders: a little high."""
    command = [fovea, "train", "--data", store, "--split", "leave-one-out", "--threads", str(options.threads),
               "--seed", str(seed), "--ranker-epochs-max", "0"]
    if options.full:
        command += ["--epochs-max", str(EPOCHS_MAX), "--epochs-min", str(EPOCHS_MIN), "--patience", str(PATIENCE)]
    else:
        command += ["--epochs-max", str(options.epochs)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True).stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    trained = len(re.findall(r"^encoder.*: epoch ", told, re.MULTILINE))
    processor_seconds = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / trained
    epochs = []
    for line in re.findall(r"^encoder: (epoch .*)$", told, re.MULTILINE):
        ndcg, seconds = re.search(r"ndcg@10 ([\d.]+), ([\d.]+) s", line).groups()
        epochs.append((float(seconds), float(ndcg)))
        print(f"  Fovea {line}", flush=True)
    test = None
    if options.full:
        result = subprocess.run([fovea, "evaluate", "--data", store, "--json"], check=True, stdout=subprocess.PIPE)
        test = json.loads(result.stdout)["retrieval"]["ndcg@10"]
    return epochs, processor_seconds, test


def whitened_texts(store):
    """[V, Z], as text_space.h says, from the arrays of the version that serves."""
    version = (store / "versions" / "CURRENT").read_text().split()[0]
    raw = (store / "versions" / version / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])

    def array(name):
        begin, end = header[name]["data_offsets"]
        return numpy.frombuffer(raw[8 + size + begin:8 + size + end], "<f4").reshape(header[name]["shape"])

    texts = array("items.texts")
    whitened = (texts - array("text.whitening_mean")) @ array("text.whitening").T
    whitened[(texts == 0).all(1)] = 0
    return torch.from_numpy(numpy.ascontiguousarray(whitened))


def processor():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    widest = "AVX-512" if "avx512f" in text else "AVX2" if "avx2" in text else "no AVX2"
    return f"{name.group(1) if name else 'unknown processor'} ({widest}), {os.cpu_count()} cores"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fovea", type=pathlib.Path)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, default=3, help="of each run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next has the next")
    parser.add_argument("--batches", choices=["bucketed", "shuffled"], default="bucketed", help="of PyTorch")
    parser.add_argument("--full", action="store_true", help="until both stop early; compares the test metric")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)

    data = Data(options.directory)
    print(f"{processor()}, {options.threads} threads, load {os.getloadavg()[0]:.1f}; PyTorch {torch.__version__}")
    print(f"{options.directory.name}: {len(data.sequences)} users, {data.items} items of which {len(data.touched)} "
          f"train, {sum(map(len, data.sequences))} behaviours; D {D}, L {LENGTH}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        store = pathlib.Path(directory) / "store"
        subprocess.run([options.fovea, "import", "--data", store, "--items", options.directory / "items.jsonl",
                        "--events", options.directory / "events.jsonl"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        # A version to read the texts from; nothing of it is timed.
        subprocess.run([options.fovea, "train", "--data", store, "--epochs-max", "1", "--epochs-min", "0",
                        "--ranker-epochs-max", "0"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        whitened = whitened_texts(store)
        runs = {"Fovea": [], "PyTorch": []}
        for number in range(options.rounds):
            seed = options.seed + number
            for name in sorted(runs, reverse=number % 2 == 1):
                if name == "Fovea":
                    runs[name].append(train_fovea(options.fovea, store, seed, options))
                else:
                    runs[name].append(train_torch(data, whitened, seed, options))
    seconds, processor_seconds = {}, {}
    for name, of_name in runs.items():
        seconds[name] = numpy.median([s for epochs, _, _ in of_name for s, _ in epochs])
        processor_seconds[name] = numpy.median([s for _, s, _ in of_name])
        reached = [max(n for _, n in epochs) if options.full else epochs[-1][1] for epochs, _, _ in of_name]
        line = f"{name}: {seconds[name]:.1f} s an epoch (median of {sum(len(e) for e, _, _ in of_name)}), " \
               f"{processor_seconds[name]:.1f} s of processor time, validation ndcg@10 {numpy.mean(reached):.4f}"
        if options.full:
            line += f", test {numpy.mean([test for _, _, test in of_name]):.4f}, epochs {[len(e) for e, _, _ in of_name]}"
        print(line)
    print(f"PyTorch / Fovea: {seconds['PyTorch'] / seconds['Fovea']:.2f} times, in processor time "
          f"{processor_seconds['PyTorch'] / processor_seconds['Fovea']:.2f}; load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    sys.exit(main())
