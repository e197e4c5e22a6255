"""Constants of a model from what was measured: least squares of log(predicted / measured), in the constants'
logarithms, so that none becomes negative and a small time counts as much as a large one. Outliers count less
(Huber). Plain Python: the machine with the GPU may have nothing else."""

import math
from dataclasses import dataclass

BEYOND = 0.1  # a log ratio that counts in proportion rather than squared
UNSURE = 0.5  # a relative error beyond which a constant is not determined, and stays what it was


@dataclass
class Fit:
    constants: list
    errors: list  # relative, of one standard deviation; None: not determined, left as it was
    ratios: list  # predicted over measured, by point


def solve(matrix, right):
    """Gaussian elimination with pivots; None where the matrix is singular."""
    rows = [list(row) + [value] for row, value in zip(matrix, right)]
    size = len(rows)
    for k in range(size):
        pivot = max(range(k, size), key=lambda i: abs(rows[i][k]))
        if abs(rows[pivot][k]) < 1e-12:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(k + 1, size):
            share = rows[i][k] / rows[k][k]
            for j in range(k, size + 1):
                rows[i][j] -= share * rows[k][j]
    answer = [0.0] * size
    for k in reversed(range(size)):
        known = sum(rows[k][j] * answer[j] for j in range(k + 1, size))
        answer[k] = (rows[k][size] - known) / rows[k][k]
    return answer


class Problem:
    """`predict(constants)`: a list beside `measured`."""

    def __init__(self, predict, measured):
        self.predict, self.measured = predict, measured

    def residuals(self, logs):
        predicted = self.predict([math.exp(log) for log in logs])
        return [math.log(p / m) for p, m in zip(predicted, self.measured)]

    def loss(self, residuals):
        return sum(r * r / 2 if abs(r) <= BEYOND else BEYOND * (abs(r) - BEYOND / 2)
                   for r in residuals)

    def normal(self, logs, residuals, free):
        """J^T W J and J^T W r of the free constants."""
        step, columns = 1e-4, []
        for k in free:
            moved = list(logs)
            moved[k] += step
            columns.append([(a - b) / step for a, b in zip(self.residuals(moved), residuals)])
        weights = [min(1.0, BEYOND / abs(r)) if r else 1.0 for r in residuals]
        matrix = [[sum(w * a * b for w, a, b in zip(weights, left, right)) for right in columns]
                  for left in columns]
        right = [sum(w * a * r for w, a, r in zip(weights, column, residuals)) for column in columns]
        return matrix, right

    def descend(self, logs, free, rounds=40):
        """Levenberg-Marquardt."""
        residuals, damping = self.residuals(logs), 1e-2
        for _ in range(rounds):
            matrix, right = self.normal(logs, residuals, free)
            before = self.loss(residuals)
            while damping < 1e6:
                damped = [[value * (1 + damping) + 1e-9 if i == j else value
                           for j, value in enumerate(row)] for i, row in enumerate(matrix)]
                move = solve(damped, right)
                if move is not None and max(map(abs, move)) < 3:
                    tried = list(logs)
                    for k, by in zip(free, move):
                        tried[k] -= by
                    found = self.residuals(tried)
                    if self.loss(found) < before:
                        break
                damping *= 4
            else:
                return logs, residuals
            logs, residuals, damping = tried, found, damping / 8
            if before - self.loss(residuals) < 1e-9 * before:
                break
        return logs, residuals

    def errors(self, logs, residuals, free):
        """Standard deviations of the free constants' logarithms; infinite where nothing says."""
        matrix, _ = self.normal(logs, residuals, free)
        spread = 2 * self.loss(residuals) / max(1, len(residuals) - len(free))
        # A constant that no point depends on would make the matrix singular for all.
        ridged = [[value + 1e-9 if i == j else value for j, value in enumerate(row)]
                  for i, row in enumerate(matrix)]
        result = []
        for k in range(len(free)):
            unit = [float(i == k) for i in range(len(free))]
            column = solve(ridged, unit)
            variance = math.inf if column is None or matrix[k][k] < 1e-6 else column[k] * spread
            result.append(math.sqrt(max(variance, 0)))
        return result


def starts(logs, free):
    """The defaults, and from each with one constant elsewhere: the model has kinks, behind which a descent
    does not see."""
    yield logs
    for k in free:
        for factor in (1 / 3, 3):
            moved = list(logs)
            moved[k] += math.log(factor)
            yield moved


def fit(predict, defaults, measured):
    """`predict(constants)` gives a list beside `measured`; all constants, predictions and measurements are
    positive. Constants that the points do not determine stay at their defaults."""
    problem, free = Problem(predict, measured), list(range(len(defaults)))
    kept = [math.log(value) for value in defaults]
    best = kept
    while True:
        begin = [best[k] if k in free else kept[k] for k in range(len(kept))]
        found = [problem.descend(start, free) for start in starts(begin, free)]
        best, residuals = min(found, key=lambda one: problem.loss(one[1]))
        errors = problem.errors(best, residuals, free) if free else []
        if not errors or max(errors) <= UNSURE:
            break
        free.remove(free[errors.index(max(errors))])
    by_constant = dict(zip(free, errors))
    return Fit([math.exp(log) for log in best], [by_constant.get(k) for k in range(len(kept))],
               [math.exp(r) for r in residuals])
