"""A log of queries from a log of behaviours, for `fovea evaluate --queries` and `fovea tune-search`: who acted on an item
is taken to have searched for some words of it just before, and that item is what is relevant. query_log.py ITEMS EVENTS
USERS OUT [--attribute NAME] [--words N] [--queries N] [--seed S], where USERS is what `fovea evaluate --users` wrote, one held-out item
a user. OUT.queries.jsonl and OUT.qrels.tsv are written. Words are those that at least 20 items have, so that a query
names a kind and not an item: of the item's text, or of the attribute alone. Users whose item has no such word are left
out; of the others, --queries are drawn."""

import argparse
import collections
import json
import random
import re

ITEMS_MIN = 20


def lines(path):
    with open(path) as file:
        for line in file:
            yield json.loads(line)


def words_of(item, attribute):
    value = item.get("attributes", {}).get(attribute, []) if attribute else item.get("text", "")
    text = " ".join(value) if isinstance(value, list) else str(value)
    return sorted(set(re.findall(r"[^\W\d_][\w'-]{2,}", text.lower())))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("items", "events", "users", "out"):
        parser.add_argument(name)
    parser.add_argument("--attribute")
    parser.add_argument("--words", type=int, default=2)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    words = {item["item_id"]: words_of(item, options.attribute) for item in lines(options.items)}
    items_with = collections.Counter(word for of_item in words.values() for word in of_item)
    times = {(event["user_id"], event["item_id"]): event["time_ms"] for event in lines(options.events)}
    draw = random.Random(options.seed)
    asked = []
    for user in lines(options.users):
        known = [word for word in words[user["item_id"]] if items_with[word] >= ITEMS_MIN]
        if known:
            asked.append((user["user_id"], user["item_id"], draw.sample(known, min(options.words, len(known)))))
    asked = draw.sample(asked, min(options.queries, len(asked)))
    with open(f"{options.out}.queries.jsonl", "w") as queries, open(f"{options.out}.qrels.tsv", "w") as qrels:
        for user_id, item_id, text in asked:
            query = {"query_id": user_id, "text": " ".join(text)}
            query |= {"user_id": user_id, "time_ms": times[user_id, item_id]}
            queries.write(json.dumps(query) + "\n")
            qrels.write(f"{user_id}\t0\t{item_id}\t1\n")
    print(f"{len(asked)} queries")


if __name__ == "__main__":
    main()
