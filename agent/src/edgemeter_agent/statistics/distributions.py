"""The binomial distribution and Student's t, to full precision for any numbers: the agent has no scipy."""

from __future__ import annotations

import functools
import math

_TINY = 1e-300
_TOLERANCE = 1e-14
_MAX_TERMS = 1_000_000


def beta_regularized(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b), for 0 <= x <= 1, a > 0 and b > 0.

    The continued fraction 8.17.22 of the NIST Digital Library of Mathematical Functions, which converges fast
    for x < (a + 1) / (a + b + 2); beyond, I_x(a, b) = 1 - I_{1 - x}(b, a) (8.17.4). Relative error below 1e-8
    for a and b up to a million, where it is lgamma's. Raises ValueError for arguments outside.
    """
    if not (0 <= x <= 1 and a > 0 and b > 0):
        raise ValueError(f"the incomplete beta function does not exist at x={x}, a={a}, b={b}")
    if x in (0, 1):
        return float(x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front / (a * _beta_fraction(x, a, b))
    return 1 - front / (b * _beta_fraction(1 - x, b, a))


def binomial_cdf(count: int, trials: int, probability: float) -> float:
    """P(X <= count) for X successes in so many trials (DLMF 8.17.5)."""
    if count < 0:
        return 0.0
    if count >= trials:
        return 1.0
    return beta_regularized(1 - probability, trials - count, count + 1)


@functools.lru_cache(maxsize=256)
def binomial_quantile_below(trials: int, probability: float, tail: float) -> int:
    """The largest k with P(X <= k) <= tail, exactly; -1 where even P(X = 0) is more.

    Needs 0 < probability < 1, 0 < tail < 1.
    """
    mean = trials * probability
    guess = math.floor(mean - 2 * math.sqrt(mean * (1 - probability)))
    low = high = min(max(guess, -1), trials)
    # binomial_cdf(low) <= tail < binomial_cdf(high), reached in widening steps: each costs a fraction.
    step = 1
    while binomial_cdf(low, trials, probability) > tail:
        high, low, step = low, max(low - step, -1), 2 * step
    if low == high:
        step = 1
        while binomial_cdf(high, trials, probability) <= tail:
            low, high, step = high, min(high + step, trials), 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_cdf(middle, trials, probability) <= tail:
            low = middle
        else:
            high = middle
    return low


def student_t_two_sided(t: float, freedom: float) -> float:
    """P(|T| >= |t|) for Student's t with so many degrees of freedom (Abramowitz & Stegun 26.7.1, 26.5.27).

    Raises ValueError for less than one degree of freedom.
    """
    _check_freedom(freedom)
    if math.isinf(t):
        return 0.0
    return beta_regularized(freedom / (freedom + t * t), freedom / 2, 0.5)


def student_t_quantile(probability: float, freedom: float) -> float:
    """The t that a Student's t variable stays below with this probability.

    By bisection of the tail. Raises ValueError for less than one degree of freedom or a probability that is
    not between 0 and 1.
    """
    _check_freedom(freedom)
    if not 0 < probability < 1:
        raise ValueError(f"a probability is between 0 and 1, not {probability}")
    if probability < 0.5:
        return -student_t_quantile(1 - probability, freedom)
    both_tails = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while student_t_two_sided(high, freedom) > both_tails:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if student_t_two_sided(middle, freedom) > both_tails:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _check_freedom(freedom: float) -> None:
    if freedom < 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, not {freedom}")


def _beta_fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)) of DLMF 8.17.22, by Lentz's method as Thompson & Barnett modified it
    ("Coulomb and Bessel Functions of Complex Arguments and Order", J. Computational Physics 64, 1986)."""
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, _MAX_TERMS):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _not_zero(1 + term * d)
        c = _not_zero(1 + term / c)
        value *= c * d
        if abs(c * d - 1) < _TOLERANCE:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge at x={x}, a={a}, b={b}")


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
