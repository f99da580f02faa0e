// Who may change the store where there is a token file: every method of the contract and every
// path, over real sockets; and what a token file must be like.
#include "api/tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "api/client.h"
#include "api/http_server.h"
#include "api/server.h"
#include "tests/certificates.h"
#include "tests/messages.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace fs = std::filesystem;
using asio::ip::tcp;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Response = http::response<http::string_body>;

constexpr const char* kToken = "0123456789abcdef";
constexpr const char* kOther = "a second token, no";

/// A file that nobody else can read.
class TokenFile {
 public:
  explicit TokenFile(const std::string& text) {
    std::string name = (fs::temp_directory_path() / "fovea_tokens_XXXXXX").string();
    const int file = mkstemp(name.data());
    if (file < 0) throw std::runtime_error("no temporary file");
    close(file);
    path = name;
    std::ofstream(path) << text;
  }
  ~TokenFile() { fs::remove(path); }
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;

  fs::path path;
};

// What each method of the contract is taken for. A method or a path that is missing here fails the
// test: whoever adds one says whether it changes the store.
const std::map<std::string, Access> kMethods = {
    {"rank", Access::kReads},       {"rankMany", Access::kReads},      {"record", Access::kChanges},
    {"putItems", Access::kChanges}, {"removeItems", Access::kChanges}, {"getItems", Access::kReads},
    {"getHistory", Access::kReads}, {"deleteUser", Access::kChanges},  {"status", Access::kReads},
};
const std::map<std::string, Access> kPaths = {
    {"/livez", Access::kReads},        {"/readyz", Access::kReads},
    {"/metrics", Access::kReads},      {"/v1/status", Access::kReads},
    {"/v1/rank", Access::kReads},      {"/v1/rankMany", Access::kReads},
    {"/v1/events", Access::kChanges},  {"/v1/items", Access::kChanges},
    {"/v1/items/get", Access::kReads}, {"/v1/items/remove", Access::kChanges},
    {"/v1/history", Access::kReads},   {"/v1/users/delete", Access::kChanges},
};

/// The methods of the service, as api/fovea.thrift declares them.
std::set<std::string> methods_of_the_contract() {
  std::ifstream file(std::string(FOVEA_SOURCE_DIR) + "/api/fovea.thrift");
  std::stringstream text;
  text << file.rdbuf();
  std::string service = text.str();
  service.erase(0, service.find("service Fovea {"));
  service = std::regex_replace(service, std::regex(R"(/\*[^]*?\*/|//[^\n]*)"), "");
  static const std::regex kMethod(R"(\n\s*[\w<>, ]+\s+(\w+)\()");
  std::set<std::string> methods;
  for (std::sregex_iterator it(service.begin(), service.end(), kMethod), end; it != end; ++it) {
    methods.insert((*it)[1]);
  }
  return methods;
}

/// A call of a method without a single argument.
std::string empty_call(const std::string& method) {
  const auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  apache::thrift::protocol::TBinaryProtocol writer(memory);
  writer.writeMessageBegin(method, apache::thrift::protocol::T_CALL, 1);
  writer.writeFieldStop();
  writer.writeMessageEnd();
  return framed(memory->getBufferAsString());
}

class TokensTest : public testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    options.port = 0;
    options.threads = 1;
    options.tokens = std::make_shared<const Tokens>(Tokens::read(file.path));
    thrift.emplace(service, options);
    thrift->start();
    web.emplace(service, [] { return std::string("a_metric 1\n"); }, options);
    web->start();
  }

  std::string call(const std::string& method) const {
    asio::io_context io;
    tcp::socket socket(io);
    socket.connect({asio::ip::address_v4::loopback(), thrift->port()});
    asio::write(socket, asio::buffer(empty_call(method)));
    std::array<unsigned char, kFrameHeaderBytes> header{};
    asio::read(socket, asio::buffer(header));
    std::string payload((std::size_t{header[2]} << 8) + header[3], '\0');
    asio::read(socket, asio::buffer(payload));
    return payload;
  }

  Response ask(http::verb method, const std::string& path,
               const std::optional<std::string>& authorization = std::nullopt,
               const std::string& body = "{}") const {
    asio::io_context io;
    tcp::socket socket(io);
    socket.connect({asio::ip::address_v4::loopback(), web->port()});
    http::request<http::string_body> request(method, path, 11);
    request.set(http::field::host, "localhost");
    if (authorization) request.set(http::field::authorization, *authorization);
    if (method == http::verb::post) {
      request.set(http::field::content_type, "application/json");
      request.body() = body;
    }
    request.prepare_payload();
    http::write(socket, request);
    beast::flat_buffer buffer;
    Response response;
    http::read(socket, buffer, response);
    return response;
  }
  Response ask(const std::string& path, const std::optional<std::string>& authorization) const {
    const Response posted = ask(http::verb::post, path, authorization);
    return posted.result_int() == 405 ? ask(http::verb::get, path, authorization) : posted;
  }
  /// Those that the port itself tells of.
  std::set<std::string> paths() const {
    const Response answer = ask(http::verb::get, "/");
    const auto error = boost::json::parse(answer.body()).at("error").at("message").as_string();
    const std::string text(error.c_str());
    static const std::regex kPath(R"((/[\w/]+)(, |$))");
    std::set<std::string> found;
    for (std::sregex_iterator it(text.begin(), text.end(), kPath), end; it != end; ++it) {
      found.insert((*it)[1]);
    }
    return found;
  }

  FoveaNull service;
  TokenFile file{std::string("# of the importer\n\n  ") + kToken + "\r\nanother-token-of-ours\n"};
  std::optional<Server> thrift;
  std::optional<HttpServer> web;
};

template <typename Value>
std::set<std::string> keys(const std::map<std::string, Value>& map) {
  std::set<std::string> result;
  for (const auto& [key, value] : map) result.insert(key);
  return result;
}

TEST_F(TokensTest, OverThriftEveryMethodThatChangesTheStoreIsRefusedToTheUnknown) {
  ASSERT_EQ(methods_of_the_contract(), keys(kMethods));
  start();
  for (const auto& [method, access] : kMethods) {
    const auto refused = HasSubstr("allows over Thrift only to clients with a certificate");
    if (access == Access::kChanges) {
      EXPECT_THAT(call(method), refused) << method;
    } else {
      EXPECT_THAT(call(method), Not(refused)) << method;
    }
  }
}

TEST_F(TokensTest, OverThriftTheRefusalIsOneThatTheContractDeclares) {
  start();
  Client client({"127.0.0.1", thrift->port()});
  try {
    client->deleteUser("ann");
    FAIL() << "it was done";
  } catch (const InvalidRequest& error) {
    EXPECT_EQ(error.field, "certificate");
    EXPECT_THAT(error.message, AllOf(HasSubstr("deleteUser"), HasSubstr("--tls-client-ca")));
  }
  Status status;
  client->status(status);  // the connection goes on
}

TEST_F(TokensTest, OverThriftAClientWithACertificateMayChangeTheStore) {
  const Certificates certificates;
  ServerOptions options;
  options.tls = std::make_shared<const Tls>(certificates.server_for_clients());
  start(options);
  Client client({"127.0.0.1", thrift->port()}, std::chrono::milliseconds{10'000},
                certificates.client());
  client->deleteUser("ann");
  EXPECT_EQ(client->record({}), 0);
  EXPECT_EQ(client->putItems({}), 0);
  EXPECT_EQ(client->removeItems({}), 0);
}

TEST_F(TokensTest, OverTlsWithoutCertificatesOfClientsNobodyIsKnown) {
  const Certificates certificates;
  ServerOptions options;
  options.tls = std::make_shared<const Tls>(certificates.server());
  start(options);
  Client client({"127.0.0.1", thrift->port()}, std::chrono::milliseconds{10'000},
                certificates.client());  // it has one, which nobody asks for
  EXPECT_THROW(client->deleteUser("ann"), InvalidRequest);
}

TEST_F(TokensTest, OverHttpEveryPathThatChangesTheStoreNeedsAToken) {
  start();
  ASSERT_EQ(paths(), keys(kPaths));
  for (const auto& [path, access] : kPaths) {
    const auto none = ask(path, std::nullopt);
    const auto wrong = ask(path, std::string("Bearer ") + kOther);
    const auto right = ask(path, std::string("Bearer ") + kToken);
    EXPECT_NE(right.result_int(), 401U) << path;
    if (access == Access::kReads) {
      EXPECT_NE(none.result_int(), 401U) << path;
      EXPECT_NE(wrong.result_int(), 401U) << path;
      continue;
    }
    EXPECT_EQ(none.result_int(), 401U) << path;
    EXPECT_EQ(none[http::field::www_authenticate], "Bearer realm=\"fovea\"");
    EXPECT_THAT(none.body(), HasSubstr("Authorization: Bearer"));
    EXPECT_EQ(wrong.result_int(), 401U) << path;
    EXPECT_EQ(wrong[http::field::www_authenticate],
              "Bearer realm=\"fovea\", error=\"invalid_token\"");
    EXPECT_THAT(wrong.body(), Not(HasSubstr(kOther)));
  }
}

TEST_F(TokensTest, OnlyAWholeTokenOfTheFileIsTaken) {
  start();
  const std::string token = kToken;
  const auto status = [&](const std::string& authorization) {
    return ask(http::verb::post, "/v1/users/delete", authorization, R"({"user_id":"u"})")
        .result_int();
  };
  for (const std::string& good : {"Bearer " + token, "bearer " + token, "BEARER   " + token,
                                  std::string("Bearer another-token-of-ours")}) {
    EXPECT_EQ(status(good), 200U) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("Bearer"), std::string("Bearer  "), token, "Basic " + token,
        "Bearer" + token, "Bearer " + token.substr(1), "Bearer " + token + "0",
        "Bearer " + token.substr(0, token.size() - 1), "Bearer " + token + ", " + token,
        std::string("Bearer # of the importer"), "Bearer " + std::string(5000, 'x')}) {
    EXPECT_EQ(status(bad), 401U) << bad;
  }
}

TEST_F(TokensTest, WithoutATokenFileNothingIsAskedFor) {
  web.emplace(service, [] { return std::string(); }, ServerOptions{.port = 0, .threads = 1});
  web->start();
  EXPECT_EQ(
      ask(http::verb::post, "/v1/users/delete", std::nullopt, R"({"user_id":"u"})").result_int(),
      200U);
}

std::string refusal(const fs::path& path) {
  try {
    Tokens::read(path);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "(taken)";
}

TEST(TokenFileTest, OneThatOthersCanReadOrWriteIsRefused) {
  const TokenFile file(kToken);
  for (const auto open : {fs::perms::others_read, fs::perms::others_write}) {
    fs::permissions(file.path, fs::perms::owner_all | open);
    EXPECT_THAT(refusal(file.path), AllOf(HasSubstr(file.path.string()), HasSubstr("chmod o=")));
  }
  fs::permissions(file.path, fs::perms::owner_all | fs::perms::group_read);
  EXPECT_EQ(refusal(file.path), "(taken)");
}

TEST(TokenFileTest, WhatIsWrongIsToldWithItsLineAndWithoutTheToken) {
  const TokenFile small(std::string("# one\n") + kToken + "\ntoo short\n");
  EXPECT_THAT(refusal(small.path), AllOf(HasSubstr("9 characters in line 3"), HasSubstr("16"),
                                         Not(HasSubstr("too short"))));
  const TokenFile spaced(std::string(kToken) + " " + kToken + "\n");
  EXPECT_THAT(refusal(spaced.path), AllOf(HasSubstr("line 1"), Not(HasSubstr(kToken))));
  const TokenFile bytes(std::string(kToken) + "\xc3\xbc\n");
  EXPECT_THAT(refusal(bytes.path), HasSubstr("beyond ASCII"));
  const TokenFile none("# nothing\n\n   \n");
  EXPECT_THAT(refusal(none.path), HasSubstr("has no token"));
}

TEST(TokenFileTest, OneThatIsNoSuchFileIsRefused) {
  EXPECT_THAT(refusal("/nowhere/tokens"), HasSubstr("No such file"));
  EXPECT_THAT(refusal(fs::temp_directory_path()), HasSubstr("is not a file"));
  EXPECT_THAT(refusal("/dev/zero"), HasSubstr("is not a file"));
  const TokenFile large(std::string(1 << 20, 'x'));
  EXPECT_THAT(refusal(large.path), HasSubstr("at most"));
}

}  // namespace
}  // namespace fovea::api
