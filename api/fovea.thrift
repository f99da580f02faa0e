/**
 * Fovea's wire contract. Names and field ids do not change; fields, methods and comments may be added.
 *
 * The JSON forms (HTTP, batch files, `fovea import`) use the same field names. A Value is written in JSON as a
 * plain string, number, boolean or list of strings; binary and union wrappers never appear in JSON.
 */
namespace cpp fovea.api
namespace py fovea_api
namespace java io.fovea.api
namespace go fovea
namespace js fovea

/** Milliseconds since the Unix epoch, UTC. */
typedef i64 TimeMs

union Value {
  1: string text
  2: double number
  3: bool flag
  4: list<string> texts
}

struct Item {
  1: required string item_id
  2: optional string text                        // what the text encoder reads
  3: optional map<string, Value> attributes      // what filters, boosts and caps look at
  4: optional list<double> embedding             // used instead of encoding `text`; the model's text width
}

/** One behaviour of one user. */
struct Event {
  1: required string user_id
  2: required string item_id
  3: required string action                      // one that the configuration declares, with its weight
  4: optional TimeMs time_ms                     // absent: when the server received it
  5: optional double value                       // a rating, a price, seconds watched
  6: optional string event_id                    // the same id is recorded once
  7: optional string request_id                  // the ranking that this behaviour answers
}

/** Added to the score (a logit) of every item that matches the filter. Negative buries. */
struct Boost {
  1: required string filter
  2: required double add
}

struct Pin {
  1: required string item_id
  2: required i32 position                       // 0 is the top
}

/** At most this many items of a page share one value of the attribute. */
struct Cap {
  1: required string attribute
  2: required i32 at_most
}

/** One request shape for recommending, searching, "more like this" and reranking. At least one of user_id, session,
 *  query, seed_items or candidates is set; what is set combines. */
struct RankRequest {
  1: optional string user_id                     // whose stored behaviours are attended to
  2: optional list<Event> session                // behaviours to use on top of the stored ones; not stored
  3: optional string query                       // free text: search
  4: optional list<string> seed_items            // more like these
  5: optional list<string> candidates            // rank exactly these; nothing is retrieved
  6: optional i32 limit = 20                     // 1 .. 1000
  7: optional string filter                      // e.g. genre = 'Comedy' and year >= 1990
  8: optional list<string> exclude_items
  9: optional bool include_seen = false          // false: items the user acted on are left out
  10: optional list<Boost> boosts
  11: optional list<Pin> pins
  12: optional list<Cap> caps
  13: optional double diversity = 0              // 0 .. 1, maximal marginal relevance on item vectors
  14: optional i32 deadline_ms                   // absent: the server's default
  15: optional bool explain = false
  16: optional string page_token                 // from the response before: the next page, nothing repeated
  17: optional map<string, string> variants      // force experiment -> variant, for tests and previews
  18: optional string traceparent                // W3C trace context, copied to logs
  19: optional bool preview = false              // look without leaving a trace: no exposure is written, no trial
}

/** How much of the attention the ranker paid to one behaviour; weights of one item sum to at most 1. */
struct Attention {
  1: required string item_id
  2: required string action
  3: required TimeMs time_ms
  4: required double weight
}

struct Explanation {
  1: required list<Attention> attention          // heaviest first
  2: required map<string, double> parts          // named terms that add up to the score
  3: required list<string> rules                 // boosts, pins and caps that moved it
  4: optional i32 rank_without_top_event         // its position had the heaviest behaviour not happened
  5: optional list<string> matched_words         // with a query: its words as they stand in the item's text
  6: optional double similarity                  // with a query: cosine of the item's text to it, -1 .. 1
}

struct RankedItem {
  1: required string item_id
  2: required double score
  3: required string source                      // vectors | words | popular | candidate | pin
  4: optional Explanation explanation
}

struct RankResponse {
  1: required string request_id
  2: required list<RankedItem> items             // best first
  3: required string model_version
  4: required bool degraded                      // a stage was cut short; still a usable list
  5: optional string degraded_reason
  6: required map<string, string> variants       // experiment -> variant that served this
  7: optional string next_page_token
  8: required map<string, i64> stage_us          // microseconds by stage
  9: optional list<string> unknown_candidates    // of the request's candidates, those that no item has
  10: optional string corrected_query            // searched for instead, where words that no text has were corrected
}

struct Status {
  1: required string version
  2: required string model_version               // empty: no model yet
  3: required string device                      // cpu, or the GPU's name
  4: required i64 items
  5: required i64 users
  6: required i64 uptime_ms
  7: required bool ready
  8: optional string faiss                       // which build of Faiss searches, for people
}

exception InvalidRequest {
  1: required string field                       // the offending field's name
  2: required string message
}

exception Overloaded {
  1: required string message
  2: required i32 retry_after_ms
}

exception Unavailable {
  1: required string message
}

service Fovea {
  RankResponse rank(1: RankRequest request)
      throws (1: InvalidRequest invalid, 2: Overloaded overloaded, 3: Unavailable unavailable)

  /** One response per request, in order; a request that is invalid fails the whole call. */
  list<RankResponse> rankMany(1: list<RankRequest> requests)
      throws (1: InvalidRequest invalid, 2: Overloaded overloaded, 3: Unavailable unavailable)

  /** Returns once every event is durable. The next rank for the user sees them. Returns how many were new. */
  i32 record(1: list<Event> events)
      throws (1: InvalidRequest invalid, 2: Overloaded overloaded, 3: Unavailable unavailable)

  /** Adds or replaces items; returns once durable and retrievable. */
  i32 putItems(1: list<Item> items)
      throws (1: InvalidRequest invalid, 2: Overloaded overloaded, 3: Unavailable unavailable)

  /** Returns how many existed. A removed item is never ranked again, not even from a page token. */
  i32 removeItems(1: list<string> item_ids)
      throws (1: InvalidRequest invalid, 2: Overloaded overloaded, 3: Unavailable unavailable)

  /** Items that exist, in the order asked; the absent are left out. */
  list<Item> getItems(1: list<string> item_ids)
      throws (1: InvalidRequest invalid, 3: Unavailable unavailable)

  /** Newest first. */
  list<Event> getHistory(1: string user_id, 2: i32 limit)
      throws (1: InvalidRequest invalid, 3: Unavailable unavailable)

  /** Erases every trace of the user: behaviours, exposures, caches. */
  void deleteUser(1: string user_id)
      throws (1: InvalidRequest invalid, 3: Unavailable unavailable)

  Status status()
}
