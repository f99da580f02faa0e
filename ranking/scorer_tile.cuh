// The fused kernel: a block takes a run of tiles, each 128 candidates of one user, and writes their
// scores and nothing else. Eight warps are four groups of 32 candidates times two halves of each
// pass of behaviours. Products by mma.sync in bfloat16 or by plain multiplication in float; all
// sums in float. What lanes compute between the barriers is scorer_tile.h's and scorer_formula.h's.
#pragma once

#include "ranking/scorer_kernels.h"

namespace fovea::ranking::scorer {

/// C += A B of one warp, 16 x 16 times 16 x 8.
__device__ inline void multiply_add(float (&c)[4], std::uint32_t a0, std::uint32_t a1,
                                    std::uint32_t a2, std::uint32_t a3, std::uint32_t b0,
                                    std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// Two rows of factors and one column of them, 32 channels: two steps of the instruction.
__device__ inline void multiply_add(float (&c)[4], const uint4& a, const uint4& a8,
                                    const uint4& b) {
  multiply_add(c, a.x, a8.x, a.y, a8.y, b.x, b.y);
  multiply_add(c, a.z, a8.z, a.w, a8.w, b.z, b.w);
}

__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes from shared memory, or from where items lie.
template <bool kShared>
__device__ inline uint4 load16(const void* pointer) {
  uint4 value;
  if constexpr (kShared) {
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "r"(shared_address(pointer))
                 : "memory");
  } else {
    value = __ldg(static_cast<const uint4*>(pointer));
  }
  return value;
}

__device__ inline void copy16(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
               :
               : "r"(shared_address(to)), "l"(from)
               : "memory");
}
/// Waits for the thread's own copies; a barrier must follow.
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" : : : "memory"); }

/// Where a lane's factors come from: a pass's columns and the tile's rows.
template <typename Number>
struct LanePointers;
template <>
struct LanePointers<float> {
  template <unsigned H>
  static constexpr unsigned kColumns = 2 * column_blocks(H);
  __device__ static unsigned column(unsigned lane, unsigned c) { return pass_column(lane, c); }
  __device__ static unsigned channel(unsigned) { return 0; }
};
template <>
struct LanePointers<__nv_bfloat16> {
  template <unsigned H>
  static constexpr unsigned kColumns = column_blocks(H);
  __device__ static unsigned column(unsigned lane, unsigned c) { return 8 * c + lane / 4; }
  __device__ static unsigned channel(unsigned lane) { return lane_channel(lane); }
};

template <unsigned H, bool kShared>
__device__ inline void products_of(const BankShape& shape, const float* const (&a)[kLaneRows],
                                   const float* const (&b)[2 * column_blocks(H)],
                                   Products<H>& products) {
  multiply(shape, a, b, products);
}
template <unsigned H, bool kShared>
__device__ inline void products_of(const BankShape& shape,
                                   const __nv_bfloat16* const (&a)[kLaneRows],
                                   const __nv_bfloat16* const (&b)[column_blocks(H)],
                                   Products<H>& products) {
  products.clear();
  for (unsigned d = 0; d < shape.width; d += kChannels) {
    uint4 of_candidates[kLaneRows];
#pragma unroll
    for (unsigned r = 0; r < kLaneRows; ++r) of_candidates[r] = load16<kShared>(a[r] + d);
#pragma unroll
    for (unsigned g = 0; g <= H; ++g) {
#pragma unroll
      for (unsigned n = 0; n < column_blocks(H); ++n) {
        const uint4 of_behaviour = load16<kShared>(b[n] + g * shape.width + d);
        multiply_add(products.at[g][0][n], of_candidates[0], of_candidates[1], of_behaviour);
        multiply_add(products.at[g][1][n], of_candidates[2], of_candidates[3], of_behaviour);
      }
    }
  }
  for (unsigned k = 0; k < shape.text_width; k += kChannels) {
    uint4 of_candidates[kLaneRows];
#pragma unroll
    for (unsigned r = 0; r < kLaneRows; ++r) {
      of_candidates[r] = load16<kShared>(a[r] + shape.width + k);
    }
#pragma unroll
    for (unsigned n = 0; n < column_blocks(H); ++n) {
      const uint4 of_behaviour = load16<kShared>(b[n] + shape.candidate() + shape.width + k);
      multiply_add(products.at[H + 1][0][n], of_candidates[0], of_candidates[1], of_behaviour);
      multiply_add(products.at[H + 1][1][n], of_candidates[2], of_candidates[3], of_behaviour);
    }
  }
}

template <unsigned H>
__device__ inline Sums<H> exchanged(const Sums<H>& sums, unsigned mask) {
  const auto other = [mask](float x) { return __shfl_xor_sync(0xFFFFFFFF, x, mask); };
  Sums<H> result;
#pragma unroll
  for (unsigned h = 0; h < H; ++h) {
    result.highest[h] = other(sums.highest[h]);
    result.sum[h] = other(sums.sum[h]);
  }
  result.text_last = other(sums.text_last);
  result.text_highest = other(sums.text_highest);
  result.text_sum = other(sums.text_sum);
  result.transition = other(sums.transition);
  result.ease = other(sums.ease);
  result.vectors5 = other(sums.vectors5);
  result.vectors20 = other(sums.vectors20);
  result.vectors = other(sums.vectors);
  result.liked = other(sums.liked);
  return result;
}

__device__ inline void store_feature(float* to, float value) { *to = value; }
__device__ inline void store_feature(__nv_bfloat16* to, float value) {
  *to = __float2bfloat16(value);
}

__device__ inline std::uint32_t pack(float low, float high) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&both);
}

/// The MLP of a tile in float: one thread a candidate. `write(candidate, interaction)`.
template <typename Write>
__device__ inline void mlp_of_tile(const Mlp<float>& mlp, const SharedPlan& plan, std::byte* shared,
                                   const Write& write) {
  if (threadIdx.x >= kTile) return;
  const std::byte* features = shared + plan.features + threadIdx.x * plan.feature_stride;
  write(threadIdx.x, mlp_score(mlp, reinterpret_cast<const float*>(features)));
}

/// The same by the matrix unit: a warp has 16 candidates. Weights come through shared memory, where
/// candidates were, kSlab hidden units and kOutputs outputs at a time.
template <typename Write>
__device__ inline void mlp_of_tile(const Mlp<__nv_bfloat16>& mlp, const SharedPlan& plan,
                                   std::byte* shared, const Write& write) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned row = threadIdx.x / 32 * 16 + lane / 4;  // and row + 8
  auto* weights1 = reinterpret_cast<__nv_bfloat16*>(shared);
  __nv_bfloat16* weights2 = weights1 + kSlab * kHidden1Stride;
  const auto features_at = [&](unsigned r) {
    return load16<true>(shared + plan.features + r * plan.feature_stride +
                        lane_channel(lane) * sizeof(__nv_bfloat16));
  };
  const uint4 features = features_at(row);
  const uint4 features8 = features_at(row + 8);
  float score = 0;
  float score8 = 0;
  for (unsigned output = 0; output < mlp.hidden2; output += kOutputs) {
    float sums[kOutputs / 8][4];
#pragma unroll
    for (unsigned q = 0; q < kOutputs / 8; ++q) {
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) {
        sums[q][i] = mlp.bias2[output + 8 * q + lane_column(lane, i)];
      }
    }
    for (unsigned slab = 0; slab < mlp.hidden1; slab += kSlab) {
      const unsigned units = min(kSlab, mlp.hidden1 - slab);
      __syncthreads();
      for (unsigned i = threadIdx.x; i < units * (kFeaturesMax / 8); i += kThreads) {
        const unsigned unit = i / (kFeaturesMax / 8);
        const unsigned part = i % (kFeaturesMax / 8) * 8;
        copy16(weights1 + unit * kHidden1Stride + part,
               mlp.weights1 + std::size_t{slab + unit} * kFeaturesMax + part);
      }
      for (unsigned i = threadIdx.x; i < kOutputs * (units / 8); i += kThreads) {
        const unsigned o = i / (units / 8);
        const unsigned part = i % (units / 8) * 8;
        copy16(weights2 + o * kHidden2Stride + part,
               mlp.weights2 + std::size_t{output + o} * mlp.hidden1 + slab + part);
      }
      wait_for_copies();
      __syncthreads();
      for (unsigned first = 0; first < units; first += kChannels) {
        float hidden[4][4];
#pragma unroll
        for (unsigned q = 0; q < 4; ++q) {
#pragma unroll
          for (unsigned i = 0; i < 4; ++i) {
            hidden[q][i] = mlp.bias1[slab + first + 8 * q + lane_column(lane, i)];
          }
          multiply_add(hidden[q], features, features8,
                       load16<true>(weights1 + (first + 8 * q + lane / 4) * kHidden1Stride +
                                    lane_channel(lane)));
#pragma unroll
          for (unsigned i = 0; i < 4; ++i) hidden[q][i] = fmaxf(hidden[q][i], 0.0F);
        }
        // Fragments of results as factors: hidden_unit() says which unit a place then is.
        const uint4 a = {pack(hidden[0][0], hidden[0][1]), pack(hidden[1][0], hidden[1][1]),
                         pack(hidden[2][0], hidden[2][1]), pack(hidden[3][0], hidden[3][1])};
        const uint4 a8 = {pack(hidden[0][2], hidden[0][3]), pack(hidden[1][2], hidden[1][3]),
                          pack(hidden[2][2], hidden[2][3]), pack(hidden[3][2], hidden[3][3])};
#pragma unroll
        for (unsigned q = 0; q < kOutputs / 8; ++q) {
          multiply_add(sums[q], a, a8,
                       load16<true>(weights2 + (8 * q + lane / 4) * kHidden2Stride + first +
                                    lane_channel(lane)));
        }
      }
    }
#pragma unroll
    for (unsigned q = 0; q < kOutputs / 8; ++q) {
#pragma unroll
      for (unsigned i = 0; i < 2; ++i) {
        const float out = mlp.out[output + 8 * q + lane_column(lane, i)];
        score += fmaxf(sums[q][i], 0.0F) * out;
        score8 += fmaxf(sums[q][i + 2], 0.0F) * out;
      }
    }
  }
#pragma unroll
  for (unsigned mask = 1; mask <= 2; mask *= 2) {
    score += __shfl_xor_sync(0xFFFFFFFF, score, mask);
    score8 += __shfl_xor_sync(0xFFFFFFFF, score8, mask);
  }
  if (lane % 4 == 0) {
    write(row, score);
    write(row + 8, score8);
  }
}

template <typename Number, unsigned H, bool kStaged>
__global__ void __launch_bounds__(kThreads, 1)
    tile_kernel(const __grid_constant__ TileArguments<Number> arguments) {
  extern __shared__ __align__(16) std::byte shared[];
  using Lane = LanePointers<Number>;
  constexpr unsigned kColumns = Lane::template kColumns<H>;
  const BankShape& shape = arguments.shape;
  const SharedPlan& plan = arguments.plan;
  const BlockView block(arguments.block);
  const unsigned lane = threadIdx.x % 32;
  const unsigned warp = threadIdx.x / 32;
  const unsigned warp_row = warp_candidate(warp);
  std::byte* behaviours_at = shared + plan.behaviours;
  auto* linear = reinterpret_cast<float*>(shared + plan.linear);
  auto* state = reinterpret_cast<float*>(shared + plan.state);
  auto* partial = reinterpret_cast<Sums<H>*>(shared);  // where candidates were

  // Rows [0, n) of the bank, from channel `from` on, to shared memory.
  const auto stage = [&](std::byte* to, std::size_t stride, unsigned n, unsigned from,
                         unsigned width, const auto& row_of) {
    const unsigned parts = width * sizeof(Number) / 16;
    for (unsigned i = warp; i < n; i += kWarps) {
      const Number* row = arguments.bank + std::size_t{row_of(i)} * shape.row() + from;
      for (unsigned part = lane; part < parts; part += 32) {
        copy16(to + i * stride + part * 16, reinterpret_cast<const std::byte*>(row) + part * 16);
      }
    }
  };

  const TileRun run = run_of(block.header->tiles, blockIdx.x, gridDim.x);
  std::uint32_t held_user = 0xFFFFFFFF;  // whose behaviours are all in shared memory
  for (std::uint32_t t = run.begin; t < run.end; ++t) {
    const Tile tile = block.tiles()[t];
    const User user = block.users()[tile.user];
    const BehaviourTerms* behaviours = block.behaviours() + user.first_behaviour;
    const std::uint32_t* rows = block.candidates() + user.first_candidate + tile.first;
    const std::uint32_t count = min(kTile, user.candidates - tile.first);
    const auto candidate_row = [&](unsigned i) {
      return bank_row(rows, i, count, arguments.items);
    };

    __syncthreads();  // the tile before is done with shared memory
    for (unsigned d = threadIdx.x; d < shape.width; d += kThreads) {
      state[d] = block.states()[std::size_t{tile.user} * shape.width + d];
    }
    if constexpr (kStaged) {
      stage(shared, plan.candidate_stride, kTile, shape.candidate(), shape.candidate_width(),
            candidate_row);
    }
    const Number* a[kLaneRows];
    float lengths[kLaneRows];
    std::uint32_t candidates[kLaneRows];
#pragma unroll
    for (unsigned r = 0; r < kLaneRows; ++r) {
      const unsigned i = warp_row + lane_row(lane, r);
      const std::uint32_t row = candidate_row(i);
      a[r] = (kStaged ? reinterpret_cast<const Number*>(shared + i * plan.candidate_stride)
                      : arguments.bank + std::size_t{row} * shape.row() + shape.candidate()) +
             Lane::channel(lane);
      lengths[r] = arguments.lengths[row];
      candidates[r] = tile.first + min(i, count - 1);
    }
    const std::uint32_t words = bit_words(user.behaviours);
    const PairReader reader{arguments.scratch.bits + user.first_word,
                            arguments.scratch.pairs + user.first_pair, words, user.behaviours};
    Sums<H> sums[kLaneRows];
#pragma unroll
    for (unsigned r = 0; r < kLaneRows; ++r) sums[r].clear();

    const std::uint32_t chunk_columns = kStaged ? plan.columns : user.behaviours;
    for (std::uint32_t chunk = 0; chunk < user.behaviours; chunk += chunk_columns) {
      const std::uint32_t chunk_end = min(user.behaviours, chunk + chunk_columns);
      if constexpr (kStaged) {
        if (held_user != tile.user) {
          if (chunk > 0) __syncthreads();
          stage(behaviours_at, plan.behaviour_stride, chunk_end - chunk, 0, shape.row(),
                [&](unsigned i) { return behaviours[chunk + i].row; });
          held_user = chunk == 0 && chunk_end == user.behaviours ? tile.user : 0xFFFFFFFF;
        }
        wait_for_copies();
        __syncthreads();
      }
      for (std::uint32_t pass = chunk; pass < chunk_end; pass += pass_columns(H)) {
        const std::uint32_t first = pass + warp_column(H, warp);
        if (first >= chunk_end) break;
        const Number* b[kColumns];
#pragma unroll
        for (unsigned c = 0; c < kColumns; ++c) {
          // Beyond the last: any row, what it gives is not used.
          const std::uint32_t j = min(first + Lane::column(lane, c), chunk_end - 1);
          b[c] = (kStaged ? reinterpret_cast<const Number*>(behaviours_at +
                                                            (j - chunk) * plan.behaviour_stride)
                          : arguments.bank + std::size_t{behaviours[j].row} * shape.row()) +
                 Lane::channel(lane);
        }
        Products<H> products;
        products_of<H, kStaged>(shape, a, b, products);
        add_pass(arguments.constants, behaviours, user.behaviours, lane, first, lengths, candidates,
                 reader, products, sums);
      }
    }

    // Lane t of four takes their row t; then the two halves of the behaviours meet.
#pragma unroll
    for (unsigned r = 0; r < kLaneRows; ++r) {
      sums[r].merge(exchanged(sums[r], 1));
      sums[r].merge(exchanged(sums[r], 2));
    }
    Sums<H> own = sums[0];
#pragma unroll
    for (unsigned r = 1; r < kLaneRows; ++r) own.choose(lane % 4 == r, sums[r]);
    const unsigned own_row = warp_row + lane_row(lane, lane % 4);
    wait_for_copies();
    __syncthreads();  // staged, also without behaviours; all products done
    CandidateTerms terms;
    const std::uint32_t own_item = candidate_row(own_row);
    if (warp < kWarps / 2) {
      const Number* unit =
          kStaged ? reinterpret_cast<const Number*>(shared + own_row * plan.candidate_stride)
                  : arguments.bank + std::size_t{own_item} * shape.row() + shape.candidate();
      terms.retrieval =
          inner_product(unit, state, shape.width, lane) * arguments.lengths[own_item] - user.centre;
      terms.log_popularity = arguments.log_popularity[own_item];
      if (own_row < count) {
        terms.earlier_ease =
            from_fixed(arguments.scratch.earlier[user.first_candidate + tile.first + own_row]);
      }
    }
    __syncthreads();  // nobody reads candidates any more
    if (warp >= kWarps / 2) partial[own_row] = own;
    __syncthreads();
    if (warp < kWarps / 2) {
      own.merge(partial[own_row]);
      float features[kFeaturesMax];
      features_of(arguments.constants, own, terms, user.behaviours, features);
      linear[own_row] = linear_part(arguments.constants, features);
      auto* to = reinterpret_cast<Number*>(shared + plan.features + own_row * plan.feature_stride);
#pragma unroll
      for (unsigned f = 0; f < kFeaturesMax; ++f) store_feature(to + f, features[f]);
    }
    __syncthreads();
    mlp_of_tile(arguments.mlp, plan, shared, [&](unsigned i, float interaction) {
      if (i >= count) return;
      arguments.scratch.scores[user.first_candidate + tile.first + i] =
          rows[i] < arguments.items ? linear[i] + interaction : -INFINITY;
    });
  }
}

/// Calls with<H, kStaged>() for what the arguments need.
template <typename Number, typename With>
auto choose_kernel(const TileArguments<Number>& arguments, const With& with) {
  const auto of_heads = [&](auto staged) {
    switch (arguments.shape.heads) {
      case 2:
        return with(tile_kernel<Number, 2, staged.value>);
      case 4:
        return with(tile_kernel<Number, 4, staged.value>);
      default:
        return with(tile_kernel<Number, 8, staged.value>);
    }
  };
  return arguments.plan.staged ? of_heads(std::true_type()) : of_heads(std::false_type());
}

/// Lets the kernel take all the shared memory there is: the limit is the kernel's, whom scorers of
/// other shapes use too.
template <typename Number>
cudaError_t prepare(const TileArguments<Number>& arguments) {
  int device = 0;
  int most = 0;
  if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
  if (const cudaError_t error =
          cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
      error != cudaSuccess) {
    return error;
  }
  return choose_kernel(arguments, [&](auto* kernel) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
  });
}

template <typename Number>
void launch(cudaStream_t stream, unsigned blocks, const TileArguments<Number>& arguments) {
  choose_kernel(arguments, [&](auto* kernel) {
    kernel<<<blocks, kThreads, arguments.plan.bytes, stream>>>(arguments);
  });
}

}  // namespace fovea::ranking::scorer
