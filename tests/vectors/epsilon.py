"""Epsilon of zCDP by Canonne, Kamath, Steinke (2020), corollary 13, in arithmetic of fifty digits: a second implementation
for crates/protocol/src/aggregation/noise.rs. Needs mpmath. Prints (rho, delta, epsilon)."""

from mpmath import exp, findroot, log, mp, mpf

mp.dps = 50


def log_delta(rho, epsilon, alpha):
    return (alpha - 1) * (alpha * rho - epsilon) - log(alpha - 1) + alpha * log(1 - 1 / alpha)


def smallest(rho, epsilon):
    """The minimum over alpha: its derivative has one root."""
    slope = lambda a: (2 * a - 1) * rho - epsilon + log(1 - 1 / a)
    return log_delta(rho, epsilon, findroot(slope, (mpf("1.0000001"), (epsilon + 50) / rho), solver="anderson"))


for rho, delta in [("0.5", "1e-6"), ("0.1", "1e-6"), ("1.0", "1e-5")]:
    rho, delta = mpf(rho), mpf(delta)
    low, high = mpf("0.01"), rho + 2 * (rho * log(1 / delta)) ** mpf("0.5")
    for _ in range(120):
        middle = (low + high) / 2
        low, high = (low, middle) if smallest(rho, middle) <= log(delta) else (middle, high)
    print(f"({rho}, {delta}, {float(high)!r})")
