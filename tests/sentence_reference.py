#!/usr/bin/env python3
"""A sentence encoder beside the reference: token ids, vectors and milliseconds of the same folder.

    sentence_reference.py FOVEA_SENTENCES FOLDER [--texts FILE] [--time]

FOLDER has the layout of Hugging Face (config.json, vocab.txt, model.safetensors); FOVEA_SENTENCES is the program of
tests/benchmarks/encode_texts.cpp. Needs sentence-transformers, and with --time onnxruntime and onnx; a virtual
environment is the way. Without --texts, 1,000 texts are drawn from a seed: words of the vocabulary, letters of many
scripts, marks, controls, names of special tokens. Ids must be equal and every cosine within 1e-4 of 1.

--time compares nothing and prints the median milliseconds of a query (one text of eight words) and of 64 item texts, on one thread and on
two, of all implementations in turns, round after round.
"""
import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy
import torch
from sentence_transformers import SentenceTransformer

ROUNDS = 3
SCRIPTS = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF),
           (0x900, 0x97F), (0xE00, 0xE7F), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2190, 0x23FF), (0x3040, 0x30FF),
           (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x1F300, 0x1F64F),
           (0x20000, 0x20100)]


def known(letter):
    """Not one of those that Unicode gained after the reference's tables were made. Emoji were there."""
    return unicodedata.ucd_3_2_0.category(letter) != "Cn" or letter >= "\U0001F300"


def draw_texts(vocabulary, n, seed=1):
    draw = random.Random(seed)
    words = [w for w in vocabulary if w.isalpha()]
    texts = []
    for i in range(n):
        if i % 4 == 3:  # any letters
            script = [draw.choice(SCRIPTS) for _ in range(draw.randint(1, 3))]
            letters = (chr(draw.randint(*draw.choice(script + [(0x20, 0x20)]))) for _ in range(draw.randint(1, 120)))
            text = "".join(letter for letter in letters if known(letter))
        else:
            some = []
            for _ in range(400 if i % 50 == 1 else draw.choice([1, 3, 8, 20, 60])):
                word = draw.choice(words)
                word = draw.choice([word, word, word, word.upper(), word.title(), word + draw.choice(words)])
                some.append(word + draw.choice(["", "", "", "", ",", ".", "'s", "-", "\u0301", "!?"]))
            text = draw.choice(["  ", " ", " ", " "]).join(some)
            if i % 40 == 0:
                text += draw.choice([" [SEP] ", "[MASK]", "[CLS]x", "[UNK]", "[pad]"])
        texts.append(text.replace("\n", " ").replace("\r", " "))
    return texts


def ours(program, folder, texts, threads, batch):
    """Ids, vectors and the median milliseconds of a batch."""
    run = subprocess.run([program, folder, str(threads), str(batch)], input="\n".join(texts) + "\n", check=True,
                         capture_output=True, encoding="utf-8")
    ids, vectors = [], []
    for line in run.stdout.splitlines():
        left, right = line.split("\t")
        ids.append([int(x) for x in left.split()])
        vectors.append([float(x) for x in right.split()])
    return ids, numpy.array(vectors), float(run.stderr)


def compare(program, folder, texts):
    torch.set_num_threads(1)  # whose threads spin where the machine is busy
    reference = SentenceTransformer(folder, device="cpu")
    their_ids = reference.tokenizer(texts, truncation=True, max_length=reference.max_seq_length)["input_ids"]
    theirs = reference.encode(texts, normalize_embeddings=True)
    our_ids, vectors, _ = ours(program, folder, texts, 1, 16)
    different = [i for i in range(len(texts)) if our_ids[i] != list(their_ids[i])]
    for i in different[:10]:
        print(f"text {i}, {ascii(texts[i][:80])}:\n  ours   {our_ids[i][:40]}\n  theirs {list(their_ids[i])[:40]}")
    cosines = (vectors * theirs).sum(1)
    print(f"{len(texts)} texts: {len(different)} with other ids; 1 - cosine at most {1 - cosines.min():.2e}; "
          f"largest difference of a channel {abs(vectors - theirs).max():.2e}")
    return not different and cosines.min() > 1 - 1e-4


def export(folder, file):
    """The encoder with mean pooling as ONNX."""
    model = SentenceTransformer(folder, device="cpu")[0]
    bert = getattr(model, "auto_model", None) or model.model
    bert.set_attn_implementation("eager")

    class States(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = bert

        def forward(self, input_ids, attention_mask):
            return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    names = {0: "texts", 1: "tokens"}
    example = torch.ones((2, 8), dtype=torch.long)
    with torch.no_grad():
        torch.onnx.export(States().eval(), (example, example), file, input_names=["input_ids", "attention_mask"],
                          output_names=["states"], opset_version=17, dynamo=False,
                          dynamic_axes={"input_ids": names, "attention_mask": names, "states": names})


def median_ms(encode, texts, batch):
    groups = [texts[i:i + batch] for i in range(0, len(texts), batch)]
    for group in groups:
        encode(group)
    took = []
    for group in groups:
        begin = time.perf_counter()
        encode(group)
        took.append((time.perf_counter() - begin) * 1000)
    return statistics.median(took)


def measure(program, folder, vocabulary):
    import onnxruntime
    draw = random.Random(2)
    words = [w for w in vocabulary[2000:12000] if w.isalpha() and len(w) > 2]
    workloads = {
        "query": (1, [" ".join(draw.choices(words, k=8)) for _ in range(100)]),
        "64 items": (64, [" ".join(draw.choices(words, k=draw.randint(8, 40))) for _ in range(64 * 2)]),
    }
    file = os.path.join(tempfile.mkdtemp(), "encoder.onnx")
    export(folder, file)
    reference = SentenceTransformer(folder, device="cpu")
    tokenizer = reference.tokenizer

    def session(threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def by_onnx(threads):
        run = session(threads)

        def encode(texts):
            tokens = tokenizer(texts, padding=True, truncation=True, max_length=reference.max_seq_length,
                               return_tensors="np")
            mask = tokens["attention_mask"].astype(numpy.int64)
            states = run.run(None, {"input_ids": tokens["input_ids"].astype(numpy.int64), "attention_mask": mask})[0]
            sums = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
            return sums / numpy.linalg.norm(sums, axis=1, keepdims=True)
        return encode

    results = {}
    sessions = {threads: by_onnx(threads) for threads in (1, 2)}
    for _ in range(ROUNDS):
        for name, (batch, texts) in workloads.items():
            for threads in (1, 2):
                torch.set_num_threads(threads)
                turn = {
                    "ours": ours(program, folder, texts, threads, batch)[2],
                    "sentence-transformers": median_ms(
                        lambda group: reference.encode(group, batch_size=64, normalize_embeddings=True,
                                                       show_progress_bar=False), texts, batch),
                    "ONNX Runtime": median_ms(sessions[threads], texts, batch),
                }
                for who, took in turn.items():
                    results.setdefault((name, threads, who), []).append(took)
    for (name, threads, who), took in results.items():
        print(f"{name:9} {threads} thread(s)  {who:22} {statistics.median(took):8.2f} ms "
              f"(of {len(took)} turns, {min(took):.2f} to {max(took):.2f})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--texts", help="a text a line instead of the drawn ones")
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    with open(os.path.join(options.folder, "vocab.txt"), encoding="utf-8") as file:
        vocabulary = file.read().split("\n")
    if options.texts:
        with open(options.texts, encoding="utf-8", newline="\n") as file:
            texts = file.read().splitlines()
    else:
        texts = draw_texts(vocabulary, 1000)
    if options.time:
        measure(options.program, options.folder, vocabulary)
        return 0
    return 0 if compare(options.program, options.folder, texts) else 1


if __name__ == "__main__":
    sys.exit(main())
