// Makes hostile text harmless: control bytes, bidi marks, invisible characters and broken UTF-8 are
// written out in ASCII.
#pragma once

#include <string>
#include <string_view>

namespace harp::net {

/// Appends `text` for a terminal: harmful characters as `\u202e` or `\x1b`, all others unchanged.
/// Lossy by intent.
void append_visible(std::string& out, std::string_view text);

/// Appends `text` as the inside of a JSON string (no quotes around). Bytes that are not UTF-8
/// become the characters `\xNN`, bidi and invisible characters their JSON escapes, so that a line
/// stays harmless where it is read raw.
void append_json_text(std::string& out, std::string_view text);

} // namespace harp::net
