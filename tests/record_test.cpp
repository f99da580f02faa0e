// Claim: an event is kept once, in its place, under its user, with its ids; what cannot be kept is
// refused with a sentence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/db.h"
#include "storage/keys.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

NewEvent with_id(NewEvent event, std::string_view event_id) {
  event.event_id = event_id;
  return event;
}

TEST(Record, KeepsNewestFirstAndEqualTimesNewestArrivalFirst) {
  const StoreDirectory directory;
  const auto db = directory.open();
  record(*db, view("u", "a", 10));
  record(*db, view("u", "b", 30));
  record(*db, view("u", "late", 20));
  record(*db, view("u", "c", 30));
  EXPECT_THAT(items_of(*db, "u"), ElementsAre("c", "b", "late", "a"));
  EXPECT_THAT(db->history().read("u", 2), SizeIs(2));
  EXPECT_THAT(items_of(*db, "nobody"), IsEmpty());
}

TEST(Record, CutsAHistoryToItsNewest) {
  const StoreDirectory directory;
  const auto db = directory.open({.history_events_max = 3});
  for (int i = 0; i < 50; ++i) record(*db, view("u", "i" + std::to_string(i), i));
  EXPECT_THAT(items_of(*db, "u"), ElementsAre("i49", "i48", "i47"));
  EXPECT_EQ(record(*db, view("u", "too-old", 1)), 0U);
  EXPECT_THAT(items_of(*db, "u"), ElementsAre("i49", "i48", "i47"));
}

TEST(Record, FollowsAChangedLimitAfterReopening) {
  const StoreDirectory directory;
  {
    const auto db = directory.open({.history_events_max = 5});
    for (int i = 0; i < 5; ++i) record(*db, view("u", "i" + std::to_string(i), i));
  }
  const auto db = directory.open({.history_events_max = 2});
  EXPECT_THAT(items_of(*db, "u"), ElementsAre("i4", "i3"));
  record(*db, view("u", "new", 9));
  EXPECT_THAT(items_of(*db, "u"), ElementsAre("new", "i4"));
}

TEST(Record, KeepsAnEventIdOnceForItsUser) {
  const StoreDirectory directory;
  const auto db = directory.open();
  EXPECT_EQ(record(*db, with_id(view("u", "a", 1), "e1")), 1U);
  EXPECT_EQ(record(*db, with_id(view("u", "other", 2), "e1")), 0U);
  EXPECT_EQ(record(*db, with_id(view("v", "a", 1), "e1")), 1U);
  EXPECT_EQ(record(*db, with_id(view("u", "a", 1), "e2")), 1U);
  EXPECT_THAT(items_of(*db, "u"), ElementsAre("a", "a"));
}

TEST(Record, KeepsAnEventWithoutIdOnce) {
  const StoreDirectory directory;
  const auto db = directory.open();
  db->catalog().declare_action("rate", 1);
  NewEvent event = view("u", "a", 1);
  event.value = 4;
  EXPECT_EQ(record(*db, event), 1U);
  event.request_id = "a ranking";
  EXPECT_EQ(record(*db, event), 0U) << "the request is not part of what happened";
  event.value = 5;
  EXPECT_EQ(record(*db, event), 1U);
  event.value.reset();
  EXPECT_EQ(record(*db, event), 1U);
  event.action = "rate";
  EXPECT_EQ(record(*db, event), 1U);
  EXPECT_EQ(record(*db, with_id(event, "e")), 1U) << "an id makes it another event";
  EXPECT_EQ(record(*db, event), 0U);
}

TEST(Record, KeepsDuplicatesInsideOneCallOnce) {
  const StoreDirectory directory;
  const auto db = directory.open();
  const std::vector<NewEvent> events{view("u", "a", 1), view("u", "a", 1),
                                     with_id(view("u", "b", 2), "e"),
                                     with_id(view("u", "c", 3), "e"), view("v", "a", 1)};
  EXPECT_EQ(db->record(events), 3U);
  EXPECT_EQ(db->record(events), 0U);
  EXPECT_THAT(items_of(*db, "u"), ElementsAre("b", "a"));
  EXPECT_EQ(db->history().users(), 2);
}

TEST(Record, RecordingAFileTwiceChangesNothingWhenHistoriesOverflow) {
  const StoreDirectory directory;
  const auto db = directory.open({.history_events_max = 4});
  std::vector<NewEvent> events;
  std::vector<std::string> names;
  names.reserve(40);
  for (int i = 0; i < 20; ++i) {
    names.push_back("i" + std::to_string(i));
    events.push_back(view("u", names.back(), i));
    events.push_back(with_id(view("v", names.back(), 100 - i), names.back()));
  }
  db->record(events);
  const auto u = items_of(*db, "u");
  const auto v = items_of(*db, "v");
  EXPECT_THAT(u, ElementsAre("i19", "i18", "i17", "i16"));
  EXPECT_THAT(v, ElementsAre("i0", "i1", "i2", "i3"));
  EXPECT_EQ(db->record(events), 0U);
  EXPECT_EQ(items_of(*db, "u"), u);
  EXPECT_EQ(items_of(*db, "v"), v);
}

TEST(Record, ForgetsTheIdOfAnEventThatLeftTheHistory) {
  const StoreDirectory directory;
  const auto db = directory.open({.history_events_max = 2});
  EXPECT_EQ(record(*db, with_id(view("u", "a", 1), "e1")), 1U);
  EXPECT_EQ(record(*db, with_id(view("u", "b", 2), "e2")), 1U);
  EXPECT_EQ(record(*db, with_id(view("u", "c", 3), "e3")), 1U);
  EXPECT_EQ(record(*db, with_id(view("u", "b", 4), "e2")), 0U);
  EXPECT_EQ(record(*db, with_id(view("u", "d", 4), "e1")), 1U) << "its details were kept for ever";
  EXPECT_EQ(db->history().read_detailed("u", 9).at(0).event_id, "e1");
}

TEST(Record, ReturnsTheIdsOfEvents) {
  const StoreDirectory directory;
  const auto db = directory.open();
  NewEvent event = with_id(view("u", "a", 1), "e1");
  event.request_id = "r1";
  event.value = 2.5;
  record(*db, event);
  record(*db, view("u", "b", 2));
  NewEvent answered = view("u", "c", 3);
  answered.request_id = "r2";
  record(*db, answered);
  const auto events = db->history().read_detailed("u", 10);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].event_id, std::nullopt);
  EXPECT_EQ(events[0].request_id, "r2");
  EXPECT_EQ(events[1].event_id, std::nullopt);
  EXPECT_EQ(events[1].request_id, std::nullopt);
  EXPECT_EQ(events[2].event_id, "e1");
  EXPECT_EQ(events[2].request_id, "r1");
  EXPECT_EQ(events[2].value, 2.5);
  EXPECT_EQ(events[1].value, std::nullopt);
}

TEST(Record, ReadsManyUsersInTheirOrder) {
  const StoreDirectory directory;
  const auto db = directory.open();
  record(*db, view("u", "a", 1));
  record(*db, view("v", "b", 2));
  record(*db, view("v", "a", 3));
  const std::vector<std::string_view> users{"v", "nobody", "u", "v"};
  const auto histories = db->history().read_many(users, 1);
  ASSERT_EQ(histories.size(), 4U);
  EXPECT_EQ(db->catalog().item_id(histories[0].at(0).row), "a");
  EXPECT_THAT(histories[1], IsEmpty());
  EXPECT_EQ(histories[2].at(0).time_ms, 1);
  EXPECT_THAT(histories[3], SizeIs(1));
}

TEST(Record, GivesAnUnknownItemItsRowAndLeavesItAbsent) {
  const StoreDirectory directory;
  std::uint32_t row = 0;
  {
    const auto db = directory.open();
    record(*db, view("u", "later", 1));
    row = db->catalog().row("later").value();
    EXPECT_FALSE(db->catalog().present(row));
    EXPECT_EQ(db->catalog().get(row), std::nullopt);
    EXPECT_EQ(db->catalog().size(), 0);
  }
  const auto db = directory.open();
  EXPECT_EQ(db->catalog().row("later"), row);
  EXPECT_FALSE(db->catalog().present(row));
  const Item put = item("later", "it came");
  EXPECT_THAT(db->catalog().put({&put, 1}).rows, ElementsAre(row));
  EXPECT_TRUE(db->catalog().present(row));
}

TEST(Record, RefusesWhatItCannotKeepAndKeepsNothingOfTheCall) {
  const StoreDirectory directory;
  const auto db = directory.open();
  const std::string long_id(kIdBytesMax + 1, 'x');
  const auto refused = [&](const NewEvent& bad) {
    const std::vector<NewEvent> events{view("u", "a", 1), bad};
    db->record(events);
  };
  NewEvent unknown = view("u", "b", 2);
  unknown.action = "stare";
  EXPECT_THAT([&] { refused(unknown); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("\"stare\"")));
  EXPECT_THAT([&] { refused(view(long_id, "b", 2)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("user id")));
  EXPECT_THAT([&] { refused(view("u", long_id, 2)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("513")));
  EXPECT_THAT([&] { refused(with_id(view("u", "b", 2), long_id)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("event id")));
  EXPECT_THAT([&] { refused(view("", "b", 2)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("empty")));
  EXPECT_THAT(items_of(*db, "u"), IsEmpty());
  EXPECT_EQ(db->history().users(), 0);
  EXPECT_EQ(record(*db, view(long_id.substr(1), long_id.substr(1), 1)), 1U);
}

/// "ann 3" and so on.
std::vector<std::string> look(Db& db, std::string_view prefix, std::size_t limit = 100) {
  std::vector<std::string> lines;
  for (const UserCount& user : db.history().users_with_prefix(prefix, limit)) {
    lines.push_back(user.user_id + " " + std::to_string(user.behaviours));
  }
  return lines;
}

TEST(Record, LooksUsersUpByWhatTheirIdsBeginWith) {
  const StoreDirectory directory;
  {
    const auto db = directory.open({.history_events_max = 5});
    int time = 0;
    const auto act = [&](const std::string& user, int times) {
      for (int i = 0; i < times; ++i) record(*db, view(user, "x" + std::to_string(i), ++time));
    };
    act("bob", 1);
    act("anna", 2);
    act("a\xff\xff", 1);
    act("ann", 9);
    act("Ann", 1);
    // Beside them keys of other kinds.
    db->exposures().append("ann", {"shown", 1, "v1", {0}});
    record(*db, with_id(view("ada", "x", 1), "ann"));
    EXPECT_THAT(look(*db, "ann"), ElementsAre("ann 5", "anna 2"));
    EXPECT_THAT(look(*db, "anna"), ElementsAre("anna 2"));
    EXPECT_THAT(look(*db, "annab"), IsEmpty());
    EXPECT_THAT(look(*db, "a"), ElementsAre("ada 1", "ann 5", "anna 2", "a\xff\xff 1"));
    EXPECT_THAT(look(*db, "a\xff"), ElementsAre("a\xff\xff 1"));
    EXPECT_THAT(look(*db, "", 2), ElementsAre("Ann 1", "ada 1"));
    EXPECT_THAT(look(*db, "c"), IsEmpty());
    db->delete_user("anna");
    EXPECT_THAT(look(*db, "ann"), ElementsAre("ann 5"));
    for (const auto& [user_id, behaviours] : db->history().users_with_prefix("", 100)) {
      EXPECT_EQ(behaviours, db->history().read(user_id, 100).size()) << user_id;
    }
  }
  const auto db = directory.open({.history_events_max = 2});
  EXPECT_THAT(look(*db, "ann"), ElementsAre("ann 2")) << "what is on the disk is longer";
}

TEST(Record, TellsUsersApartWhoseIdsBeginAlike) {
  const StoreDirectory directory;
  const auto db = directory.open({.exposure_days_max = 0});
  const std::vector<std::string> users{"a", "ab", std::string("a\0", 2), "a\xff", "b"};
  for (const std::string& user : users) {
    NewEvent event = with_id(view(user, "x", 1), "e");
    event.request_id = user;
    EXPECT_EQ(record(*db, event), 1U);
    db->exposures().append(user, {"shown", 1, "v1", {0}});
  }
  db->delete_user("a");
  EXPECT_THAT(items_of(*db, "a"), IsEmpty());
  EXPECT_THAT(db->exposures().read("a", 9), IsEmpty());
  for (std::size_t i = 1; i < users.size(); ++i) {
    EXPECT_EQ(db->history().read_detailed(users[i], 9).at(0).request_id, users[i]);
    EXPECT_THAT(db->exposures().read(users[i], 9), SizeIs(1));
  }
  EXPECT_EQ(db->history().users(), 4);
}

}  // namespace
}  // namespace fovea::storage
