//! Installed tools: every version of `llvm-objdump` that can be found, `readelf`, `bpftool`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use cutaway_programs::{ByteOrder, Instruction, getaddrinfo::Transport, prelude::*};
use libtest_mimic::{Failed, Trial};

use crate::{
    forms::{Isa, forms},
    kernel, sample, trial, types,
};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let names = (14..=25).map(|version| format!("llvm-objdump-{version}"));
    let installed: Vec<_> = names.filter(|name| version(name).is_some()).collect();
    let plain = "llvm-objdump".to_owned();
    for tool in if installed.is_empty() { vec![plain] } else { installed } {
        let missing = version(&tool).is_none().then(|| format!("{tool} is not installed"));
        let name = format!("{tool}_prints_the_same_text");
        let all = tool.clone();
        trials.push(trial(name, missing, move || prints_the_same_text(&tool)));
        if isa(&all) == Isa::Acquire {
            let name = format!("{all}_prints_any_bytes_alike");
            trials.push(trial(name, None, move || prints_any_bytes_alike(&all)));
        }
    }

    let readelf = version("readelf").is_none().then(|| "readelf is not installed".to_owned());
    trials.push(trial("readelf_has_no_warnings", readelf, readelf_has_no_warnings));

    let bpftool = version("bpftool").is_none().then(|| "bpftool is not installed".to_owned());
    trials.push(trial("bpftool_reads_the_types", bpftool.clone(), bpftool_reads_the_types));
    trials.push(trial("bpftool_prints_every_kind_of_type", bpftool.clone(), bpftool_prints_every_kind_of_type));
    trials.push(trial("bpftool_links_the_object", bpftool.clone(), bpftool_links_the_object));
    let obstacle = bpftool.or_else(|| kernel::obstacle((5, 17)));
    trials.push(trial("bpftool_loads_the_object", obstacle.clone(), bpftool_loads_the_object));
    for transport in Transport::ALL {
        let test = move || load_all(&transport.object()?).map(|_| ());
        trials.push(trial(format!("bpftool_loads_the_built_in_{transport}"), obstacle.clone(), test));
    }
    trials
}

/// Returns the version that the tool prints, if it is installed.
fn version(tool: &str) -> Option<String> {
    let output = Command::new(tool).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the tool's output. The tool must succeed and must not complain.
fn run(tool: &str, arguments: &[&str]) -> Result<String, Failed> {
    let output = Command::new(tool).args(arguments).output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && complaints.is_empty() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!("{tool} {}: {}: {complaints}", arguments.join(" "), output.status).into())
    }
}

/// A file that is removed on drop.
struct File(PathBuf);

impl File {
    fn new(bytes: &[u8]) -> Result<Self, Failed> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cutaway-programs-{}-{number}.o", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes)?;
        Ok(Self(path))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns an object with one program that has every form up to this instruction set.
fn every_form(isa: Isa) -> ObjectBuilder {
    let mut asm = Assembler::new();
    let there = asm.label("there");
    for form in forms().filter(|form| form.isa <= isa) {
        (form.append)(&mut asm, there);
    }
    asm.bind(there);
    asm.exit();
    let mut object = ObjectBuilder::new("GPL");
    object.program("xdp", "every_form", asm);
    object
}

/// Returns our instructions, by function and slot within it.
fn ours(object: &ObjectBuilder) -> HashMap<(String, usize), String> {
    let (mut function, mut texts) = (String::new(), HashMap::new());
    for line in object.listing().unwrap().lines().filter(|line| !line.starts_with(';') && !line.is_empty()) {
        if let Some((slot, text)) = line.trim_start().split_once(": ").filter(|_| line.starts_with(' ')) {
            texts.insert((function.clone(), slot.parse().unwrap()), without_target(text).to_owned());
        } else if let Some((_, name)) = line.split_once(": ") {
            function = name.to_owned();
        }
    }
    texts
}

/// Returns LLVM's instructions, by function and slot within it.
fn llvms(tool: &str, file: &File, options: &[&str]) -> Result<HashMap<(String, usize), String>, Failed> {
    let options = [options, &["--no-print-imm-hex", "--no-show-raw-insn", "-d", file.path()]].concat();
    let (mut function, mut start, mut texts) = (String::new(), None, HashMap::new());
    for line in run(tool, &options)?.lines() {
        if let Some((_, name)) = line.split_once(" <").filter(|_| line.starts_with('0')) {
            function = name.trim_end_matches(">:").to_owned();
            start = None;
        } else if let Some((slot, text)) = line.trim_start().split_once(":\t").filter(|_| line.starts_with(' ')) {
            let slot: usize = slot.parse()?;
            let start = *start.get_or_insert(slot);
            texts.insert((function.clone(), slot - start), without_target(text).to_owned());
        }
    }
    Ok(texts)
}

/// Removes the name of the target: `goto +5 <LBB0_2>`.
fn without_target(text: &str) -> &str {
    match text.rsplit_once(" <") {
        Some((text, name)) if name.ends_with('>') => text,
        _ => text,
    }
}

/// Returns the newest instruction set that this version of LLVM was tested with. An older version misreads newer
/// instructions instead of calling them unknown.
fn isa(tool: &str) -> Isa {
    let version = version(tool).unwrap_or_default();
    let number = version.split("LLVM version ").nth(1).and_then(|rest| rest.split('.').next());
    match number.and_then(|number| number.parse().ok()).unwrap_or(14) {
        ..19 => Isa::V3,
        19..22 => Isa::V4,
        _ => Isa::Acquire,
    }
}

/// Returns true if this is the text of a plain load or store.
fn is_access(text: &str) -> bool {
    text.contains(" = *(") || text.starts_with("*(")
}

/// Compares both dialects of LLVM. With `alu32`, atomics narrower than 64 bits name the lower half of a register, as we
/// do. Narrow loads and stores do so too, while we name the whole register, as LLVM does without `alu32` and the
/// kernel's verifier always does.
fn prints_the_same_text(tool: &str) -> Result<(), Failed> {
    let isa = isa(tool);
    let big = every_form(isa).byte_order(ByteOrder::Big);
    for object in [every_form(isa), big, sample::object()] {
        let file = File::new(&object.write()?)?;
        let whole = llvms(tool, &file, &["--mattr=-alu32"])?;
        let halves = llvms(tool, &file, &["--mattr=+alu32"])?;
        let ours = ours(&object);
        let mut unknown = Vec::new();
        for (position, text) in &ours {
            let (whole, half) = (whole.get(position).ok_or("missing")?, halves.get(position).ok_or("missing")?);
            let expected = if is_access(text) { whole } else { half };
            // Only the object knows the location of the function that `load_function` refers to.
            if text.ends_with(" ll") && position.0 == "repeat" {
                assert_eq!(expected, "r2 = 48 ll");
                continue;
            }
            if expected == "<unknown>" && isa == Isa::V3 {
                unknown.push(text);
            } else {
                assert_eq!(text, expected, "{tool}, {position:?}");
            }
        }
        // LLVM 14 does not know these, although the kernel had them long before.
        let strangers = ["%=", "*("];
        assert!(unknown.iter().all(|text| strangers.iter().any(|stranger| text.contains(stranger))), "{unknown:?}");
        assert_eq!(ours.len(), whole.len());
        assert!(ours.len() > 40 && unknown.len() < 9, "{} instructions, unknown: {unknown:?}", ours.len());
    }
    Ok(())
}

/// Compares every opcode, with offsets, immediates and registers that are valid for some of them; no assembler wrote
/// these bytes.
fn prints_any_bytes_alike(tool: &str) -> Result<(), Failed> {
    const IMMEDIATES: [i32; 16] = [0, 1, -9, 16, 32, 64, 0x40, 0x50, 0xa0, 0x41, 0x51, 0xa1, 0xe1, 0xf1, 0x100, 0x110];
    let mut instructions = Vec::new();
    // Not 0, because LLVM skips zeroes silently; and one opcode takes two slots.
    for code in (1..=255).filter(|&code| code != 0x18) {
        for offset in [0, 1, 8, 16, 32, -8] {
            for imm in IMMEDIATES {
                for (dst, src) in [(0, 0), (1, 2), (0, 1), (1, 11), (11, 1)] {
                    instructions.push(Instruction::new(code, dst, src, offset, imm));
                }
            }
        }
    }

    // A program of the right length, its bytes replaced.
    let mut asm = Assembler::new();
    instructions.iter().for_each(|_| asm.exit());
    asm.exit(); // so that no tested instruction is the last one, which LLVM may omit
    let mut object = ObjectBuilder::new("GPL");
    object.program("xdp", "any", asm);
    let mut elf = object.write()?;
    let start = {
        use object::{Object as _, ObjectSection as _};
        let file = object::read::elf::ElfFile64::<object::Endianness>::parse(elf.as_slice())?;
        file.section_by_name("xdp").and_then(|section| section.file_range()).ok_or("no section")?.0 as usize
    };
    let bytes: Vec<u8> = instructions.iter().flat_map(|instruction| instruction.to_bytes()).collect();
    elf[start..start + bytes.len()].copy_from_slice(&bytes);

    let file = File::new(&elf)?;
    let whole = llvms(tool, &file, &["--mattr=-alu32"])?;
    let halves = llvms(tool, &file, &["--mattr=+alu32"])?;
    let mut known = 0;
    for (slot, instruction) in instructions.iter().enumerate() {
        let (text, position) = (instruction.to_string(), ("any".to_owned(), slot));
        let texts = if is_access(&text) { &whole } else { &halves };
        assert_eq!(Some(&text), texts.get(&position), "{instruction:?}");
        known += usize::from(text != "<unknown>");
    }
    assert!(known > 40_000, "{known}");
    Ok(())
}

fn readelf_has_no_warnings() -> Result<(), Failed> {
    let file = File::new(&sample::object().write()?)?;
    let text = run("readelf", &["--all", "--wide", file.path()])?;
    for words in ["Linux BPF", ".relraw_tracepoint/sys_enter", "double_it", "OBJECT  GLOBAL DEFAULT"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    Ok(())
}

fn bpftool_reads_the_types() -> Result<(), Failed> {
    let file = File::new(&sample::object().write()?)?;
    let header = run("bpftool", &["btf", "dump", "file", file.path(), "format", "c"])?;
    let members = "\tunsigned long long time_ns;\n\tunsigned long long pid_tgid;\n\tchar comm[16];\n";
    assert!(header.contains(&format!("struct Event {{\n{members}}};")), "{header}");

    let raw = run("bpftool", &["btf", "dump", "file", file.path()])?;
    for words in [
        "FUNC 'send' type_id=",
        "FUNC 'count_lost' type_id=",
        "linkage=static",
        "DATASEC '.maps' size=104 vlen=4",
        "DATASEC '.rodata' size=12 vlen=2",
        "DATASEC '.bss' size=32 vlen=1",
        "VAR 'greeting' type_id=",
    ] {
        assert!(raw.contains(words), "{words}: {raw}");
    }
    Ok(())
}

fn bpftool_prints_every_kind_of_type() -> Result<(), Failed> {
    let file = File::new(&types::object().write()?)?;
    let header = run("bpftool", &["btf", "dump", "file", file.path(), "format", "c"])?;
    for definition in types::AS_C {
        assert!(header.contains(definition), "{definition}\n{header}");
    }
    Ok(())
}

/// Links the object by bpftool: libbpf's linker checks an object more strictly than its loader does, and bpftool makes
/// a skeleton from the result.
fn bpftool_links_the_object() -> Result<(), Failed> {
    let (file, linked) = (File::new(&sample::object().write()?)?, File::new(&[])?);
    run("bpftool", &["gen", "object", linked.path(), file.path()])?;
    let skeleton = run("bpftool", &["gen", "skeleton", linked.path(), "name", "sample"])?;
    for words in ["struct bpf_map *events;", "struct bpf_program *keep;", "unsigned int target_pid;"] {
        assert!(skeleton.contains(words), "{words}: {skeleton}");
    }
    Ok(())
}

/// A directory of pins that is removed on drop.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Loads all programs with bpftool: libbpf creates the maps, links and loads the programs, and the kernel verifies them
/// with function and line information. Returns the programs' names and the verifier's log.
fn load_all(elf: &[u8]) -> Result<(Vec<String>, String), Failed> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = File::new(elf)?;
    let pins = Pins(Path::new("/sys/fs/bpf").join(format!("cutaway-programs-{}-{number}", std::process::id())));
    let folder = pins.0.to_str().unwrap();
    let output = Command::new("bpftool").args(["--debug", "prog", "loadall", file.path(), folder]).output()?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(log.into());
    }
    let programs = fs::read_dir(&pins.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    Ok((programs.collect::<Result<_, std::io::Error>>()?, log))
}

fn bpftool_loads_the_object() -> Result<(), Failed> {
    let (mut programs, log) = load_all(&sample::object().write()?)?;
    programs.sort_unstable();
    assert_eq!(programs, ["keep", "repeat", "send"]);
    assert!(log.contains("; asm.mov(R6, R0); // the reservation survives calls here"), "{log}");
    Ok(())
}
