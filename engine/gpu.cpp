#include "engine/gpu.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "engine/request.h"
#include "ranking/device.h"

namespace fovea::engine {
namespace {

/// Owns all that it is asked with, so that a caller who no longer waits takes nothing away.
struct Task {
  std::shared_ptr<const LiveModel> version;
  std::shared_ptr<GpuModel> model;
  GpuQuestion question;
  std::shared_ptr<const ranking::Transitions> since;
  std::promise<std::optional<GpuAnswer>> answer;
};

}  // namespace

struct Gpu::State {
  GpuOptions options;
  std::string name;
  std::size_t bytes_max = 0;

  std::mutex mutex;  // guards what follows
  std::condition_variable_any wake;
  std::deque<std::shared_ptr<Task>> waiting;
  std::string failure;
  bool timed_out = false;
  std::vector<std::weak_ptr<GpuModel>> loaded;
  GpuBatches batches;

  std::jthread owner;

  /// What waits for one model, oldest first; empty: stop.
  std::vector<std::shared_ptr<Task>> next(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    wake.wait(lock, stop, [&] { return !waiting.empty(); });
    std::vector<std::shared_ptr<Task>> batch;
    if (stop.stop_requested()) return batch;
    const GpuModel* model = waiting.front()->model.get();
    for (auto task = waiting.begin(); task != waiting.end() && batch.size() < options.batch_max;) {
      if ((*task)->model.get() == model) {
        batch.push_back(std::move(*task));
        task = waiting.erase(task);
      } else {
        ++task;
      }
    }
    ++batches.batches;
    batches.requests += batch.size();
    batches.largest = std::max<std::uint64_t>(batches.largest, batch.size());
    return batch;
  }

  void rank(std::vector<std::shared_ptr<Task>>& batch) {
    std::vector<const GpuQuestion*> questions;
    questions.reserve(batch.size());
    for (const auto& task : batch) questions.push_back(&task->question);
    std::vector<GpuAnswer> answers;
    try {
      if (failed()) throw Unavailable("the GPU is not used any more");
      answers = batch.front()->model->rank(questions, batch.back()->since);
    } catch (const std::exception& error) {
      fail(error.what());
      for (const auto& task : batch) task->answer.set_value(std::nullopt);
      return;
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      batch[i]->answer.set_value(std::move(answers[i]));
    }
  }

  bool failed() {
    const std::lock_guard lock(mutex);
    return !failure.empty();
  }

  /// Remembers and logs the first reason, and lets nobody wait any longer.
  void fail(const std::string& reason) {
    std::deque<std::shared_ptr<Task>> left;
    {
      const std::lock_guard lock(mutex);
      if (failure.empty()) {
        failure = reason;
        spdlog::error("{} is not used any more, the CPU ranks instead: {}", name, reason);
      }
      left.swap(waiting);
    }
    for (const auto& task : left) task->answer.set_value(std::nullopt);
  }

  /// With the lock held.
  std::size_t bytes_loaded() {
    std::erase_if(loaded, [](const auto& model) { return model.expired(); });
    std::size_t sum = 0;
    for (const auto& model : loaded) {
      if (const auto live = model.lock()) sum += live->bytes();
    }
    return sum;
  }
};

Gpu::Gpu(const GpuOptions& options) : state_(std::make_shared<State>()) {
  state_->options = options;
  try {
    const auto device = ranking::Device::open();
    state_->name = device->name();
    const auto memory = device->memory();
    state_->bytes_max =
        options.memory_mib_max > 0 ? options.memory_mib_max << 20 : memory.free / 10 * 9;
  } catch (const ranking::DeviceError& error) {
    throw Unavailable(error.what());
  }
  // The thread keeps the state too: one that waits for a lost device is left behind.
  state_->owner = std::jthread([state = state_.get(), kept = state_](const std::stop_token& stop) {
    for (auto batch = state->next(stop); !batch.empty(); batch = state->next(stop)) {
      state->rank(batch);
    }
  });
}

Gpu::~Gpu() {
  state_->owner.request_stop();
  if (state_->timed_out) {
    state_->owner.detach();
  } else {
    state_->owner.join();
  }
}

const std::string& Gpu::name() const { return state_->name; }
std::size_t Gpu::bytes_max() const { return state_->bytes_max; }

std::size_t Gpu::bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->bytes_loaded();
}

GpuBatches Gpu::batches() const {
  const std::lock_guard lock(state_->mutex);
  return state_->batches;
}

std::string Gpu::failure() const {
  const std::lock_guard lock(state_->mutex);
  return state_->failure;
}

std::shared_ptr<GpuModel> Gpu::load(const GpuSource& source, int threads) {
  if (const std::string reason = failure(); !reason.empty()) throw Unavailable(reason);
  const std::size_t taken = bytes();
  std::shared_ptr<GpuModel> model;
  try {
    model = std::make_shared<GpuModel>(
        source, state_->bytes_max - std::min(taken, state_->bytes_max), threads);
  } catch (const std::exception& error) {
    throw Unavailable(error.what());
  }
  const std::lock_guard lock(state_->mutex);
  state_->loaded.push_back(model);
  return model;
}

std::optional<GpuAnswer> Gpu::rank(std::shared_ptr<const LiveModel> version, GpuQuestion question,
                                   std::shared_ptr<const ranking::Transitions> since) {
  if (question.nearest > GpuModel::kNearestMax) return std::nullopt;
  const auto task = std::make_shared<Task>();
  task->model = version->on_gpu();
  if (!task->model) return std::nullopt;
  task->version = std::move(version);
  task->question = std::move(question);
  task->since = std::move(since);
  auto answer = task->answer.get_future();
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->failure.empty() || state_->waiting.size() >= state_->options.waiting_max) {
      return std::nullopt;
    }
    state_->waiting.push_back(task);
  }
  state_->wake.notify_one();
  if (answer.wait_for(state_->options.answer_timeout) != std::future_status::ready) {
    {
      const std::lock_guard lock(state_->mutex);
      state_->timed_out = true;
    }
    state_->fail(fmt::format("no answer within {} ms", state_->options.answer_timeout.count()));
    return std::nullopt;
  }
  return answer.get();
}

}  // namespace fovea::engine
