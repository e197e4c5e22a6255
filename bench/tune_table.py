"""host/cuda/measured_chips.inc: the constants of the cost model, for each chip that they have been measured
on. The library compiles it (host/cuda/measured_chips.cu); this module reads it, and writes it anew. A
younger constant that a line lacks was not measured, and has its default."""

import math
import re
from dataclasses import dataclass

ROW = re.compile(r'\{"(?P<name>[^"\\]*)", (?P<capability>-?\d+), (?P<multiprocessors>-?\d+), '
                 r'"(?P<commit>[^"\\]*)", \{(?P<constants>[^{}]*)\}\},')


class TableError(ValueError):
    """A line that is not a chip's, named with its field."""


YOUNGER = {"lone_gates"}  # than chips of the table


@dataclass(frozen=True)
class Chip:
    name: str
    capability: int  # 90: 9.0
    multiprocessors: int
    commit: str  # of the kernels that were timed
    constants: dict

    @property
    def key(self):
        return self.capability, self.multiprocessors


def check(chip, names, where):
    if chip.capability < 80:
        raise TableError(f"{where}: capability: {chip.capability}, expected at least 80")
    if chip.multiprocessors < 1:
        raise TableError(f"{where}: multiprocessors: {chip.multiprocessors}, expected at least 1")
    for field, text in (("name", chip.name), ("commit", chip.commit)):
        if not text or re.search(r'["\\\n]', text):
            raise TableError(f"{where}: {field}: {text!r}, expected words without quotes")
    for name in names:
        if name not in chip.constants and name not in YOUNGER:
            raise TableError(f"{where}: {name}: missing")
    for name, value in chip.constants.items():
        if not (value > 0 and math.isfinite(value)):
            raise TableError(f"{where}: {name}: {value}, expected a positive number")
    if list(chip.constants) != [name for name in names if name in chip.constants]:
        wrong = next((name for name in chip.constants if name not in names), None)
        raise TableError(f"{where}: {wrong}: no such constant" if wrong else
                         f"{where}: constants: {', '.join(chip.constants)}, expected in the order "
                         f"{', '.join(names)}")


def parse_constants(text, where):
    constants = {}
    for part in text.split(", "):
        found = re.fullmatch(r"\.(\w+) = (\S+)", part)
        if not found:
            raise TableError(f"{where}: constants: '{part}', expected .NAME = NUMBER")
        name, number = found.groups()
        if name in constants:
            raise TableError(f"{where}: {name}: given twice")
        try:
            constants[name] = float(number)
        except ValueError:
            raise TableError(f"{where}: {name}: '{number}', expected a number") from None
    return constants


def parse(text, names):
    """(the comment that the table begins with, its chips)"""
    comment, chips = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("//"):
            comment.append(line)
            continue
        if not line.strip():
            continue
        where = f"line {number}"
        found = ROW.fullmatch(line)
        if not found:
            raise TableError(f"{where}: '{line}', expected "
                             '{"NAME", CAPABILITY, MULTIPROCESSORS, "COMMIT", {.CONSTANT = NUMBER, ...}},')
        chip = Chip(found["name"], int(found["capability"]), int(found["multiprocessors"]),
                    found["commit"], parse_constants(found["constants"], where))
        check(chip, names, where)
        if any(other.key == chip.key for other in chips):
            raise TableError(f"{where}: capability, multiprocessors: {chip.key}, which stand above")
        chips.append(chip)
    return comment, chips


def render(comment, chips, names):
    lines = list(comment)
    for chip in sorted(chips, key=lambda chip: chip.key):
        check(chip, names, chip.name)
        constants = ", ".join(f".{name} = {chip.constants[name]:.4g}" for name in names
                              if name in chip.constants)
        lines.append(f'{{"{chip.name}", {chip.capability}, {chip.multiprocessors}, "{chip.commit}", '
                     f'{{{constants}}}}},')
    return "\n".join(lines) + "\n"


def line_of(text, key, names):
    """The chip of this capability and number of multiprocessors, or None."""
    return next((chip for chip in parse(text, names)[1] if chip.key == key), None)


def lacking(text, names):
    """{name of a chip: constants that its line lacks}, of those that lack any."""
    left_out = {chip.name: [name for name in names if name not in chip.constants] for chip in parse(text, names)[1]}
    return {name: constants for name, constants in left_out.items() if constants}


def without_chip(text, key, names):
    """The table's text with no line of this chip."""
    comment, chips = parse(text, names)
    return render(comment, [one for one in chips if one.key != key], names)


def with_chip(text, chip, names):
    """The table's text with this chip in it, in place of what it said of the same one."""
    comment, chips = parse(without_chip(text, chip.key, names), names)
    return render(comment, [*chips, chip], names)
