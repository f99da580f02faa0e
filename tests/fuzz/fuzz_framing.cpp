// Framing: whatever the bytes and however they are cut, the same frames come out, within their
// bounds.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "api/framing.h"

using namespace fovea::api;

namespace {

constexpr std::size_t kFrameBytesMax = 256;

void check(bool holds) {
  if (!holds) std::abort();
}

/// The lengths of the frames in `bytes` when at most `piece` bytes arrive at once; 0 stands for
/// what is no frame.
std::vector<std::size_t> frames_of(std::span<const std::uint8_t> bytes, std::size_t piece) {
  std::vector<std::size_t> lengths;
  ReceiveBuffer buffer;
  FrameReader reader(kFrameBytesMax);
  for (;;) {
    const auto parsed = reader.next(buffer.data());
    if (const auto* frame = std::get_if<Frame>(&parsed)) {
      check(!frame->payload.empty() && frame->payload.size() <= kFrameBytesMax);
      check(frame->payload.data() + frame->payload.size() <=
            buffer.data().data() + buffer.data().size());
      lengths.push_back(frame->payload.size());
      buffer.consume(frame->bytes());
      continue;
    }
    if (std::holds_alternative<BadFrame>(parsed)) {
      lengths.push_back(0);
      return lengths;
    }
    const auto& need = std::get<NeedMore>(parsed);
    check(need.bytes > 0 && need.bytes <= kFrameBytesMax + kFrameHeaderBytes + 1);
    if (bytes.empty()) return lengths;
    const auto room = buffer.room(need.bytes);
    const std::size_t taken = std::min({piece, room.size(), bytes.size()});
    std::copy_n(bytes.begin(), taken, room.begin());
    buffer.received(taken);
    bytes = bytes.subspan(taken);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(data, size);
  const auto whole = frames_of(bytes, size + 1);
  check(frames_of(bytes, 1) == whole);
  check(frames_of(bytes, 7) == whole);
  return 0;
}
