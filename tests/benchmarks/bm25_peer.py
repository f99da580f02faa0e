"""BM25 by another implementation, bm25s with PyStemmer's English stems and its stop words, over the texts and judged
queries that `fovea evaluate --queries --qrels` reads: bm25_peer.py ITEMS QUERIES QRELS

Prints ndcg@10 (linear gains), recall@100 and mrr, means over the queries with a relevant item, as evaluate does. It is no
part of the tests: bm25s and PyStemmer come from PyPI."""

import json
import math
import sys

import bm25s
import Stemmer


def json_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def judged(path):
    """Grades above 0 by query and item."""
    grades = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            query, _, item, grade = line.split()
            if float(grade) > 0:
                grades.setdefault(query, {})[item] = float(grade)
    return grades


def metrics(found, grades):
    """Of item ids, best first."""
    gain = lambda values: sum(value / math.log2(place + 2) for place, value in enumerate(values))
    best = gain(sorted(grades.values(), reverse=True)[:10])
    first = next((place + 1 for place, item in enumerate(found) if item in grades), math.inf)
    return (
        gain([grades.get(item, 0) for item in found[:10]]) / best,
        sum(item in grades for item in found[:100]) / len(grades),
        1 / first,
    )


def main():
    items_path, queries_path, qrels_path = sys.argv[1:]
    items = [item for item in json_lines(items_path) if item.get("text")]
    grades = judged(qrels_path)
    queries = [query for query in json_lines(queries_path) if query["query_id"] in grades]
    words = lambda texts: bm25s.tokenize(texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
    ids = [item["item_id"] for item in items]
    for method in ("lucene", "robertson"):
        index = bm25s.BM25(method=method, k1=1.2, b=0.75)
        index.index(words([item["text"] for item in items]), show_progress=False)
        found, _ = index.retrieve(words([query["text"] for query in queries]), corpus=ids, k=len(ids), show_progress=False)
        every = [metrics(list(row), grades[query["query_id"]]) for row, query in zip(found, queries)]
        means = [sum(column) / len(every) for column in zip(*every)]
        print(f"{method}, {len(every)} queries: ndcg@10 {means[0]:.4f}  recall@100 {means[1]:.4f}  mrr {means[2]:.4f}")


if __name__ == "__main__":
    main()
