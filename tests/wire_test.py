"""Every method of the contract, every field that is refused, and 1,000 times the effect of a record on the next rank,
through a Python client that Thrift generates: wire_test.py FOVEA"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import thrift_client
from thrift.Thrift import TApplicationException

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()


def setUpModule():
    global scratch, server
    scratch = tempfile.TemporaryDirectory()
    directory = pathlib.Path(scratch.name)
    thrift_client.generate(directory)
    items, events = thrift_client.write_shop(directory)
    data = directory / "data"
    subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)
    subprocess.run([FOVEA, "train", "--data", data], check=True)
    server = thrift_client.Server(FOVEA, data)


def tearDownModule():
    code = server.stop()
    scratch.cleanup()
    assert code == 0, f"the server ended with {code}:\n" + "".join(server.log)


class Methods(unittest.TestCase):
    def each_protocol(self):
        for protocol in thrift_client.FACTORIES:
            for framed in (True, False):
                with self.subTest(protocol=protocol, framed=framed):
                    yield server.connect(protocol, framed)

    def test_status(self):
        for client in self.each_protocol():
            status = client.status()
            self.assertTrue(status.ready)
            self.assertTrue(status.model_version)
            self.assertGreaterEqual(status.items, 60)
            self.assertGreaterEqual(status.users, 30)
            self.assertEqual(status.device, "cpu")

    def test_rank(self):
        from fovea_api.ttypes import RankRequest

        for client in self.each_protocol():
            response = client.rank(RankRequest(user_id="u1", limit=10, explain=True))
            self.assertEqual(len(response.items), 10)
            self.assertFalse(response.degraded)
            scores = [item.score for item in response.items]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertIsNotNone(response.items[0].explanation)
            seen = {event.item_id for event in client.getHistory("u1", 1000)}
            self.assertFalse(seen & {item.item_id for item in response.items})

    def test_rank_by_each_field(self):
        from fovea_api.ttypes import Event, RankRequest

        for client in self.each_protocol():
            for request in (
                RankRequest(session=[Event(user_id="", item_id="i1", action="view")]),
                RankRequest(query="violin"),
                RankRequest(seed_items=["i2"]),
                RankRequest(user_id="nobody"),
                RankRequest(user_id="u1", exclude_items=["i1"], include_seen=True),
            ):
                self.assertEqual(len(client.rank(request).items), 20, request)
            ranked = client.rank(RankRequest(candidates=["i3", "i4", "unknown"], user_id="nobody"))
            self.assertEqual({item.item_id for item in ranked.items}, {"i3", "i4"})
            found = client.getItems([item.item_id for item in client.rank(RankRequest(query="violin", limit=5)).items])
            self.assertTrue(all("violin" in item.text for item in found), found)

    def test_a_search_tells_of_its_words(self):
        from fovea_api.ttypes import RankRequest

        for client in self.each_protocol():
            found = client.rank(RankRequest(query="voilin ", limit=3, explain=True))
            self.assertEqual(found.corrected_query, "violin ")
            for item in found.items:
                self.assertEqual(item.explanation.matched_words, ["violin"])
                self.assertLessEqual(abs(item.explanation.similarity), 1.001)
            plain = client.rank(RankRequest(user_id="u1", limit=3, explain=True))
            self.assertIsNone(plain.corrected_query)
            self.assertIsNone(plain.items[0].explanation.matched_words)
            self.assertIsNone(plain.items[0].explanation.similarity)

    def test_rank_many(self):
        from fovea_api.ttypes import RankRequest

        for client in self.each_protocol():
            responses = client.rankMany([RankRequest(user_id=f"u{n}", limit=n + 1) for n in range(5)])
            self.assertEqual([len(response.items) for response in responses], [1, 2, 3, 4, 5])

    def test_record_and_history(self):
        from fovea_api.ttypes import Event

        for n, client in enumerate(self.each_protocol()):
            event = Event("ann", "i7", "view", 1_800_000_000_000 + n, 1.5, f"ann-{n}", "request")
            self.assertEqual(client.record([event]), 1)
            self.assertEqual(client.record([event]), 0)
            self.assertEqual(client.getHistory("ann", 1), [event])

    def test_items(self):
        from fovea_api.ttypes import Item, RankRequest, Value

        for n, client in enumerate(self.each_protocol()):
            item = Item(
                f"new-{n}",
                "a träin of dragons",
                {"year": Value(number=1999), "kind": Value(text="x"), "new": Value(flag=True), "l": Value(texts=["a"])},
            )
            self.assertEqual(client.putItems([item]), 1)
            self.assertEqual(client.getItems(["absent", item.item_id]), [item])
            candidates = RankRequest(candidates=[item.item_id])
            self.assertEqual(len(client.rank(candidates).items), 1)
            self.assertEqual(client.removeItems([item.item_id, "absent"]), 1)
            self.assertEqual(client.getItems([item.item_id]), [])
            self.assertEqual(client.rank(candidates).items, [])

    def test_delete_user(self):
        from fovea_api.ttypes import Event

        for client in self.each_protocol():
            client.record([Event("gone", "i1", "view")])
            client.deleteUser("gone")
            self.assertEqual(client.getHistory("gone", 10), [])


class Refusals(unittest.TestCase):
    def refused(self, field, call):
        from fovea_api.ttypes import InvalidRequest

        with self.assertRaises(InvalidRequest) as caught:
            call()
        self.assertEqual(caught.exception.field, field)
        self.assertTrue(caught.exception.message)

    def test_an_experiment_that_is_not_declared_and_values_out_of_range(self):
        from fovea_api.ttypes import RankRequest

        client = server.connect()
        for field, value in {"deadline_ms": 0, "variants": {"experiment": "b"}}.items():
            self.refused(field, lambda: client.rank(RankRequest(user_id="u1", **{field: value})))

    def test_rules_that_cannot_be_followed(self):
        from fovea_api.ttypes import Boost, Cap, Pin, RankRequest

        client = server.connect()
        for field, rule in {
            "filter": {"filter": "kind = "},
            "boosts[0].filter": {"boosts": [Boost("kind", 1.0)]},
            "pins[0].position": {"pins": [Pin("i1", -1)]},
            "caps[0].at_most": {"caps": [Cap("kind", 0)]},
            "diversity": {"diversity": 1.5},
            "page_token": {"page_token": "next"},
        }.items():
            self.refused(field, lambda: client.rank(RankRequest(user_id="u1", **rule)))

    def test_rules_are_followed(self):
        from fovea_api.ttypes import Cap, Pin, RankRequest

        client = server.connect()
        request = RankRequest(user_id="u1", limit=5, filter="not has(nothing)", pins=[Pin("i3", 1)],
                              caps=[Cap("kind", 3)], diversity=0.3)
        shown = []
        for _ in range(3):
            response = client.rank(request)
            shown += [item.item_id for item in response.items]
            request.page_token = response.next_page_token
        self.assertEqual(len(shown), 15)
        self.assertEqual(len(set(shown)), 15)
        self.assertEqual(shown[1], "i3")
        self.assertEqual(client.rank(RankRequest(user_id="u1", filter="has(nothing)")).items, [])

    def test_mistakes(self):
        from fovea_api.ttypes import Event, Item, RankRequest

        client = server.connect()
        self.refused("limit", lambda: client.rank(RankRequest(user_id="u1", limit=0)))
        self.refused("limit", lambda: client.rank(RankRequest(user_id="u1", limit=100_000)))
        self.refused("user_id", lambda: client.rank(RankRequest()))
        self.refused("user_id", lambda: client.rank(RankRequest(user_id="u" * 513)))
        self.refused("events[0].action", lambda: client.record([Event("u1", "i1", "undeclared")]))
        self.refused("events[0].value", lambda: client.record([Event("u1", "i1", "view", value=float("nan"))]))
        self.refused("items[0].item_id", lambda: client.putItems([Item("")]))
        self.refused("limit", lambda: client.getHistory("u1", 0))
        self.refused("user_id", lambda: client.deleteUser(""))

    def test_invalid_utf8(self):
        from fovea_api.ttypes import RankRequest

        # The accelerated protocol insists on text; the plain one sends what it is given.
        client = server.connect("binary")
        iprot = client._oprot
        original = iprot.writeString
        iprot.writeString = lambda text: iprot.writeBinary(b"\xff\xfe" if text == "broken" else text.encode())
        try:
            self.refused("user_id", lambda: client.rank(RankRequest(user_id="broken")))
        finally:
            iprot.writeString = original

    def test_required_field_left_out(self):
        from fovea_api.ttypes import Event

        client = server.connect()
        with self.assertRaises(TApplicationException) as caught:
            client.record([Event("u1", None, "view")])
        self.assertEqual(caught.exception.type, TApplicationException.PROTOCOL_ERROR)


class Effect(unittest.TestCase):
    def test_a_rank_after_a_record_shows_its_effect_every_time(self):
        from fovea_api.ttypes import Event, RankRequest

        recorder, ranker = server.connect(), server.connect("compact accelerated")
        for n in range(1000):
            # A user has at most 30 events, so that there are always items left to recommend.
            user = f"effect-{n // 30}"
            request = RankRequest(user_id=user, limit=1)
            top = ranker.rank(request).items[0].item_id
            self.assertEqual(recorder.record([Event(user, top, "view", event_id=f"e{n}")]), 1)
            self.assertNotEqual(ranker.rank(request).items[0].item_id, top, f"try {n}")
            self.assertEqual(ranker.getHistory(user, 1)[0].event_id, f"e{n}", f"try {n}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
