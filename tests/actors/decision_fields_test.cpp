// Fields towards the app and towards Nextcloud (appapi-harp.md 2.5, 3.2; FS9, FS10; X18, X19, X33).
#define CAF_SUITE decision_fields
#include "tests/actors/decision_request.hpp"

using namespace harp;
using namespace harp::test;

// -- rows 12 and 14: credentials and fields ------------------------------------------------------------------------------

CAF_TEST(app_sees_user_and_token_in_the_credential) {
  auto answers = as_user(known(), "alice", access_user);
  request asked("/exapps/App/user", {cookie_line});
  auto made = asked.decided(answers);
  CAF_CHECK(made.step == next_step::forward);
  CAF_CHECK_EQUAL(made.host, "127.0.0.1");
  CAF_CHECK_EQUAL(made.port, 23000u);
  CAF_CHECK_EQUAL(made.token, app_token);
  CAF_CHECK_EQUAL(fields_of(made),
                  "ex-app-id: App\r\nex-app-version: 2.1.0\r\n"
                  "authorization-app-api: YWxpY2U6dG9rZW4tY2FuYXJ5\r\naa-version: 32\r\n");
}

CAF_TEST(nobodys_credential_has_an_empty_user) {
  auto made = request("/exapps/app/public").decided(known());
  CAF_CHECK(fields_of(made).find("authorization-app-api: OnRva2VuLWNhbmFyeQ==\r\n")
            != std::string::npos);
}

CAF_TEST(base64_covers_every_remainder) {
  decision allowed;
  allowed.app_id = "a";
  allowed.version = "1";
  struct row {
    std::string_view user, token, text;
  };
  for (const auto& [user, token, text] :
       std::initializer_list<row>{{"", "", "Og=="},
                                  {"", "s", "OnM="},
                                  {"u", "s", "dTpz"},
                                  {"u", "st", "dTpzdA=="},
                                  {"\xc3\xa9", "\xff", "w6k6/w=="}}) {
    allowed.user_id = user;
    allowed.token = token;
    CAF_CHECK(fields_of(allowed).find("api: " + std::string(text) + "\r\n") != std::string::npos);
  }
}

CAF_TEST(values_that_cannot_be_carried_are_refused) {
  decision allowed;
  allowed.app_id = "app";
  allowed.version = "1";
  allowed.token = "t";
  std::string out = "before";
  for (std::string_view user : {"a\r\nx: y", "a:b", "a\x7f", "\x01"}) {
    allowed.user_id = user;
    CAF_CHECK(!append_app_fields(allowed, out));
  }
  allowed.user_id = "u";
  std::string long_token(credential_bytes_max - 1, 't');
  allowed.token = long_token;
  CAF_CHECK(!append_app_fields(allowed, out));
  CAF_CHECK_EQUAL(out, "before");
  allowed.token = std::string_view(long_token).substr(1);
  CAF_CHECK(append_app_fields(allowed, out));
  allowed.token = "t";
  allowed.version = "1\n";
  CAF_CHECK(!append_app_fields(allowed, out));
}

// -- towards Nextcloud ---------------------------------------------------------------------------------------------------------

CAF_TEST(the_last_session_cookie_counts) {
  struct row {
    lines fields;
    std::string_view value;
  };
  for (const auto& [fields, value] : std::initializer_list<row>{
           {{}, ""},
           {{"cookie: oc_sessionPassphrase=a"}, "a"},
           {{"cookie: x=1; oc_sessionPassphrase=a; y=2"}, "a"},
           {{"cookie: oc_sessionPassphrase=a; oc_sessionPassphrase=b"}, "b"},
           {{"cookie: oc_sessionPassphrase=a", "cookie: x=1", "cookie: oc_sessionPassphrase=b"},
            "b"},
           {{"cookie: oc_sessionPassphrase=a=b%2F"}, "a=b%2F"},
           {{"cookie:   oc_sessionPassphrase = a ;"}, "a"},
           {{"cookie: oc_sessionpassphrase=a"}, ""},
           {{"cookie: xoc_sessionPassphrase=a; oc_sessionPassphrasex=b"}, ""},
           {{"cookie: oc_sessionPassphrase"}, ""},
           {{"cookie: ;;=;"}, ""},
           {{"x-cookie: oc_sessionPassphrase=a"}, ""}}) {
    request asked("/exapps/app/x", fields);
    CAF_CHECK_EQUAL(session_passphrase(asked.head), value);
    CAF_CHECK_EQUAL(has_user_credentials(asked.head), !value.empty());
  }
}

CAF_TEST(user_info_key_depends_on_the_whole_credential_and_the_app) {
  auto key = [](std::string_view app_id, const lines& fields) {
    request asked("/exapps/app/x", fields);
    return user_info_key(asked.head, app_id);
  };
  auto one = key("app", {"cookie: a=1", "authorization: b"});
  CAF_CHECK(one == key("app", {"cookie: a=1", "authorization: b"}));
  CAF_CHECK(one == key("app", {"cookie: a=1", "authorization: b", "user-agent: other"}));
  for (const auto& fields : std::initializer_list<lines>{{"cookie: a=1"},
                                                         {"authorization: b"},
                                                         {"cookie: a=2", "authorization: b"},
                                                         {"cookie: a=1", "authorization: c"},
                                                         {"cookie: a=1", "cookie: b"},
                                                         {"cookie: a=1b"},
                                                         {"cookie: b", "authorization: a=1"},
                                                         {}})
    CAF_CHECK(one != key("app", fields));
  CAF_CHECK(one != key("app2", {"cookie: a=1", "authorization: b"}));
  CAF_CHECK(key("app", {"cookie: ab", "cookie: c"}) != key("app", {"cookie: a", "cookie: bc"}));
}

CAF_TEST(nextcloud_gets_who_asks_and_nothing_else) {
  request asked("/exapps/app/x",
                {"Cookie: a=1",
                 "Cookie: b=2",
                 "Authorization: Basic x",
                 "User-Agent: ua",
                 "Accept-Language: de",
                 "X-Forwarded-For: 1.2.3.4",
                 "X-Forwarded-Proto: https",
                 "X-Real-IP: 1.2.3.4",
                 "Transfer-Encoding: chunked",
                 "Accept-Encoding: br",
                 "Expect: 100-continue",
                 "Range: bytes=0-",
                 "If-None-Match: x",
                 "Content-Type: a/b",
                 "Connection: keep-alive",
                 "EX-APP-ID: x",
                 "Authorization-App-Api: x",
                 "harp-shared-key: x",
                 "Upgrade: h2c",
                 "TE: trailers",
                 "X-Other: y"},
                "POST");
  using field_list = std::vector<std::pair<std::string, std::string>>;
  field_list expected{{"authorization", "Basic x"},   {"user-agent", "ua"},
                      {"accept-language", "de"},      {"x-forwarded-for", "1.2.3.4"},
                      {"x-forwarded-proto", "https"}, {"x-real-ip", "1.2.3.4"},
                      {"cookie", "a=1; b=2"}};
  CAF_CHECK(user_info_fields(asked.head, true) == expected);
  expected.erase(expected.begin() + 3, expected.begin() + 6);
  CAF_CHECK(user_info_fields(asked.head, false) == expected);
}

CAF_TEST(knows_loopback_hosts) {
  for (std::string_view host :
       {"127.0.0.1", "127.255.1.2", "::1", "[::1]", "localhost", "LocalHost", "localhost.",
        "a.localhost", "::ffff:127.0.0.1", "0.0.0.0", "::"})
    CAF_CHECK(is_loopback_host(host));
  for (std::string_view host : {"", ".", "128.0.0.1", "10.0.0.1", "::2", "localhosts", "xlocalhost",
                                "localhost.example", "app"})
    CAF_CHECK(!is_loopback_host(host));
}

CAF_TEST(reasons_hold_no_secret) {
  for (const auto& fields : std::initializer_list<lines>{
           {}, {key_line}, signed_by(right_key), signed_by("wrong"), {cookie_line}}) {
    for (std::string_view target :
         {"/exapps/app/public", "/exapps/app/init", "/exapps/app_api/x", "/x", "/exapps/app/.."}) {
      std::string_view reason = request(target, fields).decided(known()).reason;
      CAF_CHECK(!reason.empty());
      CAF_CHECK(reason.find(right_key) == reason.npos && reason.find(app_token) == reason.npos);
    }
  }
}
