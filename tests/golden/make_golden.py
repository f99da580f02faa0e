#!/usr/bin/env python3
"""Makes model.safetensors, what PyTorch computes for a small encoder and a small ranker, and gated.safetensors, the same
for the encoder with every option on.

Outputs, gradients and the first ten losses of both, from the same weights and inputs that golden_test.cpp gives to
the project's own code. Needs Debian's python3-torch and python3-numpy; run it by hand when the model's formulas change:

    /usr/bin/python3 tests/golden/make_golden.py tests/golden
"""
import json
import math
import struct
import sys

import numpy
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
random = numpy.random.default_rng(7)
arrays = {}

D, H, L, V, Z, A, K, HIDDEN = 8, 2, 6, 12, 5, 3, 4, 6
NONE = 0xFFFFFFFF


def put(name, value):
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    value = numpy.asarray(value)
    arrays[name] = value.astype("<u4" if value.dtype.kind in "ui" else "<f4")


def weight(shape, deviation=0.3, mean=0.0):
    value = (mean + deviation * random.standard_normal(shape)).astype("f4").astype("f8")
    return torch.tensor(value, requires_grad=True)


def save(path):
    header, data = {}, b""
    for name in sorted(arrays):
        raw = arrays[name].tobytes()
        header[name] = {
            "dtype": "U32" if arrays[name].dtype.kind == "u" else "F32",
            "shape": list(arrays[name].shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def adam_losses(parameters, loss_of, rate):
    optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.98), eps=1e-8)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def record(prefix, weights, loss_of, rate):
    """Gradients at the start, then the first ten losses. The weights are stored before they move."""
    for name, tensor in weights.items():
        put(f"{prefix}.{name}", tensor)
    loss_of().backward()
    for name, tensor in weights.items():
        gradient = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
        put(f"gradient.{prefix}.{name}", gradient)
    put(f"losses.{prefix}", adam_losses(list(weights.values()), loss_of, rate))


# The encoder: three sequences, one of them with a position that has no target.
encoder = {
    "items": weight((V, D)), "text": weight((D, Z)), "positions": weight((L, D)),
    "actions": weight((A, D)), "gaps": weight((40, D)),
    "norm_in_gain": weight(D, 0.1, 1), "norm_in_bias": weight(D, 0.1),
}
for b in range(2):
    for name, shape, mean in [
        ("norm1_gain", D, 1), ("norm1_bias", D, 0), ("qkv", (3 * D, D), 0), ("qkv_bias", 3 * D, 0),
        ("out", (D, D), 0), ("out_bias", D, 0), ("norm2_gain", D, 1), ("norm2_bias", D, 0),
        ("expand", (4 * D, D), 0), ("expand_bias", 4 * D, 0),
        ("contract", (D, 4 * D), 0), ("contract_bias", D, 0),
    ]:
        encoder[f"block{b}.{name}"] = weight(shape, 0.2, mean)
encoder["norm_out_gain"] = weight(D, 0.1, 1)
encoder["norm_out_bias"] = weight(D, 0.1)

sequences = [[0, 3, 5, 3, 1, 7], [2], [4, 4, 9]]
targets = [[3, 5, 3, 1, 7, 11], [6], [4, NONE, 10]]
actions = [[1, 2, 0, 1, 1, 2], [0], [2, 1, 1]]
gaps = [[0, 3, 0, 39, 7, 1], [0], [0, 12, 2]]
seconds_of = [[5, 5, 90, 4000, 4003, 700_000], [12], [1, 2, 70]]  # read by the relative bias only
mask = torch.tensor([1.0, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1])
whitened = weight((V, Z), 0.5).detach()


def norm(x, gain, bias):
    return F.layer_norm(x, (D,), gain, bias, 1e-5)


def add(x, branch, p, gate):
    if gate not in p:
        return x + branch
    return x + torch.sigmoid(F.linear(x, p[gate], p[gate + "_bias"])) * branch


def encode():
    w = encoder
    vectors = mask[:, None] * w["items"] + whitened @ w["text"].T
    states = []
    for items, acts, gap, time in zip(sequences, actions, gaps, seconds_of):
        n = len(items)
        x = math.sqrt(D) * vectors[items] + w["positions"][:n] + w["actions"][acts] + w["gaps"][gap]
        x = norm(x, w["norm_in_gain"], w["norm_in_bias"])
        for b in range(2):
            p = {k.split(".")[1]: v for k, v in w.items() if k.startswith(f"block{b}.")}
            a = norm(x, p["norm1_gain"], p["norm1_bias"])
            q, k, v = (
                y.view(n, H, D // H).transpose(0, 1) for y in F.linear(a, p["qkv"], p["qkv_bias"]).split(D, 1)
            )
            logits = q @ k.transpose(1, 2) / math.sqrt(D // H)
            if "age_bias" in p:
                age = torch.arange(n)[:, None] - torch.arange(n)  # of the column's behaviour for the row's
                apart = torch.tensor(time)[:, None] - torch.tensor(time)
                bucket = torch.log2(1 + apart.clamp(min=0).double()).floor().long()
                logits = logits + p["age_bias"][:, age.clamp(min=0)] + p["gap_bias"][:, bucket]
            later = torch.triu(torch.ones(n, n, dtype=torch.bool), 1)
            attention = torch.softmax(logits.masked_fill(later, -math.inf), -1)
            attended = (attention @ v).transpose(0, 1).reshape(n, D)
            x = add(x, F.linear(attended, p["out"], p["out_bias"]), p, "gate1")
            f = norm(x, p["norm2_gain"], p["norm2_bias"])
            f = F.relu(F.linear(f, p["expand"], p["expand_bias"]))
            x = add(x, F.linear(f, p["contract"], p["contract_bias"]), p, "gate2")
        states.append(norm(x, w["norm_out_gain"], w["norm_out_bias"]))
    return vectors, torch.cat(states)


def encoder_loss():
    vectors, states = encode()
    wanted = torch.tensor(sum(targets, []))
    kept = wanted != NONE
    return F.cross_entropy(states[kept] @ vectors.T, wanted[kept])


def put_encoder():
    put("encoder.shape", numpy.array([D, H, L, V, Z, A], dtype="u4"))
    put("encoder.learned", mask)
    put("input.whitened", whitened)
    put("input.lengths", numpy.array([len(s) for s in sequences], dtype="u4"))
    put("input.items", numpy.array(sum(sequences, []), dtype="u4"))
    put("input.actions", numpy.array(sum(actions, []), dtype="u4"))
    put("input.gaps", numpy.array(sum(gaps, []), dtype="u4"))
    put("input.targets", numpy.array(sum(targets, []), dtype="u4"))
    put("output.states", encode()[1])
    record("encoder", encoder, encoder_loss, 1e-2)


put_encoder()

# The ranker: five behaviours, six candidates, the first of them the positive.
F_COUNT = 12 + H
ranker = {
    "query": weight((D, D)), "key": weight((D, D)),
    "theta": weight((H, 7)), "action": weight((H, A)), "null": weight(H),
    "linear": weight(F_COUNT), "hidden1": weight((HIDDEN, F_COUNT)), "bias1": weight(HIDDEN),
    "hidden2": weight((HIDDEN, HIDDEN)), "bias2": weight(HIDDEN), "out": weight(HIDDEN),
}
feature_mean = weight(F_COUNT).detach()
feature_scale = weight(F_COUNT, 0.1, 1).detach()
value_scale = 0.5
rows = [0, 3, 5, 3, 1]
seconds = [10, 500, 501, 90_000, 90_007]
values = [5.0, 3.0, 4.0, 1.0, 2.0]
behaviour_actions = [1, 2, 1, 1, 0]
candidates = [7, 3, 2, 9, 11, 4]
vectors = weight((V, D), 0.5).detach()
texts = F.normalize(weight((V, K), 1.0).detach(), dim=1)
texts = texts.float().double()
popularity = weight(V, 1.0, 2).detach()
retrieval = weight(len(candidates), 1.0).detach()

# Transitions, counted from these sequences by the formula (see transitions.h).
log = [[0, 3, 7, 2], [5, 3, 2, 9, 11, 4], [1, 4, 3, 7], [3, 3, 9]]
counts = numpy.zeros((V, V))
seen = numpy.zeros(V)
for user in log:
    for i, a in enumerate(user):
        seen[a] += 1
        for gap in range(1, 6):
            if i + gap < len(user) and user[i + gap] != a:
                counts[a, user[i + gap]] += 0.7 ** (gap - 1)
                counts[user[i + gap], a] += 0.5 * 0.7 ** (gap - 1)
with numpy.errstate(divide="ignore"):
    transitions = counts * numpy.where(seen > 0, seen, 1)[:, None] ** -0.25
    transitions = transitions * numpy.where(seen > 0, seen, 1)[None, :] ** -0.1

# EASE over the same sequences, each item of a user once (see ease.h).
RIDGE = 2.0
x = numpy.zeros((len(log), V))
for u, user in enumerate(log):
    x[u, user] = 1
touched = numpy.flatnonzero(seen)
p = numpy.linalg.inv((x.T @ x)[numpy.ix_(touched, touched)] + RIDGE * numpy.eye(len(touched)))
ease = numpy.zeros((V, V))
ease[numpy.ix_(touched, touched)] = -p / numpy.diag(p)[None, :]
numpy.fill_diagonal(ease, 0)
EARLIER = [2, 9, 2]  # behaviours too old to be attended to


def rank():
    w = ranker
    behaviours = vectors[rows]
    chosen = vectors[candidates]
    c = torch.tensor(transitions[rows][:, candidates].T.copy())  # [N, L]
    log_c = torch.where(c > 0, torch.log(c + 1e-4), torch.tensor(math.log(1e-4)))
    cosine = texts[candidates] @ texts[rows].T
    age = torch.arange(len(rows) - 1, -1, -1.0)
    gap = torch.tensor([math.floor(math.log2(1 + seconds[-1] - s)) / 16 for s in seconds])
    v = torch.tensor(values)
    rating = ((v - v.mean()) * value_scale).clamp(-3, 3)
    fixed = (c * 0.6 ** age).sum(1)
    linear = torch.tensor(ease[rows][:, candidates].T.copy())
    similarity = F.normalize(chosen, dim=1) @ F.normalize(behaviours, dim=1).T
    evidence, weights_of = [], []
    for h in range(H):
        part = slice(h * D // H, (h + 1) * D // H)
        q = chosen @ w["query"][part].T
        k = behaviours @ w["key"][part].T
        t = w["theta"][h]
        logits = q @ k.T / math.sqrt(D // H) + t[0] * log_c + t[1] * cosine + t[2] * similarity
        logits = logits + t[3] * 10 * linear + t[4] * age + t[5] * gap + t[6] * rating
        logits = logits + w["action"][h][behaviour_actions]
        with_null = torch.cat([logits, w["null"][h].expand(len(candidates), 1)], 1)
        p = torch.softmax(with_null, 1)[:, :-1]
        evidence.append(torch.logsumexp(with_null, 1) - w["null"][h])
        weights_of.append(p)
    earlier = torch.tensor(ease[EARLIER][:, candidates].sum(0))
    scalars = [retrieval, popularity[candidates], (popularity[candidates] <= 0).double(),
               cosine[:, -1], cosine.max(1).values, cosine.mean(1), torch.log1p(fixed / 0.05),
               linear.sum(1) + earlier, similarity[:, -5:].mean(1), similarity[:, -20:].mean(1),
               similarity.mean(1), (similarity * rating).mean(1)]
    features = (torch.stack(scalars + evidence, 1) - feature_mean) * feature_scale
    x = F.relu(F.linear(features, w["hidden1"], w["bias1"]))
    x = F.relu(F.linear(x, w["hidden2"], w["bias2"]))
    return features @ w["linear"] + x @ w["out"], sum(weights_of) / H


put("ranker.shape", numpy.array([D, H, A, HIDDEN, K, 200], dtype="u4"))
put("ranker.feature_mean", feature_mean)
put("ranker.feature_scale", feature_scale)
put("ranker.value_scale", [value_scale])
put("ranker.action_weights", numpy.ones(A))
put("input.ridge", [RIDGE])
put("input.earlier", numpy.array(EARLIER, dtype="u4"))
put("input.rows", numpy.array(rows, dtype="u4"))
put("input.seconds", numpy.array(seconds, dtype="u4"))
put("input.values", values)
put("input.behaviour_actions", numpy.array(behaviour_actions, dtype="u4"))
put("input.candidates", numpy.array(candidates, dtype="u4"))
put("input.vectors", vectors)
put("input.texts", texts)
put("input.popularity", popularity)
put("input.retrieval", retrieval)
put("input.log_lengths", numpy.array([len(u) for u in log], dtype="u4"))
put("input.log_rows", numpy.array(sum(log, []), dtype="u4"))
put("output.scores", rank()[0])
put("output.attention", rank()[1])
record("ranker", ranker, lambda: F.cross_entropy(rank()[0][None], torch.tensor([0])), 3e-3)

save(sys.argv[1] + "/model.safetensors")

# The encoder again, with gates and relative bias.
arrays = {}
for name, tensor in encoder.items():  # from where Adam left them, as the floats that are stored
    encoder[name] = tensor.detach().float().double().requires_grad_()
for b in range(2):
    for name, shape in [
        ("gate1", (D, D)), ("gate1_bias", D), ("gate2", (D, D)), ("gate2_bias", D),
        ("age_bias", (H, L)), ("gap_bias", (H, 40)),
    ]:
        encoder[f"block{b}.{name}"] = weight(shape)
put("input.encoder_seconds", numpy.array(sum(seconds_of, []), dtype="u4"))
put_encoder()
save(sys.argv[1] + "/gated.safetensors")
