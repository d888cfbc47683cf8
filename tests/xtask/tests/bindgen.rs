//! Generated modules against other tools: sizes and offsets by bpftool and llvm-dwarfdump, all of it in C by clang,
//! the format by rustfmt. A test is ignored where its tool is missing.
//!
//! The compiler checks that the Rust types have the layout that the module's assertions say (`embedding.rs` compiles
//! them). These tests check that the assertions say what clang's types have.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../live/support/harness.rs"]
#[expect(dead_code, reason = "others use more of it")]
mod harness;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cutaway::{
    Object,
    bindgen::{Options, generate},
};
use harness::{Suite, test};

fn main() {
    let tests = vec![
        test!(layouts_are_those_that_bpftool_reads).needs(|| missing("bpftool")),
        test!(layouts_are_those_of_dwarf).needs(|| missing("llvm-dwarfdump")),
        test!(layouts_are_those_that_clang_computes).needs(|| missing("clang")),
        test!(text_is_formatted).needs(|| missing("rustfmt")),
        test!(text_is_the_same_on_each_run),
        test!(module_in_the_live_tests_is_current),
    ];
    Suite::new([tests]).run()
}

/// Returns the reason why a tool cannot be run.
fn missing(tool: &str) -> Option<String> {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    (!found).then(|| format!("{tool} is not installed"))
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// Returns each object of the corpus that has types and this machine's byte order, with its module.
fn modules() -> Vec<(PathBuf, String)> {
    let mut modules = Vec::new();
    for directory in fs::read_dir(corpus()).unwrap() {
        for file in fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "o") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            if Object::parse(&bytes).is_ok_and(|object| object.btf().is_some()) {
                let options = Options::new("module").include(&path);
                modules.push((path, generate(&bytes, &options).unwrap()));
            }
        }
    }
    modules.sort();
    assert!(modules.len() > 90, "{} objects", modules.len());
    modules
}

/// The layout of a structure or union: its size, and the offset of members in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Layout {
    size: u64,
    align: u64,
    offsets: BTreeMap<String, u64>,
}

/// Reads the layouts that a module asserts, by the name in C (`struct event`). Members are those that are fields.
fn asserted(module: &str) -> BTreeMap<String, Layout> {
    let mut layouts = BTreeMap::new();
    let (mut c_name, mut member) = (String::new(), None);
    let mut members: BTreeMap<String, String> = BTreeMap::new();
    let mut layout = Layout::default();
    for line in module.lines().map(str::trim) {
        let quoted = line.strip_prefix("/// `").and_then(|rest| rest.split_once('`'));
        match quoted {
            Some((name, rest))
                if rest.starts_with(": ") && [" byte.", " bytes."].iter().any(|end| rest.ends_with(end)) =>
            {
                (c_name, member) = (name.to_owned(), None);
                members.clear();
            }
            Some((name, rest)) if rest.starts_with(": `") => member = Some(name.to_owned()),
            _ => {}
        }
        if let Some((field, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(':'))
            && let Some(member) = member.take()
        {
            members.insert(field.to_owned(), member);
        }
        let Some((what, number)) = line.strip_prefix("assert!(::core::mem::").and_then(|rest| rest.split_once(" == "))
        else {
            continue;
        };
        let number: u64 = number.trim_end_matches(");").replace('_', "").parse().unwrap();
        if what.starts_with("size_of") {
            layout = Layout { size: number, ..Layout::default() };
        } else if what.starts_with("align_of") {
            layout.align = number;
        } else {
            let (_, field) = what.trim_end_matches(')').split_once(", ").unwrap();
            if let Some(member) = members.get(field) {
                layout.offsets.insert(member.clone(), number);
            }
        }
        layouts.insert(c_name.clone(), layout.clone());
    }
    layouts
}

/// Compares the layouts of a module with those of a tool. `theirs` may have several types with the same name. Returns
/// how many were compared.
fn compare(path: &Path, ours: &BTreeMap<String, Layout>, theirs: &BTreeMap<String, Vec<Layout>>) -> usize {
    let mut compared = 0;
    for (name, layout) in ours {
        let Some(theirs) = theirs.get(name) else { continue };
        let is_same = |their: &Layout| {
            let offsets = layout.offsets.iter();
            their.size == layout.size && offsets.clone().all(|(name, at)| their.offsets.get(name) == Some(at))
        };
        assert!(theirs.iter().any(is_same), "{}: {name}: {layout:?} is not one of {theirs:?}", path.display());
        compared += 1;
    }
    compared
}

fn layouts_are_those_that_bpftool_reads() {
    let (mut compared, mut objects) = (0, 0);
    for (path, module) in modules() {
        let output = Command::new("bpftool").args(["btf", "dump", "file"]).arg(&path).args(["format", "raw"]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}: {output:?}", path.display());
        let types = bpftool_types(&String::from_utf8_lossy(&output.stdout));
        let theirs = types.iter().filter(|ty| ty.kind.is_some() && ty.name != "(anon)");
        let mut layouts: BTreeMap<String, Vec<Layout>> = BTreeMap::new();
        for ty in theirs {
            let mut layout = Layout { size: ty.size, ..Layout::default() };
            flatten(&types, ty, 0, &mut layout);
            layouts.entry(format!("{} {}", ty.kind.unwrap(), ty.name)).or_default().push(layout);
        }
        let found = compare(&path, &asserted(&module), &layouts);
        compared += found;
        objects += usize::from(found > 0);
    }
    assert!(compared > 150 && objects > 30, "{compared} types of {objects} objects");
}

/// A type as bpftool prints it; `kind` is `None` for all but structures and unions.
#[derive(Default)]
struct Printed {
    kind: Option<&'static str>,
    name: String,
    size: u64,
    /// Names, type ids and bits; `true` for bit fields.
    members: Vec<(String, usize, u64, bool)>,
}

/// Reads the output of `bpftool btf dump … format raw`; the index is the type's id.
fn bpftool_types(text: &str) -> Vec<Printed> {
    let mut types = vec![Printed::default()];
    for line in text.lines() {
        let number = |key: &str| {
            let value = line.split(key).nth(1)?.split_whitespace().next()?;
            value.parse::<u64>().ok()
        };
        let name = line.split('\'').nth(1).unwrap_or_default().to_owned();
        if line.starts_with('[') {
            let kind = match line.split_whitespace().nth(1) {
                Some("STRUCT") => Some("struct"),
                Some("UNION") => Some("union"),
                _ => None,
            };
            let size = number("size=").unwrap_or(0);
            types.push(Printed { kind, name, size, members: Vec::new() });
        } else if let (Some(id), Some(bits)) = (number("type_id="), number("bits_offset=")) {
            let is_bits = number("bitfield_size=").is_some_and(|bits| bits != 0);
            types.last_mut().unwrap().members.push((name, id as usize, bits, is_bits));
        }
    }
    types
}

/// Adds the members of a structure, and those of unnamed structures in it.
fn flatten(types: &[Printed], ty: &Printed, base: u64, layout: &mut Layout) {
    for (name, id, bits, is_bits) in &ty.members {
        let at = base + bits / 8;
        match types.get(*id) {
            Some(inner) if name == "(anon)" => flatten(types, inner, at, layout),
            _ if !is_bits => drop(layout.offsets.insert(name.clone(), at)),
            _ => {}
        }
    }
}

fn layouts_are_those_of_dwarf() {
    let mut compared = 0;
    for (path, module) in modules() {
        let output = Command::new("llvm-dwarfdump").arg("--debug-info").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", path.display());
        let theirs = dwarf_layouts(&String::from_utf8_lossy(&output.stdout));
        // Members of unnamed structures are not resolved here.
        let mut ours = asserted(&module);
        for (name, layout) in &mut ours {
            let known = theirs.get(name).into_iter().flatten();
            let known: Vec<&String> = known.flat_map(|layout| layout.offsets.keys()).collect();
            layout.offsets.retain(|name, _| known.contains(&name));
        }
        compared += compare(&path, &ours, &theirs);
    }
    assert!(compared > 100, "{compared} types");
}

/// Reads structures and unions with a name from the output of llvm-dwarfdump. The indent shows which members are whose.
fn dwarf_layouts(text: &str) -> BTreeMap<String, Vec<Layout>> {
    let mut layouts: BTreeMap<String, Vec<Layout>> = BTreeMap::new();
    // The indent, keyword, name and layout of each type that is not complete yet; then the member that is being read.
    let mut open: Vec<(usize, &str, String, Layout)> = Vec::new();
    let mut member: Option<(String, Option<u64>, bool)> = None;
    for line in text.lines() {
        let Some((head, tag)) = line.split_once("DW_TAG_").or_else(|| line.split_once("NULL")) else {
            let value = |key: &str| line.split_once(key).map(|(_, rest)| rest.trim().trim_matches(['(', ')', '"']));
            let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
            match (&mut member, open.last_mut()) {
                (Some((name, at, is_bits)), _) => {
                    *name = value("DW_AT_name").map_or_else(|| name.clone(), str::to_owned);
                    *at = value("DW_AT_data_member_location").and_then(number).or(*at);
                    *is_bits |= line.contains("DW_AT_bit_size") || line.contains("DW_AT_data_bit_offset");
                }
                (None, Some((_, _, name, layout))) => {
                    *name = value("DW_AT_name").map_or_else(|| name.clone(), str::to_owned);
                    layout.size = value("DW_AT_byte_size").and_then(number).unwrap_or(layout.size);
                }
                (None, None) => {}
            }
            continue;
        };
        let indent = head.len();
        if let (Some((name, at, false)), Some((_, keyword, _, layout))) = (member.take(), open.last_mut()) {
            // A union's members have no location.
            let at = at.or((*keyword == "union").then_some(0));
            layout.offsets.extend(at.map(|at| (name, at)));
        }
        while open.last().is_some_and(|(opened, ..)| *opened >= indent) {
            let (_, keyword, name, layout) = open.pop().unwrap();
            layouts.entry(format!("{keyword} {name}")).or_default().push(layout);
        }
        match tag.trim() {
            "structure_type" => open.push((indent, "struct", String::new(), Layout::default())),
            "union_type" => open.push((indent, "union", String::new(), Layout::default())),
            "member" => member = Some((String::new(), None, false)),
            _ => open.push((indent, "other", String::new(), Layout::default())),
        }
    }
    layouts
}

/// Compiles the source of the objects with assertions about every type that has a name, alignments included.
fn layouts_are_those_that_clang_computes() {
    for source in ["layouts", "typed"] {
        let directory = corpus().join("bindgen");
        let module = generate(&fs::read(directory.join(source).with_extension("o")).unwrap(), &Options::new(source));
        // BTF has no alignments. These are lower in Rust: nothing in the type's offsets and size shows them.
        let hidden = ["struct packed_by_two"];
        let mut assertions = format!("#include \"{}\"\n", directory.join(source).with_extension("c").display());
        let mut count = 0;
        for (name, layout) in asserted(&module.unwrap()) {
            if name.contains('(') || name.starts_with("enum") {
                continue;
            }
            assertions += &format!("_Static_assert(sizeof({name}) == {}, \"size of {name}\");\n", layout.size);
            if !hidden.contains(&name.as_str()) {
                assertions += &format!("_Static_assert(_Alignof({name}) == {}, \"align of {name}\");\n", layout.align);
            }
            for (member, at) in &layout.offsets {
                assertions +=
                    &format!("_Static_assert(__builtin_offsetof({name}, {member}) == {at}, \"{name}.{member}\");\n");
                count += 1;
            }
        }
        assert!(count >= 10, "{source}: {count} members");
        let file = tempfile::Builder::new().suffix(".c").tempfile().unwrap();
        fs::write(file.path(), &assertions).unwrap();
        let mut clang = Command::new("clang");
        clang.args(["--target=bpf", "-fsyntax-only", "-w"]).arg(file.path());
        let output = clang.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn text_is_formatted() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("rustfmt.toml"), "").unwrap();
    let mut files = Vec::new();
    for (index, (path, module)) in modules().into_iter().enumerate() {
        let file = directory.path().join(format!("module_{index}.rs"));
        fs::write(&file, &module).unwrap();
        // The bytes as a literal, too.
        let literal = directory.path().join(format!("literal_{index}.rs"));
        fs::write(&literal, generate(&fs::read(path).unwrap(), &Options::new("module")).unwrap()).unwrap();
        files.extend([file, literal]);
    }
    for edition in ["2021", "2024"] {
        let mut rustfmt = Command::new("rustfmt");
        rustfmt.args(["--check", "--edition", edition, "--config-path"]).arg(directory.path()).args(&files);
        let output = rustfmt.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let start: String = text.lines().take(40).collect::<Vec<_>>().join("\n");
        assert!(output.status.success(), "edition {edition}: {start}{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn text_is_the_same_on_each_run() {
    for ((path, first), (_, second)) in modules().into_iter().zip(modules()) {
        assert!(first == second, "{}", path.display());
    }
}

fn module_in_the_live_tests_is_current() {
    let object = fs::read(corpus().join("bindgen/typed.o")).unwrap();
    let module = generate(&object, &Options::new("typed").include("../../../corpus/bindgen/typed.o")).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../live/loader/bindgen/typed.rs");
    let written = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(
        written == module,
        "write it again: cutaway bindgen tests/corpus/bindgen/typed.o --include ../../../corpus/bindgen/typed.o \
         --output {}",
        file.display()
    );
}
