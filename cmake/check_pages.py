#!/usr/bin/env python3
"""Checks what README, CONTRIBUTING and docs name: commands of ./dev, presets of CMake, test programs, files of the tree,
other pages and their headings. Run with the source tree; --planted checks the check."""
import json
import pathlib
import re
import sys

TARGETS = {"lacuna"}  # of --target, that are no test


def anchors(text):
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    words = (re.sub(r"[^\w\- ]", "", title.lower()) for title in re.findall(r"^#+ +(.*?) *$", text, re.M))
    return {word.replace(" ", "-") for word in words}


def complaints(tree, name, text):
    dev = (tree / "dev").read_text(encoding="utf-8")
    commands = re.findall(r"^  ([a-z| -]+)\)", dev[dev.index("\ncase $command in"):], re.M)
    commands = {word for line in commands for word in line.split(" | ")}
    presets = json.loads((tree / "CMakePresets.json").read_text(encoding="utf-8"))["configurePresets"]
    presets = {preset["name"] for preset in presets if not preset.get("hidden")}
    tests = {path.stem for path in (tree / "tests").rglob("*_test.cpp")}
    tests |= {re.sub("_test$", f"_{machine}_test", test) for test in tests for machine in ("emulated", "ptx")}
    tests |= {f"example_{path.parent.name}" for path in (tree / "examples").glob("*/main.cpp")}
    for word in re.findall(r"\./dev ([a-z][a-z-]*)", text):
        if word not in commands:
            yield f"./dev has no command {word}"
    for word in re.findall(r"--preset[ =]([a-z][a-z-]*)", text):
        if word not in presets:
            yield f"CMakePresets.json has no preset {word}"
    programs = re.findall(r"--target ([a-z]\w*)", text) + re.findall(r"build/[\w/]*tests/(\w+_test)\b", text)
    for word in programs:
        if word not in tests | TARGETS:
            yield f"there is no target {word}"
    for word in re.findall(r"`((?:tests|host|kernels|cmake|include|examples|bench)/[\w/.-]+\.\w+)`", text):
        if not (tree / word).exists() and not re.search(r"bench/results/", word):
            yield f"there is no {word}"
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        page = (tree / name).parent / path if path else tree / name
        if not page.exists():
            yield f"there is no {path}"
        elif anchor and anchor not in anchors(page.read_text(encoding="utf-8") if path else text):
            yield f"{path or name} has no heading #{anchor}"


def main(arguments):
    tree = pathlib.Path(arguments[-1])
    if "--planted" in arguments:
        text = ("# One\n./dev nothing\ncmake --preset nothing --target nothing_test build/cpu/tests/nothing_test "
                "`tests/nothing.cpp` [a](nothing.md) [b](#two) [c](docs/README.md#nothing)\n"
                "./dev test --preset cpu --target lacuna `cmake/check_pages.py` [d](#one) [e](docs/README.md#documentation)\n")
        found = list(complaints(tree, "README.md", text))
        print("\n".join(found))
        return len(found) != 8
    found = [f"{name}: {complaint}"
             for name in ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in (tree / "docs").glob("*.md"))]
             for complaint in complaints(tree, name, (tree / name).read_text(encoding="utf-8"))]
    print("\n".join(found) or "all is there")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
