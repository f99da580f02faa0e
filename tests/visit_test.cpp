// The demo's visit: over a real socket, one behaviour is recorded and what it changed is shown.
#include "api/visit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "api/client.h"
#include "api/server.h"
#include "shop.h"

namespace fovea::api {
namespace {

using testing::HasSubstr;
using testing::Not;

class Visit : public testing::Test {
 protected:
  Visit() {
    {
      const auto engine = shop_.open();
      shop_.stock(*engine);
      shop_.publish(shop_.learned_version(engine->db()));
    }
    engine_ = shop_.open();
    ServerOptions options;
    options.port = 0;
    server_.emplace(*engine_, options);
    server_->start();
  }

  std::string visit(const std::string& user, const std::vector<std::string>& items) {
    Client client({"127.0.0.1", server_->port()});
    std::ostringstream out;
    show_visit(out, client, user, items);
    return out.str();
  }

  engine::Shop shop_;
  std::unique_ptr<engine::Engine> engine_;
  std::optional<Server> server_;
};

TEST_F(Visit, RecordsOneBehaviourAndShowsTheListBeforeAndAfterAndWhy) {
  const auto before = engine_->get_history("user-0", 1000);
  const std::string text = visit("user-0", {engine::Shop::id(1, 3), engine::Shop::id(2, 4)});
  const auto after = engine_->get_history("user-0", 1000);
  ASSERT_EQ(after.size(), before.size() + 1);
  EXPECT_THAT(after.front().item_id,
              testing::AnyOf(engine::Shop::id(1, 3), engine::Shop::id(2, 4)));
  EXPECT_EQ(after.front().action, "view");

  EXPECT_THAT(text, HasSubstr("user-0 lately:"));
  EXPECT_THAT(text, HasSubstr("user-0's list:"));
  EXPECT_THAT(text, HasSubstr("records one more \"view\""));
  EXPECT_THAT(text, HasSubstr("user-0's list at once afterwards:\n  now  was\n"));
  EXPECT_THAT(text, HasSubstr("Why \""));
  EXPECT_THAT(text, HasSubstr("% of the attention on"));
  EXPECT_THAT(text, HasSubstr("score "));
  EXPECT_THAT(text, HasSubstr("dragons fantasy winged"));
}

TEST_F(Visit, NothingIsRecordedWhenEverythingOfferedIsSeen) {
  const auto before = engine_->get_history("user-0", 1000);
  const std::string text = visit("user-0", {before.front().item_id});
  EXPECT_EQ(engine_->get_history("user-0", 1000).size(), before.size());
  EXPECT_THAT(text, Not(HasSubstr("records")));
}

TEST_F(Visit, AUserWithoutBehavioursIsNamed) {
  EXPECT_THAT([&] { visit("nobody", {engine::Shop::id(0, 0)}); },
              testing::ThrowsMessage<std::runtime_error>(HasSubstr("nobody has no behaviours")));
}

}  // namespace
}  // namespace fovea::api
