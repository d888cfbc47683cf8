//! The running kernel: it must accept the types, and the function and line information, unchanged. It must quote the
//! Rust lines, and run every instruction with its documented result.
#![expect(unsafe_code, reason = "bpf(2) is called directly")]

use std::{
    collections::HashSet,
    ffi::CString,
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya_obj::{
    Object,
    generated::{bpf_attr, bpf_cmd, bpf_prog_type},
};
use cutaway_programs::prelude::*;
use libtest_mimic::{Failed, Trial};
use object::ObjectSection as _;

use crate::{
    arithmetic::{self, Cases},
    forms::Isa,
    sample, trial, types,
};

pub(crate) fn trials() -> Vec<Trial> {
    let arithmetic =
        [("version_3", Isa::V3, (5, 12)), ("version_4", Isa::V4, (6, 6)), ("acquire", Isa::Acquire, (6, 15))];
    let arithmetic = arithmetic.map(|(name, isa, since)| {
        let name = format!("kernel_computes_what_rust_does_{name}");
        trial(name, obstacle(since), move || kernel_computes_what_rust_does(isa))
    });
    let others = [
        trial("verifier_quotes_the_rust_lines", obstacle((5, 17)), verifier_quotes_the_rust_lines),
        trial(
            "verifier_quotes_the_instruction_without_source",
            obstacle((5, 17)),
            verifier_quotes_the_instruction_without_source,
        ),
        trial("kernel_accepts_every_kind_of_type", obstacle((6, 0)), kernel_accepts_every_kind_of_type),
        trial("frame_above_512_bytes_is_refused", obstacle((5, 17)), frame_above_512_bytes_is_refused),
    ];
    arithmetic.into_iter().chain(others).collect()
}

/// Returns the reason why programs cannot be loaded here, or not those that need this version of Linux.
pub(crate) fn obstacle(since: (u32, u32)) -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < since {
        return Some(format!("needs Linux {}.{}, this is {}", since.0, since.1, release.trim()));
    }
    match create_map("probe", MapType::ARRAY.0, 4, 4, 1, 0) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Some("needs CAP_BPF and CAP_PERFMON, or root".to_owned())
        }
        // Any other error makes the tests fail.
        _ => None,
    }
}

/// Returns a zeroed attribute, which requests nothing.
fn attr() -> bpf_attr {
    // SAFETY: a union of structs of integers, for which zeroes are a value.
    unsafe { mem::zeroed() }
}

/// Calls bpf(2). These tests make the system call themselves, because they check programs that no loader of this
/// project has changed.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: `attr` is the kernel's to read and write for its own size, and whatever it points to is kept by the
    // caller.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attr, size_of::<bpf_attr>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as i32) }
}

fn open_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just made this fd for the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn create_map(name: &str, kind: u32, key: u32, value: u32, entries: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = attr();
    // SAFETY: all of the union is initialized.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    (create.map_type, create.key_size, create.value_size) = (kind, key, value);
    (create.max_entries, create.map_flags) = (entries.max(1), flags);
    let name = name.bytes().filter(|byte| byte.is_ascii_alphanumeric()).take(15);
    create.map_name.iter_mut().zip(name).for_each(|(to, from)| *to = from as _);
    open_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

/// Writes the only value of a data section's map.
fn fill(map: &OwnedFd, value: &[u8]) -> io::Result<()> {
    let key = 0u32;
    let mut attr = attr();
    // SAFETY: all of the union is initialized.
    let update = unsafe { &mut attr.__bindgen_anon_2 };
    (update.map_fd, update.key) = (map.as_raw_fd() as u32, &raw const key as u64);
    update.__bindgen_anon_1.value = value.as_ptr() as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(|_| ())
}

fn section(elf: &[u8], name: &str) -> Vec<u8> {
    use object::Object as _;
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(elf).unwrap();
    file.section_by_name(name).unwrap().data().unwrap().to_vec()
}

/// Loads a program as a raw tracepoint program. Returns the result and the verifier's log.
fn load(builder: &ObjectBuilder, name: &str) -> Result<(io::Result<OwnedFd>, String), Failed> {
    let elf = builder.write()?;
    let mut object = Object::parse(&elf)?;

    // The types as they were written: no loader has changed them.
    let types = section(&elf, ".BTF");
    let mut btf = attr();
    // SAFETY: all of the union is initialized.
    let load = unsafe { &mut btf.__bindgen_anon_7 };
    (load.btf, load.btf_size) = (types.as_ptr() as u64, types.len() as u32);
    let btf = open_fd(bpf_cmd::BPF_BTF_LOAD, &mut btf)?;

    let mut maps = Vec::new();
    for (name, map) in object.maps.iter().filter(|(_, map)| map.map_type() != MapType::ARRAY_OF_MAPS.0) {
        let (key, value, entries) = (map.key_size(), map.value_size(), map.max_entries());
        let fd = create_map(name, map.map_type(), key, value, entries, map.map_flags())?;
        if !map.data().is_empty() {
            fill(&fd, map.data())?;
        }
        maps.push((name.clone(), fd, map.clone()));
    }
    let text: HashSet<_> = object.functions.keys().map(|&(section, _)| section).collect();
    let programs: HashSet<_> = object.programs.values().map(|program| program.function_key().0).collect();
    let text: HashSet<_> = text.difference(&programs).copied().collect();
    object.relocate_maps(maps.iter().map(|(name, fd, map)| (name.as_str(), fd.as_raw_fd(), map)), &text)?;
    object.relocate_calls(&text)?;

    let function = &object.functions[&object.programs[name].function_key()];
    let (functions, lines) = (function.func_info.func_info_bytes(), function.line_info.line_info_bytes());
    let license = CString::new("GPL")?;
    let mut log = vec![0u8; 16 << 20];
    let mut program = attr();
    // SAFETY: all of the union is initialized.
    let load = unsafe { &mut program.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    (load.insns, load.insn_cnt) = (function.instructions.as_ptr() as u64, function.instructions.len() as u32);
    load.license = license.as_ptr() as u64;
    (load.log_level, load.log_buf, load.log_size) = (2, log.as_mut_ptr() as u64, log.len() as u32);
    load.prog_btf_fd = btf.as_raw_fd() as u32;
    (load.func_info, load.func_info_rec_size) = (functions.as_ptr() as u64, 8);
    load.func_info_cnt = function.func_info.func_info.len() as u32;
    (load.line_info, load.line_info_rec_size) = (lines.as_ptr() as u64, 16);
    load.line_info_cnt = function.line_info.line_info.len() as u32;
    let answer = open_fd(bpf_cmd::BPF_PROG_LOAD, &mut program);
    let log = log.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok((answer, String::from_utf8_lossy(log).into_owned()))
}

/// Runs a raw tracepoint program once, with a context of zeroes. Returns its return value.
fn run(program: &OwnedFd) -> io::Result<u32> {
    let context = [0u64; 12];
    let mut attr = attr();
    // SAFETY: all of the union is initialized.
    let test = unsafe { &mut attr.test };
    test.prog_fd = program.as_raw_fd() as u32;
    (test.ctx_in, test.ctx_size_in) = (context.as_ptr() as u64, size_of_val(&context) as u32);
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: all of the union is initialized.
    Ok(unsafe { attr.test.retval })
}

fn verifier_quotes_the_rust_lines() -> Result<(), Failed> {
    for (program, lines) in [
        ("send", ["; asm.jump_if(Eq, W1, W7, out); // not for the target itself", "; asm.atomic_add(DW, R1, 0, R2);"]),
        ("keep", ["; asm.call_function(double);", "; asm.lsh(R0, 1);"]),
        ("repeat", ["; asm.load_function(R2, count_turn);", "; asm.mov(R0, 0); // continue the loop"]),
    ] {
        let (answer, log) = load(&sample::object(), program)?;
        let fd = answer.map_err(|error| format!("{program}: {error}: {log}"))?;
        for line in lines {
            assert!(log.contains(line), "{line}: {log}");
        }
        run(&fd)?;
    }
    Ok(())
}

fn verifier_quotes_the_instruction_without_source() -> Result<(), Failed> {
    let mut asm = Assembler::new();
    asm.mov(R0, 77);
    asm.exit();
    let mut object = ObjectBuilder::new("GPL");
    object.program("raw_tracepoint/sys_enter", "program", asm);
    let (answer, log) = load(&object, "program")?;
    assert!(log.contains("; r0 = 77"), "{log}");
    assert_eq!(run(&answer?)?, 77);
    Ok(())
}

fn kernel_accepts_every_kind_of_type() -> Result<(), Failed> {
    let (answer, log) = load(&types::object(), "program")?;
    let program = answer.map_err(|error| format!("{error}: {log}"))?;
    assert_eq!(run(&program)?, u32::from(-2i8 as u8), "the initial value of `numbers[1][1]`");
    Ok(())
}

/// Checks the stack limit that the programs with perf buffers have to respect.
fn frame_above_512_bytes_is_refused() -> Result<(), Failed> {
    for (offset, allowed) in [(-512, true), (-520, false)] {
        let mut asm = Assembler::new();
        asm.store(DW, R10, offset, 0); // the frame's far end
        asm.mov(R0, 0);
        asm.exit();
        let mut object = ObjectBuilder::new("GPL");
        object.source(source!("kernel.rs"));
        object.program("raw_tracepoint/sys_enter", "program", asm);
        let (answer, log) = load(&object, "program")?;
        assert!(log.contains("; asm.store(DW, R10, offset, 0); // the frame's far end"), "{log}");
        match answer {
            Ok(_) => assert!(allowed, "{log}"),
            Err(error) => {
                assert!(!allowed, "{log}");
                assert_eq!(error.raw_os_error(), Some(libc::EACCES));
                assert!(log.contains("invalid write to stack R10 off=-520 size=8"), "{log}");
            }
        }
    }
    Ok(())
}

/// Returns the return value of a program of cases.
fn first_wrong(cases: Cases) -> Result<u32, Failed> {
    let mut object = ObjectBuilder::new("GPL");
    object.program("raw_tracepoint/sys_enter", "program", cases.finish());
    let (answer, log) = load(&object, "program")?;
    let program = answer.map_err(|error| {
        let tail: Vec<_> = log.lines().rev().take(20).collect();
        format!("{error}: {}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
    })?;
    Ok(run(&program)?)
}

fn kernel_computes_what_rust_does(isa: Isa) -> Result<(), Failed> {
    let right = arithmetic::cases(isa);
    let count = right.count();
    assert_eq!(first_wrong(right)?, 0, "the number of the first wrong case");

    // The program detects a wrong result.
    let mut wrong = arithmetic::cases(isa);
    wrong.case(1, 1, 3, |asm| asm.add(R1, R2));
    assert_eq!(first_wrong(wrong)?, count + 1);
    Ok(())
}
