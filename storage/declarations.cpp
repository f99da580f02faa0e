#include "storage/declarations.h"

#include "storage/state.h"

namespace fovea::storage {

void Declarations::put(std::string_view name, std::string_view text) {
  check_id(name, "experiment name");
  rocksdb::WriteBatch batch;
  batch.Put(declaration_key(name), rocksdb::Slice(text.data(), text.size()));
  state_.rocks.write(batch);
  state_.rocks.sync();
}

std::vector<Declaration> Declarations::read() const {
  std::vector<Declaration> declarations;
  for (Scan scan(state_.rocks, tag_begin(Tag::kDeclaration), tag_end(Tag::kDeclaration));
       scan.valid(); scan.next()) {
    declarations.push_back({std::string(scan.key().substr(1)), std::string(scan.value())});
  }
  return declarations;
}

}  // namespace fovea::storage
