"""What many teams would run in Fovea's place: Python with Faiss, PyTorch and a dict, behind the same contract.

    python_service.py DATA EXPORT serve [--processes 2] [--batch 8]   prints "port N", serves until it is ended
    python_service.py DATA EXPORT recall [--users 500] [--beside PORT]
                                         prints recall@500 as JSON, and how much of a list of 20 is that of the
                                         `fovea serve` on that port

DATA is a data directory with a published version, EXPORT what fovea_export made of it. The version's own weights, item
vectors and index are served, so that what is retrieved is the same and only what computes it differs: one process a core
on one port (SO_REUSEPORT), one thread each, the accelerated binary protocol, requests that wait together ranked as one
batch of tensors. Encoder and ranker are Fovea's formulas. Left out, in this service's favour: candidates from counted
transitions beside the nearest 500, what EASE says of behaviours beyond the newest, the logging of what was shown, new
behaviours and everything else that the contract has.

Needs thrift, numpy, safetensors, faiss-cpu and torch from PyPI, in an environment of their own; neither the build nor a
test does."""

import argparse
import json
import math
import os
import pathlib
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile

# One thread each: as many processes as cores leave none for a library's own.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import faiss  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from thrift.protocol import TBinaryProtocol  # noqa: E402
from thrift.Thrift import TApplicationException, TMessageType  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
CANDIDATES = 500
PROBES = 64  # index/vector_index.h
CENTRE = 200  # ranking/ranker.h: the retrieval score is centred on the mean of so many nearest
RECENT = 20
GAP_UNIT = 1 / 16
# ranking/ranker_features.h, ranking/transitions.h
TRANSITION_FLOOR, TRANSITION_UNIT, AGE_DECAY, EASE_UNIT = 1e-4, 0.05, 0.6, 10


def read_index(file):
    """items.faiss: 24 bytes of frame with the number of rows, the rows, Faiss' own bytes (index/index_file.cpp)."""
    data = np.fromfile(file, np.uint8)
    count = int(data[16:24].view("<u8")[0])
    rows = data[24 : 24 + 4 * count].view("<u4").astype(np.int64)
    index = faiss.deserialize_index(data[24 + 4 * count :].copy())
    if isinstance(index, faiss.IndexIVF):
        index.nprobe = PROBES
    return index, rows


class Histories:
    """User to behaviours, oldest first, the newest `most` of them."""

    def __init__(self, directory, most):
        users = (directory / "users.txt").read_text().splitlines()
        offsets = np.fromfile(directory / "offsets.u64", "<u8").astype(np.int64)
        rows = np.fromfile(directory / "rows.u32", "<u4").astype(np.int64)
        actions = np.fromfile(directory / "actions.u16", "<u2").astype(np.int64) + 1  # 0 is none
        values = np.fromfile(directory / "values.f32", "<f4")
        seconds = np.fromfile(directory / "times.i64", "<i8")
        before = np.diff(seconds, prepend=seconds[:1])
        gaps = buckets(before)
        self.of = {}
        for i, user in enumerate(users):
            begin, end = max(offsets[i], offsets[i + 1] - most), offsets[i + 1]
            gap = gaps[begin:end].copy()
            gap[0] = 0
            since = buckets(seconds[end - 1] - seconds[begin:end])
            self.of[user] = (rows[begin:end], actions[begin:end], values[begin:end], gap, since)


def buckets(milliseconds):
    """ranking/gap_bucket.h"""
    return np.minimum(np.log2(1 + np.maximum(milliseconds, 0) // 1000).astype(np.int64), 39)


class Pairs:
    """What counted pairs of items say, [V, V] with few entries a row; a large catalogue has no EASE."""

    def __init__(self, weights, name, items):
        offsets = weights[name + ".offsets"].numpy().astype(np.int64)
        self.offsets = np.full(items + 1, offsets[-1] if len(offsets) else 0)
        self.offsets[: len(offsets)] = offsets
        self.rows = weights[name + ".rows"].numpy().astype(np.int64)
        self.weights = weights[name + ".weights"].numpy()

    def fill(self, behaviours, place, out):
        """out [L, N]; place [V] is where an item stands among the N candidates, N where it is none."""
        begin = self.offsets[behaviours]
        counts = self.offsets[behaviours + 1] - begin
        entries = np.arange(counts.sum()) + np.repeat(begin - np.cumsum(counts) + counts, counts)
        candidate = place[self.rows[entries]]
        found = np.flatnonzero(candidate < out.shape[1])
        behaviour = np.repeat(np.arange(len(behaviours)), counts)[found]
        out[behaviour, candidate[found]] = self.weights[entries[found]]


class Model:
    """The version's encoder and ranker over batches. Legend: B users, L behaviours, N candidates, D channels, H heads."""

    def __init__(self, version):
        w = load_file(version / "model.safetensors")
        self.w = w
        self.vectors, self.texts = w["items.vectors"], w["items.texts"]
        self.unit = F.normalize(self.vectors, dim=-1)
        self.popularity = w["items.log_popularity"]
        self.transitions, self.ease = (Pairs(w, name, len(self.vectors)) for name in ("transitions", "ease"))
        self.place = np.full(len(self.vectors), CANDIDATES)
        self.width = self.vectors.shape[1]
        self.heads = int(w["encoder.shape"][1])
        self.behaviours_max = int(w["encoder.shape"][2])
        # Query and key of a head as one product: a candidate's vector is then read once for all heads.
        part = self.width // self.heads
        query = w["ranker.query"].reshape(self.heads, part, self.width)
        key = w["ranker.key"].reshape(self.heads, part, self.width)
        self.folded = torch.einsum("hpd,hpe->hde", key, query) / math.sqrt(part)  # [H, D, D]

    def norm(self, x, name):
        return F.layer_norm(x, (self.width,), self.w[f"encoder.{name}_gain"], self.w[f"encoder.{name}_bias"])

    def states(self, rows, actions, gaps, lengths):
        """[B, D]; behaviours [B, L] stand at the left, so that causal attention never reads what fills up."""
        b, most = rows.shape
        w = self.w
        x = math.sqrt(self.width) * self.vectors[rows] + w["encoder.positions"][:most]
        x = self.norm(x + w["encoder.actions"][actions] + w["encoder.gaps"][gaps], "norm_in")
        for k in range(2):
            block = f"encoder.block{k}."
            qkv = F.linear(self.norm(x, f"block{k}.norm1"), w[block + "qkv"], w[block + "qkv_bias"])
            q, key, v = qkv.reshape(b, most, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(q, key, v, is_causal=True).transpose(1, 2).reshape(b, most, -1)
            x = x + F.linear(attended, w[block + "out"], w[block + "out_bias"])
            hidden = F.relu(F.linear(self.norm(x, f"block{k}.norm2"), w[block + "expand"], w[block + "expand_bias"]))
            x = x + F.linear(hidden, w[block + "contract"], w[block + "contract_bias"])
        return self.norm(x[torch.arange(b), lengths - 1], "norm_out")

    def pairs(self, rows, lengths, candidates):
        """Transitions and EASE [B, L, N]."""
        transitions = np.zeros((*rows.shape, candidates.shape[1]), np.float32)
        ease = np.zeros_like(transitions)
        everyone = zip(rows.numpy(), lengths.tolist(), candidates.numpy())
        for i, (behaviours, length, those) in enumerate(everyone):
            self.place[those] = np.arange(len(those))
            self.transitions.fill(behaviours[:length], self.place, transitions[i])
            self.ease.fill(behaviours[:length], self.place, ease[i])
            self.place[those] = CANDIDATES
        return torch.from_numpy(transitions), torch.from_numpy(ease)

    def scores(self, rows, actions, since, values, lengths, candidates, retrieval):
        """[B, N]; behaviours [B, L], candidates and their retrieval scores [B, N]."""
        w, (b, most) = self.w, rows.shape
        place = torch.arange(most)
        there = (place < lengths[:, None]).float()  # [B, L]
        age = (lengths[:, None] - 1 - place).float()
        mean = (values * there).sum(1, keepdim=True) / lengths[:, None]
        rating = ((values - mean) * w["ranker.value_scale"]).clamp(-3, 3) * there

        vectors = self.vectors[candidates].transpose(1, 2)  # [B, D, N]
        keys = torch.einsum("bld,hde->bhle", self.vectors[rows], self.folded)
        products = (keys.reshape(b, -1, self.width) @ vectors).reshape(b, self.heads, most, -1)
        cosine = self.texts[rows] @ self.texts[candidates].transpose(1, 2)  # [B, L, N]
        similarity = self.unit[rows] @ self.unit[candidates].transpose(1, 2)

        theta = w["ranker.theta"]  # transition, text, vectors, EASE, age, gap, value
        positive = there * (w["ranker.action_weights"][actions] > 0)
        transition, ease = self.pairs(rows, lengths, candidates)
        ease = ease * positive[..., None]
        log_transition = (transition + TRANSITION_FLOOR).log()
        of_behaviour = (
            theta[:, 4, None] * age[:, None]
            + theta[:, 5, None] * (GAP_UNIT * since)[:, None]
            + theta[:, 6, None] * rating[:, None]
            + w["ranker.action"][:, actions].transpose(0, 1)
        ).masked_fill(there[:, None] == 0, -math.inf)  # [B, H, L]
        logits = (
            products
            + theta[:, 0, None, None] * log_transition[:, None]
            + theta[:, 3, None, None] * (EASE_UNIT * ease)[:, None]
            + theta[:, 1, None, None] * cosine[:, None]
            + theta[:, 2, None, None] * similarity[:, None]
            + of_behaviour[..., None]
        )
        null = w["ranker.null"][:, None]
        evidence = torch.logaddexp(torch.logsumexp(logits, 2), null) - null  # [B, H, N]

        recent = there * (age < RECENT)
        text_recent = cosine.masked_fill(recent[..., None] == 0, -math.inf).amax(1)
        # The means over behaviours, all as one product.
        windows = torch.stack([there * (age < 5), recent, there], 1)
        windows = torch.cat([windows / windows.sum(-1, keepdim=True), (rating / lengths[:, None])[:, None]], 1)
        means = windows @ similarity  # [B, 4, N]
        popularity = self.popularity[candidates]
        decay = (positive * recent * AGE_DECAY**age)[:, None]
        features = torch.stack(
            [
                retrieval,
                popularity,
                (popularity <= 0).float(),
                cosine[torch.arange(b), lengths - 1],
                text_recent,
                (windows[:, 1:2] @ cosine)[:, 0],
                torch.log1p((decay @ transition)[:, 0] / TRANSITION_UNIT),
                ease.sum(1),
                *means.unbind(1),
                *evidence.unbind(1),
            ],
            -1,
        )
        features = (features - w["ranker.feature_mean"]) * w["ranker.feature_scale"]
        hidden = F.relu(F.linear(features, w["ranker.hidden1"], w["ranker.bias1"]))
        hidden = F.relu(F.linear(hidden, w["ranker.hidden2"], w["ranker.bias2"]))
        return features @ w["ranker.linear"] + hidden @ w["ranker.out"]


class Service:
    def __init__(self, data, export):
        current = (data / "versions" / "CURRENT").read_text().split()[0]
        self.version = current
        folder = data / "versions" / current
        self.model = Model(folder)
        self.index, self.rows = read_index(folder / "items.faiss")
        self.histories = Histories(export, self.model.behaviours_max).of
        self.items = (export / "items.txt").read_text().splitlines()

    def batch_of(self, users):
        histories = [self.histories[user] for user in users]
        lengths = np.array([len(history[0]) for history in histories])
        shape = len(users), lengths.max()
        arrays = [np.zeros(shape, values.dtype) for values in histories[0]]
        for i, history in enumerate(histories):
            for array, values in zip(arrays, history):
                array[i, : lengths[i]] = values
        return [torch.from_numpy(array) for array in arrays] + [torch.from_numpy(lengths)]

    def rank(self, users, limits):
        """For each user the rows and scores of the best, best first; what was acted on is left out."""
        rows, actions, values, gaps, since, lengths = self.batch_of(users)
        states = self.model.states(rows, actions, gaps, lengths)
        found, ids = self.index.search(states.numpy(), min(CANDIDATES, self.index.ntotal))
        retrieval = torch.from_numpy(found)
        retrieval = retrieval - retrieval[:, :CENTRE].mean(1, keepdim=True)
        candidates = torch.from_numpy(self.rows[ids])
        scores = self.model.scores(rows, actions, since, values, lengths, candidates, retrieval)
        for i, history in enumerate(self.histories[user] for user in users):
            scores[i][torch.from_numpy(np.isin(candidates[i].numpy(), history[0]))] = -math.inf
        best, places = scores.topk(min(max(limits), scores.shape[1]))
        chosen = candidates.gather(1, places)
        return [(chosen[i, :limit].tolist(), best[i, :limit].tolist()) for i, limit in enumerate(limits)]


class Connection:
    def __init__(self, peer):
        self.peer = peer
        self.received = bytearray()

    def frames(self):
        while len(self.received) >= 4:
            (length,) = struct.unpack_from(">I", self.received)
            if len(self.received) < 4 + length:
                return
            yield bytes(self.received[4 : 4 + length])
            del self.received[: 4 + length]

    def send(self, payload):
        try:
            self.peer.setblocking(True)
            self.peer.sendall(struct.pack(">I", len(payload)) + payload)
            self.peer.setblocking(False)
        except OSError:
            pass  # who is gone is noticed when reading


class Process:
    """One process' loop: reads all that has come, ranks it in batches, answers."""

    def __init__(self, service, batch):
        from fovea_api import Fovea, ttypes

        self.fovea, self.ttypes = Fovea, ttypes
        self.service, self.batch = service, batch
        self.factory = TBinaryProtocol.TBinaryProtocolAcceleratedFactory()

    def write(self, name, kind, sequence, body):
        memory = TTransport.TMemoryBuffer()
        protocol = self.factory.getProtocol(memory)
        protocol.writeMessageBegin(name, kind, sequence)
        body.write(protocol)
        protocol.writeMessageEnd()
        return memory.getvalue()

    def read(self, connection, frame, waiting):
        protocol = self.factory.getProtocol(TTransport.TMemoryBuffer(frame))
        name, _, sequence = protocol.readMessageBegin()
        if name == "rank":
            arguments = self.fovea.rank_args()
            arguments.read(protocol)
            if arguments.request.user_id in self.service.histories:
                waiting.append((connection, sequence, arguments.request))
                return
            invalid = self.ttypes.InvalidRequest("user_id", "this service knows only users with a history")
            connection.send(self.write(name, TMessageType.REPLY, sequence, self.fovea.rank_result(invalid=invalid)))
        elif name == "status":
            service = self.service
            status = self.ttypes.Status(
                version="python", model_version=service.version, device="cpu", items=len(service.items),
                users=len(service.histories), uptime_ms=0, ready=True, faiss=f"Faiss {faiss.__version__}"
            )
            connection.send(self.write(name, TMessageType.REPLY, sequence, self.fovea.status_result(success=status)))
        else:
            error = TApplicationException(TApplicationException.UNKNOWN_METHOD, f"there is no method '{name}' here")
            connection.send(self.write(name, TMessageType.EXCEPTION, sequence, error))

    def answer(self, waiting):
        requests = [request for _, _, request in waiting]
        ranked = self.service.rank([request.user_id for request in requests], [request.limit for request in requests])
        for (connection, sequence, _), (rows, scores) in zip(waiting, ranked):
            items = [
                self.ttypes.RankedItem(item_id=self.service.items[row], score=score, source="vectors")
                for row, score in zip(rows, scores)
            ]
            response = self.ttypes.RankResponse(
                request_id=os.urandom(8).hex(), items=items, model_version=self.service.version, degraded=False,
                variants={}, stage_us={}
            )
            result = self.fovea.rank_result(success=response)
            connection.send(self.write("rank", TMessageType.REPLY, sequence, result))

    def run(self, listener):
        selector = selectors.DefaultSelector()
        selector.register(listener, selectors.EVENT_READ)
        while True:
            waiting = []
            for key, _ in selector.select():
                if key.data is None:
                    peer, _ = listener.accept()
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    peer.setblocking(False)
                    selector.register(peer, selectors.EVENT_READ, Connection(peer))
                    continue
                try:
                    received = key.data.peer.recv(65536)
                except OSError:
                    received = b""
                if not received:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    continue
                key.data.received += received
                for frame in key.data.frames():
                    self.read(key.data, frame, waiting)
            for begin in range(0, len(waiting), self.batch):
                self.answer(waiting[begin : begin + self.batch])


def listen(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(256)
    return listener


def generate():
    """Makes fovea_api importable."""
    with tempfile.TemporaryDirectory() as generated:
        subprocess.run(["thrift", "--gen", "py", "-out", generated, str(ROOT / "api" / "fovea.thrift")], check=True)
        sys.path.insert(0, generated)
        import fovea_api.Fovea  # noqa: F401


def serve(options):
    generate()
    service = Service(options.data, options.export)  # what the processes share is loaded once
    listeners = [listen(0)]
    port = listeners[0].getsockname()[1]
    listeners += [listen(port) for _ in range(options.processes - 1)]
    children = []
    for mine in listeners:
        child = os.fork()
        if child == 0:
            for other in listeners:
                if other is not mine:
                    other.close()
            torch.set_num_threads(1)
            faiss.omp_set_num_threads(1)
            with torch.inference_mode():
                Process(service, options.batch).run(mine)
        children.append(child)

    def end(*_):
        for child in children:
            os.kill(child, signal.SIGKILL)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"port {port}", flush=True)
    os.wait()
    end()


def recall(options):
    """Of the index that both serve, against an exact search over the version's vectors, for real users' states."""
    torch.set_num_threads(1)
    service = Service(options.data, options.export)
    vectors = service.model.vectors.numpy()[service.rows]
    exact = faiss.IndexFlatIP(vectors.shape[1])
    exact.add(vectors)
    every = list(service.histories)
    users = every[:: max(1, len(every) // options.users)][: options.users]
    with torch.inference_mode():
        rows, actions, _, gaps, _, lengths = service.batch_of(users)
        states = service.model.states(rows, actions, gaps, lengths).numpy()
        count = min(CANDIDATES, len(vectors))
        _, expected = exact.search(states, count)
        _, found = service.index.search(states, count)
        hits = [len(np.intersect1d(a, b)) for a, b in zip(expected, found)]
        told = {"recall_at_500": float(np.mean(hits)) / count, "users": len(users)}
        if options.beside:
            told["overlap_at_20"] = overlap(service, users, options.beside)
    print(json.dumps(told))


def overlap(service, users, port):
    """The mean share of a list that is the same at a running Fovea, where nothing was recorded since the export."""
    generate()
    from fovea_api import Fovea, ttypes

    transport = TTransport.TFramedTransport(TSocket.TSocket("127.0.0.1", port))
    transport.open()
    client = Fovea.Client(TBinaryProtocol.TBinaryProtocolAccelerated(transport))
    shares = []
    for user in users:
        theirs = {item.item_id for item in client.rank(ttypes.RankRequest(user_id=user)).items}
        ours = {service.items[row] for row in service.rank([user], [20])[0][0]}
        shares.append(len(ours & theirs) / max(1, len(theirs)))
    return float(np.mean(shares))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("export", type=pathlib.Path)
    modes = parser.add_subparsers(required=True)
    serving = modes.add_parser("serve")
    serving.add_argument("--processes", type=int, default=os.cpu_count())
    serving.add_argument("--batch", type=int, default=8, help="requests ranked together at most")
    serving.set_defaults(run=serve)
    measuring = modes.add_parser("recall")
    measuring.add_argument("--users", type=int, default=500)
    measuring.add_argument("--beside", type=int, metavar="PORT")
    measuring.set_defaults(run=recall)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
