// A sentence encoder alone, for sentence_reference.py: lines of text from standard input, and for
// each its token ids and its vector to standard output, a tab between them.
//   fovea_sentences FOLDER THREADS BATCH
// BATCH texts are encoded at once, all of them once before the clock runs. To standard error goes
// the median of the milliseconds that a batch took, tokens included.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "ranking/sentence_encoder.h"

namespace {

using fovea::ranking::Context;
using fovea::ranking::SentenceEncoder;

// Calls of `BATCH` texts each; returns the median of their milliseconds.
double encode(const Context& context, const SentenceEncoder& encoder,
              const std::vector<std::string_view>& texts, std::size_t batch,
              std::vector<float>& vectors) {
  std::vector<double> took_ms;
  for (std::size_t i = 0; i < texts.size(); i += batch) {
    const std::size_t n = std::min(batch, texts.size() - i);
    const auto begin = std::chrono::steady_clock::now();
    encoder.encode(context, std::span(texts).subspan(i, n),
                   std::span(vectors).subspan(i * encoder.width(), n * encoder.width()));
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    if (n == batch || i == 0) took_ms.push_back(took.count());
  }
  if (took_ms.empty()) return 0;
  std::ranges::nth_element(took_ms, took_ms.begin() + static_cast<long>(took_ms.size() / 2));
  return took_ms[took_ms.size() / 2];
}

void run(const char* folder, int threads, std::size_t batch) {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
  const std::vector<std::string_view> texts(lines.begin(), lines.end());
  const Context context{threads};
  const auto encoder = SentenceEncoder::load(context, folder);
  std::vector<float> vectors(texts.size() * encoder.width());
  encode(context, encoder, texts, batch, vectors);
  std::fprintf(stderr, "%.4f\n", encode(context, encoder, texts, batch, vectors));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (const auto id : encoder.ids(texts[i])) std::printf("%u ", id);
    std::printf("\t");
    for (std::size_t c = 0; c < encoder.width(); ++c) {
      std::printf("%.9g ", static_cast<double>(vectors[i * encoder.width() + c]));
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int count, char** arguments) {
  const int threads = count == 4 ? std::atoi(arguments[2]) : 0;
  const int batch = count == 4 ? std::atoi(arguments[3]) : 0;
  if (threads < 1 || batch < 1) {
    std::fprintf(stderr, "usage: fovea_sentences FOLDER THREADS BATCH < TEXTS\n");
    return 2;
  }
  try {
    run(arguments[1], threads, static_cast<std::size_t>(batch));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fovea_sentences: %s\n", error.what());
    return 1;
  }
  return 0;
}
