// Bundles of the log as cuts and checkpoints want them.
#pragma once

#include "storage/bundle_codec.hpp"
#include "storage/oplog.hpp"
#include "storage/space_apply.hpp"

#include <string>

namespace harp {

/// Reads inside one transaction. What is not in the log (any more) ends a range; a damaged bundle throws storage_failure.
class log_source final : public bundle_source {
public:
  /// Both must outlive it.
  log_source(const oplog& log, const read_txn& txn) : log_(log), txn_(txn) {}
  void each(replica_id rid, uint64_t from, uint64_t to, const std::function<bool(const bundle&)>& visit) override {
    for (auto seq = from; seq <= to; ++seq) {
      auto row = find_bundle(txn_, {rid, seq});
      if (!row)
        return;
      if (!visit(read(*row).content))
        return;
    }
  }
  [[nodiscard]] sealed_bundle read(const bundle_row& row) const {
    auto raw = log_.read(row);
    if (auto* broken = std::get_if<storage_failure>(&raw))
      throw *broken;
    auto decoded = decode_bundle(std::get<std::string>(raw));
    if (auto* why = std::get_if<std::string>(&decoded))
      throw storage_failure{EBADMSG, "a bundle in the operation log does not decode: " + *why};
    return std::move(std::get<sealed_bundle>(decoded));
  }

private:
  const oplog& log_;
  const read_txn& txn_;
};

} // namespace harp
