// See carry_over.h.
#include "ranking/carry_over.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

namespace fovea::ranking {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Of the mean diagonal of the normal equations; enough to solve them when items are few.
constexpr double kRidge = 1e-3;

}  // namespace

void carry_over(std::span<const float> from, std::span<const float> to,
                std::span<const float> log_popularity, RankerWeights& ranker) {
  const auto d = static_cast<Eigen::Index>(ranker.shape.width);
  Eigen::MatrixXd cross = Eigen::MatrixXd::Zero(d, d);
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(d, d);
  for (std::size_t row = 0; row < log_popularity.size(); ++row) {
    if (log_popularity[row] <= 0) continue;
    const auto at = row * ranker.shape.width;
    const Eigen::VectorXd a = Eigen::Map<const Eigen::VectorXf>(from.data() + at, d).cast<double>();
    const Eigen::VectorXd b = Eigen::Map<const Eigen::VectorXf>(to.data() + at, d).cast<double>();
    cross.noalias() += a * b.transpose();
    gram.noalias() += b * b.transpose();
  }
  const double ridge = kRidge * gram.trace() / static_cast<double>(d);
  if (!(ridge > 0)) return;
  gram.diagonal().array() += ridge;
  const Eigen::MatrixXd map = gram.llt().solve(cross.transpose()).transpose();
  for (Tensor* weights : {&ranker.query, &ranker.key}) {
    Eigen::Map<RowMajor> w(weights->data(), d, d);
    w = (w.cast<double>() * map).cast<float>().eval();
  }
}

}  // namespace fovea::ranking
