#!/bin/sh
# Copies the objects of tests/corpus, and their BTF, to the corpora of `load_path`,
# `readers` and `load_btf`.
set -e
cd "$(dirname "$0")/.."
mkdir -p corpus/load_path corpus/readers corpus/load_btf
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# Prints a 16-bit number, least significant byte first.
word() {
    printf "\\$(printf %03o $(($1 % 256)))\\$(printf %03o $(($1 / 256)))"
}

section() {
    llvm-objcopy --dump-section "$2=$work/out" "$1" /dev/null 2>/dev/null || : > "$work/out"
    cat "$work/out"
}

section ../corpus/core/target.o .BTF > "$work/kernel"
for object in ../corpus/*/*.o; do
    name=$(echo "${object#../corpus/}" | tr / _)
    cp "$object" "corpus/load_path/$name"
    cp "$object" "corpus/readers/$name"
    section "$object" .BTF > "$work/btf"
    section "$object" .BTF.ext > "$work/ext"
    size=$(stat -c %s "$work/btf")
    [ "$size" -gt 0 ] && [ "$size" -lt 65536 ] || continue
    {
        word "$size"
        word "$(stat -c %s "$work/ext")"
        # Eight loads: r1 = *(u32 *)(r2 + 4)
        for _ in 1 2 3 4 5 6 7 8; do printf 'a!\004\000\000\000\000\000'; done
        cat "$work/btf" "$work/ext" "$work/kernel"
    } > "corpus/load_btf/$name"
done
