// Finds the known word that a mistyped one was meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace harp::web {

inline constexpr size_t nearest_word_bytes_max = 128; // longer words are not compared

/// Number of single-byte insertions, removals and replacements between two words.
size_t edit_distance(std::string_view left, std::string_view right);

/// The closest of `words`, or "" when nothing is near enough to be meant (a third of the word's
/// length, at least 2 edits).
std::string nearest(std::string_view word, const std::vector<std::string>& words);

} // namespace harp::web
