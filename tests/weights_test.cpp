// Claim: a weights file is exactly what was written, in the public safetensors layout, or it is
// refused.
#include "ranking/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include "ranking/encoder.h"

namespace fovea::ranking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class WeightsFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "weights_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
    file_ = folder_ / "model.safetensors";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Weights sample() {
    Weights weights;
    weights.metadata()["seed"] = "7";
    weights.put("encoder.items", {3, 2}, {1, -2.5F, 0, 1e-30F, 3e38F, 6});
    weights.put("scale", {}, {4});
    weights.put("none", {0, 5}, {});
    weights.put_ids("rows", {0, 4'294'967'295U, 7});
    weights.put_bytes("words", std::string("a\0\xFF\n", 4));
    return weights;
  }

  std::string read() const {
    std::ifstream in(file_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& bytes) const {
    std::filesystem::remove(file_);  // faster than truncating, which waits for the disk
    std::ofstream(file_, std::ios::binary) << bytes;
  }
  // A file with this header and so many zero bytes of data.
  void write(const std::string& header, std::size_t data_bytes) const {
    const std::uint64_t length = header.size();
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    write(bytes + header + std::string(data_bytes, '\0'));
  }
  std::string refusal() const {
    try {
      Weights::load(file_);
    } catch (const WeightsError& error) {
      EXPECT_THAT(error.what(), HasSubstr(file_.string()));
      return error.what();
    }
    return "";
  }

  std::filesystem::path folder_, file_;
};

TEST_F(WeightsFile, HoldsWhatWasPut) {
  sample().save(file_);
  const Weights weights = Weights::load(file_);
  EXPECT_THAT(weights.metadata(), ElementsAre(std::pair("seed", "7")));
  EXPECT_THAT(weights.floats("encoder.items", {3, 2}), ElementsAre(1, -2.5F, 0, 1e-30F, 3e38F, 6));
  EXPECT_THAT(weights.floats("scale", {}), ElementsAre(4));
  EXPECT_TRUE(weights.floats("none", {0, 5}).empty());
  EXPECT_THAT(weights.ids("rows"), ElementsAre(0, 4'294'967'295U, 7));
  EXPECT_EQ(weights.bytes("words"), std::string_view("a\0\xFF\n", 4));
  EXPECT_TRUE(weights.has("scale"));
  EXPECT_FALSE(weights.has("scales"));
  EXPECT_THAT(weights.shape("encoder.items"), ElementsAre(3, 2));
}

TEST_F(WeightsFile, IsSavedTwiceWithTheSameBytesAndNothingBesideIt) {
  sample().save(file_);
  const std::string first = read();
  Weights::load(file_).save(file_);
  EXPECT_EQ(read(), first);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(WeightsFile, HasThePublicLayout) {
  Weights weights;
  weights.metadata()["k"] = "v";
  weights.put("x", {2}, {1, 2});
  weights.save(file_);
  const std::string bytes = read();
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ((sizeof length + length) % 8, 0U);
  EXPECT_THAT(bytes.substr(sizeof length, length),
              testing::StartsWith(R"({"__metadata__":{"k":"v"},)"
                                  R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"));
  float values[2];
  ASSERT_EQ(bytes.size(), sizeof length + length + sizeof values);
  std::memcpy(values, bytes.data() + sizeof length + length, sizeof values);
  EXPECT_THAT(values, ElementsAre(1, 2));
}

TEST_F(WeightsFile, IsReadWhateverTheOrderAndSpacingOfItsHeader) {
  write(
      "{ \"b\" : {\"data_offsets\":[4,8], \"shape\":[1,1], \"dtype\":\"F32\"},\n"
      "  \"a\\u0031\":{\"dtype\":\"U32\",\"shape\":[1],\"data_offsets\":[0,4]} }   ",
      8);
  const Weights weights = Weights::load(file_);
  EXPECT_THAT(weights.floats("b", {1, 1}), ElementsAre(0));
  EXPECT_THAT(weights.ids("a1"), ElementsAre(0));
}

TEST_F(WeightsFile, IsRefusedWhereverItIsCut) {
  sample().save(file_);
  const std::string whole = read();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write(whole.substr(0, length));
    EXPECT_NE(refusal(), "") << "cut to " << length << " bytes";
  }
  write(whole + '\0');
  EXPECT_NE(refusal(), "");
}

// Whether the reader of every array gets `good`'s values or a refusal.
bool same_or_refused(const Weights& weights, const Weights& good) {
  const auto same = [](auto&& read, const auto& expected) {
    try {
      return std::ranges::equal(read(), expected);
    } catch (const WeightsError&) {
      return true;
    }
  };
  return same([&] { return weights.floats("a", {3, 2}); }, good.floats("a")) &&
         same([&] { return weights.ids("rows"); }, good.ids("rows"));
}

// A changed byte of the data looks like other data: that is for a checksum over the file to see.
TEST_F(WeightsFile, GivesNoOtherArraysForAnyChangedByteOfItsHeader) {
  Weights good;
  good.metadata()["k"] = "v";
  good.put("a", {3, 2}, {1, 2, 3, 4, 5, 6});
  good.put_ids("rows", {7, 8, 9, 10, 11, 12});
  good.save(file_);
  const std::string whole = read();
  std::uint64_t length = 0;
  std::memcpy(&length, whole.data(), sizeof length);
  std::size_t read_on = 0;
  for (std::size_t at = 0; at < sizeof length + length; ++at) {
    // One bit, or any character that means something to JSON.
    std::string others = "\"\\{}[],: 0123456789e.-";
    for (int bit = 0; bit < 8; ++bit) others += static_cast<char>(whole[at] ^ (1 << bit));
    for (const char other : others) {
      if (other == whole[at]) continue;
      std::string changed = whole;
      changed[at] = other;
      write(changed);
      std::optional<Weights> weights;
      try {
        weights = Weights::load(file_);
      } catch (const WeightsError&) {
        continue;
      }
      ++read_on;
      ASSERT_GE(at, sizeof length) << "a changed header length was accepted";
      ASSERT_TRUE(same_or_refused(*weights, good)) << changed.substr(sizeof length, length);
    }
  }
  EXPECT_GT(read_on, 0U) << "the name of an array can change and the file still be one";
}

TEST_F(WeightsFile, NeedsNoMoreThanAFewBytesToBeRefused) {
  for (const std::uint64_t length :
       {std::uint64_t{1} << 20, ~std::uint64_t{0}, std::uint64_t{17} << 20}) {
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    write(bytes + "{}");
    EXPECT_THAT(refusal(), HasSubstr("header"));
  }
  const std::string huge =
      R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})";
  write(huge, 0);
  EXPECT_THAT(refusal(), HasSubstr("'a'"));
  write(R"({"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}})", 8);
  EXPECT_NE(refusal(), "");
  write(R"({"a":{"dtype":"F32","shape":[0,18446744073709551615,3],"data_offsets":[0,0]}})", 0);
  EXPECT_EQ(refusal(), "") << "an empty array may have any other dimension";
}

TEST_F(WeightsFile, IsRefusedWithAReasonForAHeaderThatLies) {
  struct Case {
    const char* header;
    std::size_t data;
    const char* reason;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"[]", 0, "JSON object"},
           {"{", 0, "JSON object"},
           {R"({"a":3})", 0, "exactly dtype"},
           {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", 4, "exactly"},
           {R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", 4, "F16"},
           {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "whole number"},
           {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "whole number"},
           {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "fit its shape"},
           {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "fit its shape"},
           {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "gap"},
           {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
            R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
            4, "overlap"},
           {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
            R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
            4, "twice"},
           {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "twice"},
           {R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
            R"("":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
            0, "twice"},
           {R"({"__metadata__":{"a":1}})", 0, "not text"},
           {R"({"__metadata__":7})", 0, "metadata"},
           {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "another number"},
       }) {
    write(c.header, c.data);
    EXPECT_THAT(refusal(), HasSubstr(c.reason)) << c.header;
  }
}

TEST_F(WeightsFile, IsRefusedWithANumberThatIsNone) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Weights weights;
    weights.put("x", {2}, {0, bad});
    weights.save(file_);
    EXPECT_THAT(refusal(), HasSubstr("'x'"));
  }
}

TEST_F(WeightsFile, IsNamedWhenItIsNotThere) {
  EXPECT_THAT(refusal(), HasSubstr("No such file"));
  file_ = folder_;
  EXPECT_NE(refusal(), "");
}

TEST(Weights, NamesTheArrayThatIsMissingOrOfAnotherKind) {
  Weights weights;
  weights.put("a", {2, 1}, {1, 2});
  EXPECT_THROW(weights.put("b", {3}, {1, 2}), WeightsError);
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const WeightsError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message([&] { weights.floats("z"); }), HasSubstr("'z'"));
  EXPECT_THAT(message([&] { weights.ids("a"); }), HasSubstr("'a'"));
  EXPECT_THAT(message([&] { weights.floats("a", {1, 2}); }), HasSubstr("'a'"));
  EXPECT_THAT(message([&] { weights.shape("z"); }), HasSubstr("'z'"));
}

// An array of width x width is made for what a file of width numbers claims.
TEST(Weights, AnEncoderThatOnlyClaimsToBeWideIsRefusedBeforeRoomIsMadeForIt) {
  constexpr std::uint32_t kWidth = 1'000'000;
  Weights weights;
  EncoderWeights({.width = 2, .heads = 1, .behaviours_max = 1, .whitened_width = 1, .actions = 1})
      .save(weights);
  ASSERT_NO_THROW(EncoderWeights::load(weights));
  weights.put_ids("encoder.shape", {kWidth, 1, 1, 0, 0, 1});
  weights.put("encoder.items", {0, kWidth}, {});
  weights.put("encoder.text", {kWidth, 0}, {});
  for (const char* name : {"encoder.positions", "encoder.actions"}) {
    weights.put(name, {1, kWidth}, std::vector<float>(kWidth));
  }
  EXPECT_THROW(EncoderWeights::load(weights), WeightsError);
}

}  // namespace
}  // namespace fovea::ranking
