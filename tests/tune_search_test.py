"""Queries of users from files to figures and settings, through the program: tune_search_test.py FOVEA"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()
KINDS = {"soup": "broth spoon", "trains": "steam railway", "music": "violin tune"}


def run(*arguments, code=0):
    done = subprocess.run([FOVEA, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (arguments, done)
    return done.stdout if code == 0 else done.stderr


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


class TuneSearch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        at = cls.at = pathlib.Path(cls.directory.name)
        draw = random.Random(1)
        items = [
            {"item_id": f"{kind}-{i}", "text": f"{kind} {words} shared w{i}"}
            for kind, words in KINDS.items()
            for i in range(20)
        ]
        kinds = list(KINDS)
        events, queries, qrels = [], [], []
        for user in range(60):
            kind = kinds[user % 3]
            for i, number in enumerate(draw.sample(range(20), 8)):
                event = {"user_id": f"u-{user}", "item_id": f"{kind}-{number}", "action": "buy"}
                events.append(event | {"time_ms": 1_760_000_000_000 + i * 60_000})
            # Every text has the word; who asks says which is meant.
            queries.append({"query_id": str(user), "text": "shared", "user_id": f"u-{user}"})
            queries[-1]["time_ms"] = events[-1]["time_ms"]
            qrels.append(f"{user}\t0\t{events[-1]['item_id']}\t1\n")
        cls.queries = write_lines(at / "queries.jsonl", queries)
        cls.qrels = at / "qrels.tsv"
        cls.qrels.write_text("".join(qrels))
        cls.data = at / "shop"
        run("import", "--data", cls.data, "--items", write_lines(at / "items.jsonl", items), "--events",
            write_lines(at / "events.jsonl", events))
        run("train", "--data", cls.data, "--split", "leave-one-out", "--force", "--threads", "2")

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def judged(self, command, *arguments):
        return run(command, "--data", self.data, "--queries", self.queries, "--qrels", self.qrels, *arguments)

    def test_a_query_of_a_user_is_ranked_for_them(self):
        measured = json.loads(self.judged("evaluate", "--json"))
        self.assertEqual(measured["queries"], 60)
        self.assertEqual(measured["with_history"], 60)
        for stage in ("words", "vectors", "fused", "ranked"):
            self.assertEqual(set(measured[stage]), {"ndcg@10", "recall@100", "mrr"})
        self.assertGreater(measured["ranked"]["mrr"], 1.5 * measured["fused"]["mrr"])
        weighed = json.loads(self.judged("evaluate", "--json", "--query-attention", "8"))
        self.assertEqual(weighed["fused"], measured["fused"])
        self.assertIn("ranked", self.judged("evaluate"))

    def test_a_tuning_says_what_it_measured_and_what_to_do(self):
        tuned = json.loads(self.judged("tune-search", "--json"))
        measured = json.loads(self.judged("evaluate", "--json"))
        self.assertEqual(tuned["measured"], "ranked")
        self.assertAlmostEqual(tuned["now"]["ndcg@10"], measured["ranked"]["ndcg@10"])
        best = tuned["best"]
        flags = ["--words-weight", str(best["words_weight"]), "--vectors-weight", str(best["vectors_weight"]),
                 "--query-attention", str(best["query_attention"])]
        again = json.loads(self.judged("evaluate", "--json", *flags))
        self.assertAlmostEqual(again["ranked"]["ndcg@10"], best["ndcg@10"])
        told = self.judged("tune-search")
        self.assertIn("60 queries, 5 folds", told)
        self.assertEqual("[server]" in told, tuned["recommended"])

    def test_what_is_wrong_is_said_in_a_sentence(self):
        bad = self.at / "bad.jsonl"
        bad.write_text('{"query_id": "1", "text": "soup", "time_ms": 5}\n')
        for command in ("evaluate", "tune-search"):
            said = run(command, "--data", self.data, "--queries", bad, "--qrels", self.qrels, code=1)
            self.assertIn("bad.jsonl:1", said)
            self.assertIn("user_id", said)
        few = self.at / "few.jsonl"
        few.write_text('{"query_id": "1", "text": "soup"}\n')
        self.assertIn("at least 25", run("tune-search", "--data", self.data, "--queries", few, "--qrels", self.qrels, code=1))
        run("tune-search", "--data", self.data, "--queries", few, code=2)


if __name__ == "__main__":
    unittest.main()
