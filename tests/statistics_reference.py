#!/usr/bin/env python3
"""Random experiments through `fovea experiment analyze` and `power`, beside SciPy and statsmodels:

    statistics_reference.py FOVEA [--cases 200] [--seed 1] [--write FILE]

Needs numpy, scipy and statsmodels, of which Debian's python3-scipy does not go together with
libboost1.81-dev, so that a virtual environment is the way. --write keeps the cases with what the
libraries answered; tests/golden/statistics.json was written so, and statistics_golden_test reads it.

Where a library has the method it is asked for it on the users themselves, never on their sums: Welch's t on values,
CUPED on values less theta times what was before. The delta method, the confidence sequence and the off-policy
estimators are in neither, and are written here from their definitions.
"""
import argparse
import json
import math
import subprocess
import sys

import numpy
import scipy
import statsmodels
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.proportion import proportion_confint

TOLERANCE = 1e-9


def arm_values(draw, kind, n, lift):
    before = draw.normal(draw.uniform(2, 6), draw.uniform(0.5, 3), n)
    noise = draw.normal(0, draw.uniform(0.5, 3), n)
    if kind == "share":
        return (draw.random(n) < min(0.9, 0.2 * (1 + lift))).astype(float), before
    if kind == "skewed":
        return draw.exponential(3 * (1 + lift), n), before
    return (before * draw.uniform(0.2, 1.5) + noise + 3) * (1 + lift), before


def sums(values):
    return {"n": len(values), "sum": math.fsum(values), "sum_squares": math.fsum(values**2)}


def delta_relative(variances, means, sizes):
    """Variance of b / a - 1 for independent means a and b."""
    (va, vb), (a, b), (na, nb) = variances, means, sizes
    return vb / nb / a**2 + va / na * b**2 / a**4


def interval(estimate, error, degrees, alpha, sequential, n):
    if sequential is None:
        width = stats.t.ppf(1 - alpha / 2, degrees) * error
        p = 2 * stats.t.sf(abs(estimate / error), degrees)
    else:
        rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / sequential)
        deviation = error * math.sqrt(n)
        root = math.sqrt(n * rho**2 + 1)
        width = deviation * math.sqrt(2 * (n * rho**2 + 1) / (n**2 * rho**2) * math.log(root / alpha))
        # The mixture martingale that eq. 9 inverts, at no effect.
        total = estimate * n / deviation
        p = min(1.0, root * math.exp(-(rho**2) * total**2 / (2 * (n * rho**2 + 1))))
    return {"estimate": estimate, "standard_error": error, "ci": [estimate - width, estimate + width], "p_value": p}


def welch_degrees(va, na, vb, nb):
    return (va / na + vb / nb) ** 2 / ((va / na) ** 2 / (na - 1) + (vb / nb) ** 2 / (nb - 1))


def difference_case(draw):
    kind = draw.choice(["mean", "share", "skewed", "cuped", "ratio"])
    na, nb = int(draw.integers(20, 2000)), int(draw.integers(20, 2000))
    lift = draw.choice([0, draw.uniform(-0.3, 0.3)])
    relative = bool(draw.random() < 0.5)
    alpha = float(draw.choice([0.05, 0.01, 0.1]))
    sequential = float(draw.choice([500, 5000])) if draw.random() < 0.3 else None
    a, before_a = arm_values(draw, kind, na, 0)
    b, before_b = arm_values(draw, kind, nb, lift)
    control, treatment = sums(a), sums(b)

    if kind == "cuped":
        for arm, y, x in ((control, a, before_a), (treatment, b, before_b)):
            arm["pre_sum"] = math.fsum(x)
            arm["pre_sum_squares"] = math.fsum(x**2)
            arm["post_pre_sum_of_products"] = math.fsum(x * y)
        everyone = numpy.cov(numpy.concatenate([a, b]), numpy.concatenate([before_a, before_b]))
        theta = everyone[0, 1] / everyone[1, 1]
        ya, yb = a - theta * before_a, b - theta * before_b
        va, vb = ya.var(ddof=1), yb.var(ddof=1)
        estimate, variance = yb.mean() - ya.mean(), va / na + vb / nb
        if relative:
            estimate /= a.mean()
            share = b.mean() / a.mean()
            va_share = (a * share - theta * before_a).var(ddof=1)
            variance = (vb / nb + va_share / na) / a.mean() ** 2
    elif kind == "ratio":
        ma, mb = draw.poisson(5, na) + 1.0, draw.poisson(5, nb) + 1.0
        for arm, y, m in ((control, a, ma), (treatment, b, mb)):
            arm["denominator_sum"] = math.fsum(m)
            arm["denominator_sum_squares"] = math.fsum(m**2)
            arm["numerator_denominator_sum_of_products"] = math.fsum(m * y)
        ra, rb = a.sum() / ma.sum(), b.sum() / mb.sum()
        va = ((a - ra * ma) / ma.mean()).var(ddof=1)
        vb = ((b - rb * mb) / mb.mean()).var(ddof=1)
        estimate, variance = rb - ra, va / na + vb / nb
        if relative:
            estimate, variance = rb / ra - 1, delta_relative((va, vb), (ra, rb), (na, nb))
    else:
        va, vb = a.var(ddof=1), b.var(ddof=1)
        estimate, variance = b.mean() - a.mean(), va / na + vb / nb
        if relative:
            estimate, variance = estimate / a.mean(), delta_relative((va, vb), (a.mean(), b.mean()), (na, nb))
    degrees = welch_degrees(va, na, vb, nb)
    error = math.sqrt(variance)
    expected = interval(estimate, error, degrees, alpha, sequential, na + nb)

    if sequential is None and not relative:
        # SciPy's own word, on the users.
        left, right = (ya, yb) if kind == "cuped" else (a, b)
        if kind != "ratio":
            test = stats.ttest_ind(right, left, equal_var=False)
            low, high = test.confidence_interval(1 - alpha)
            expected.update(p_value=test.pvalue, ci=[low, high])

    summary = {"control": control, "treatment": treatment, "alpha": alpha}
    if not relative or draw.random() < 0.5:
        summary["difference"] = "relative" if relative else "absolute"
    if sequential is not None:
        summary["sequential"] = {"tuning": sequential}
    return {"summary": summary, "expected": expected}


def sample_ratio_case(draw):
    arms = int(draw.integers(2, 6))
    weights = draw.integers(1, 10, arms).astype(float)
    units = draw.multinomial(int(draw.integers(100, 100000)), weights / weights.sum())
    p = stats.chisquare(units, units.sum() * weights / weights.sum()).pvalue
    return {
        "summary": {"sample_ratio": {"units": units.tolist(), "weights": weights.tolist()}},
        "expected": {"sample_ratio": {"p_value": p, "mismatch": bool(p < 0.001)}},
    }


def p_values_case(draw):
    p_values = draw.random(int(draw.integers(1, 20))) ** draw.choice([1, 3])
    if draw.random() < 0.3:
        p_values = numpy.round(p_values, 1)  # ties, zeros and ones
    return {
        "summary": {"p_values": p_values.tolist()},
        "expected": {
            "holm": multipletests(p_values, method="holm")[1].tolist(),
            "benjamini_hochberg": multipletests(p_values, method="fdr_bh")[1].tolist(),
        },
    }


def sign_test_case(draw):
    n = int(draw.integers(1, 5000))
    wins = int(draw.binomial(n, draw.choice([0.5, draw.random()])))
    low, high = proportion_confint(wins, n, 0.05, method="beta")
    return {
        "summary": {"sign_test": {"wins": wins, "losses": n - wins}},
        "expected": {
            "sign_test": {
                "estimate": wins / n,
                "standard_error": math.sqrt(wins / n * (1 - wins / n) / n),
                "ci": [low if wins > 0 else 0.0, high if wins < n else 1.0],
                "p_value": stats.binomtest(wins, n).pvalue,
            }
        },
    }


def off_policy_case(draw):
    n, actions = int(draw.integers(60, 120)), 4
    logged = draw.dirichlet([5] * actions, n)
    target = draw.dirichlet([5] * actions, n)
    truth = draw.random((n, actions))
    model = truth + draw.normal(0, 0.1, truth.shape)
    rows = numpy.arange(n)
    chosen = numpy.array([draw.choice(actions, p=p) for p in logged])
    reward = (draw.random(n) < truth[rows, chosen]).astype(float)
    propensity, probability = logged[rows, chosen], target[rows, chosen]
    weight = probability / propensity
    of_choice, of_target = model[rows, chosen], (target * model).sum(axis=1)
    z = stats.norm.ppf(0.975)

    def value(estimate, error):
        return {"estimate": estimate, "standard_error": error, "ci": [estimate - z * error, estimate + z * error]}

    snips = numpy.average(reward, weights=weight)
    doubly_robust = of_target + weight * (reward - of_choice)
    log = [
        {
            "reward": float(r),
            "propensity": float(p),
            "target_probability": float(q),
            "expected_of_choice": float(c),
            "expected_of_target": float(t),
        }
        for r, p, q, c, t in zip(reward, propensity, probability, of_choice, of_target)
    ]
    return {
        "summary": {"off_policy": log},
        "expected": {
            "off_policy": {
                "effective_sample": weight.sum() ** 2 / (weight**2).sum(),
                "ips": value((weight * reward).mean(), stats.sem(weight * reward)),
                "snips": value(snips, math.sqrt((weight**2 * (reward - snips) ** 2).sum()) / weight.sum()),
                "doubly_robust": value(doubly_robust.mean(), stats.sem(doubly_robust)),
            }
        },
    }


def power_case(draw):
    deviation = float(draw.uniform(0.5, 20))
    alpha = float(draw.choice([0.05, 0.01, 0.1]))
    power = float(draw.choice([0.8, 0.9, 0.6]))
    asked = {"deviation": deviation, "alpha": alpha, "power": power}
    # statsmodels knows the power; its own search for users or effect ends at five digits.
    power_of = TTestIndPower().power
    shift = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)  # near it: SciPy's non-central t fails far away
    if draw.random() < 0.5:
        effect = float(deviation * draw.uniform(0.02, 0.8))
        about = 2 * (shift * deviation / effect) ** 2
        low, high = max(1.5, 0.9 * about), 1.1 * about + 5
        users = brentq(lambda n: power_of(effect / deviation, n, alpha) - power, low, high, xtol=1e-9)
        return {"power": dict(asked, effect=effect), "expected": {"users_per_arm": math.ceil(users)}}
    users = int(draw.integers(20, 20000))
    about = shift * math.sqrt(2 / users)
    effect = brentq(lambda e: power_of(e, users, alpha) - power, 0.9 * about, 1.15 * about, xtol=1e-15)
    return {"power": dict(asked, users=users), "expected": {"effect": effect * deviation}}


def draw_cases(count, seed):
    draw = numpy.random.default_rng(seed)
    makers = [difference_case] * 6 + [sample_ratio_case, p_values_case, sign_test_case, power_case]
    # A log is long: a few of them.
    return [off_policy_case(draw) if i % 50 == 49 else makers[i % len(makers)](draw) for i in range(count)]


def plain(value):
    """NumPy's numbers as JSON knows them."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.item() if isinstance(value, numpy.generic) else value


def ask(fovea, case):
    if "power" in case:
        command = [fovea, "experiment", "power", "--absolute", "--json"]
        for name, value in case["power"].items():
            command += [f"--{name}", repr(value)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    command = [fovea, "experiment", "analyze", "--summary", "-"]
    text = json.dumps(case["summary"])
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, input=text).stdout)


def distance(expected, found, path=""):
    """The largest difference, as a share of the number or of the numbers beside it, and where it is."""
    if isinstance(expected, dict):
        return max(distance(value, found[key], f"{path}.{key}") for key, value in expected.items())
    if isinstance(expected, list):
        assert len(expected) == len(found), path
        return max(distance(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(expected, found)))
    if isinstance(expected, bool):
        return (0.0 if expected == found else math.inf, path)
    # Of a p-value of 1e-12, some libraries keep what is left of 1 less another number.
    return (abs(expected - found) / max(abs(expected), 1e-3), path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fovea")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", metavar="FILE")
    arguments = parser.parse_args()
    cases = plain(draw_cases(arguments.cases, arguments.seed))
    worst = (0.0, "")
    for number, case in enumerate(cases):
        worst = max(worst, distance(case["expected"], ask(arguments.fovea, case), f"case {number}"))
    versions = f"scipy {scipy.__version__}, statsmodels {statsmodels.__version__}"
    print(f"{len(cases)} cases, seed {arguments.seed}; {versions}")
    print(f"largest difference {worst[0]:.2g} at {worst[1]}")
    if arguments.write:
        with open(arguments.write, "w") as file:
            file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    return 0 if worst[0] <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
