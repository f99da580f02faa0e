#include "ranking/randomised_svd.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>

#include "ranking/random.h"
#include "ranking/spread.h"

namespace fovea::ranking {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Directions beyond those asked for: they take the error that the last ones would otherwise have.
constexpr std::size_t kOversampling = 16;
constexpr int kPowerIterations = 3;

RowMajor multiply(const SparseMatrix& matrix, const RowMajor& dense, int threads) {
  RowMajor product(matrix.rows(), dense.cols());
  spread(matrix.rows(), threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      auto sum = product.row(static_cast<Eigen::Index>(row));
      sum.setZero();
      for (std::size_t i = matrix.offsets[row]; i < matrix.offsets[row + 1]; ++i) {
        sum += matrix.entries[i].value * dense.row(matrix.entries[i].column);
      }
    }
  });
  return product;
}

SparseMatrix transpose(const SparseMatrix& matrix) {
  SparseMatrix result;
  result.columns = matrix.rows();
  result.offsets.assign(matrix.columns + 1, 0);
  for (const auto& entry : matrix.entries) ++result.offsets[entry.column + 1];
  for (std::size_t i = 0; i < matrix.columns; ++i) result.offsets[i + 1] += result.offsets[i];
  result.entries.resize(matrix.entries.size());
  std::vector<std::size_t> next(result.offsets.begin(), result.offsets.end() - 1);
  for (std::size_t row = 0; row < matrix.rows(); ++row) {
    for (std::size_t i = matrix.offsets[row]; i < matrix.offsets[row + 1]; ++i) {
      const auto& entry = matrix.entries[i];
      result.entries[next[entry.column]++] = {static_cast<std::uint32_t>(row), entry.value};
    }
  }
  return result;
}

// An orthonormal base of the columns' span.
RowMajor orthonormal(const RowMajor& columns) {
  const Eigen::HouseholderQR<Eigen::MatrixXf> qr(columns);
  return qr.householderQ() * Eigen::MatrixXf::Identity(columns.rows(), columns.cols());
}

}  // namespace

std::vector<float> right_singular_vectors(const SparseMatrix& matrix, std::size_t width,
                                          std::uint64_t seed, int threads) {
  std::vector<float> result(matrix.columns * width);
  const std::size_t sampled = std::min({width + kOversampling, matrix.rows(), matrix.columns});
  if (sampled == 0) return result;
  const SparseMatrix transposed = transpose(matrix);
  RowMajor base(matrix.rows(), sampled);
  Random random(seed);
  for (float& value : base.reshaped<Eigen::RowMajor>()) value = random.normal();
  base = orthonormal(base);
  for (int i = 0; i < kPowerIterations; ++i) {
    base = orthonormal(multiply(matrix, multiply(transposed, base, threads), threads));
  }
  // Within the base the matrix is base^T * matrix: few rows, so diagonalised as their Gram matrix.
  const RowMajor within = multiply(transposed, base, threads);  // [columns, sampled]
  const auto n = static_cast<Eigen::Index>(sampled);
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(n, n);
  constexpr Eigen::Index kBlock = 4096;  // rows in double precision at a time
  for (Eigen::Index at = 0; at < within.rows(); at += kBlock) {
    const Eigen::MatrixXd block =
        within.middleRows(at, std::min(kBlock, within.rows() - at)).cast<double>();
    gram.selfadjointView<Eigen::Lower>().rankUpdate(block.transpose());
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solved(gram);
  const Eigen::VectorXd& squares = solved.eigenvalues();  // of singular values, ascending
  for (std::size_t channel = 0; channel < std::min(width, sampled); ++channel) {
    const Eigen::Index from_end = n - 1 - static_cast<Eigen::Index>(channel);
    if (!(squares[from_end] > 1e-9 * squares[n - 1])) break;  // rounding, no direction of the data
    const Eigen::VectorXd scaled =
        solved.eigenvectors().col(from_end) / std::sqrt(squares[from_end]);
    const Eigen::VectorXf vector = within * scaled.cast<float>();
    for (std::size_t row = 0; row < matrix.columns; ++row) {
      result[row * width + channel] = vector[static_cast<Eigen::Index>(row)];
    }
  }
  return result;
}

}  // namespace fovea::ranking
