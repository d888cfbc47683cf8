//! The functions at addresses of stacks: in the kernel by `/proc/kallsyms`, in processes by their files.
//!
//! The mappings of a process are read while it lives, and kept, with an open file for each. So the stacks of a process
//! that has ended can be symbolized, and a file is never opened by a path that means another file elsewhere.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    os::fd::AsRawFd as _,
    rc::Rc,
};

use blazesym::{
    MaybeDefault,
    symbolize::{
        Input, Symbolized, Symbolizer,
        source::{Elf, Kernel, Source},
    },
};
use serde_json::{Value as Json, json};

use super::stacks::Address;
use crate::terminal;

/// Addresses from here on are the kernel's, on x86-64 and arm64.
const KERNEL: u64 = 1 << 63;

/// Symbolizes addresses.
#[derive(Default)]
pub(super) struct Symbols {
    symbolizer: Option<Symbolizer>,
    /// The mappings that have been read, by process.
    processes: BTreeMap<u32, Vec<Mapping>>,
    /// The open files, by device and inode.
    files: BTreeMap<(String, u64), Rc<File>>,
    /// The process of stacks that name none: COMMAND or that of `--pid`.
    default: Option<u32>,
}

/// An executable mapping of a file.
#[derive(Debug)]
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    file: Rc<File>,
    /// The last part of its path.
    name: String,
}

/// An address with its function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    address: Address,
    /// The function, and the offset in it.
    function: Option<(String, u64)>,
    /// The file or module.
    module: Option<String>,
}

impl Symbols {
    /// Reads the mappings of a process, which is also the process of stacks that name none. Mappings that were read
    /// before are kept if it has ended.
    pub(super) fn observe(&mut self, pid: u32) {
        self.default = Some(pid);
        self.read(pid);
    }

    fn read(&mut self, pid: u32) {
        let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
        let maps = String::from_utf8_lossy(&maps).into_owned();
        let mappings: Vec<_> = maps.lines().filter_map(|line| self.mapping(pid, line)).collect();
        if !mappings.is_empty() {
            self.processes.insert(pid, mappings);
        }
    }

    /// Reads a line of `/proc/PID/maps`; `None` if it is no executable file.
    fn mapping(&mut self, pid: u32, line: &str) -> Option<Mapping> {
        let Line { start, end, offset, file: key, path } = Line::parse(line)?;
        let file = match self.files.get(&key) {
            Some(file) => Rc::clone(file),
            None => {
                let file = Rc::new(File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}")).ok()?);
                self.files.insert(key, Rc::clone(&file));
                file
            }
        };
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        Some(Mapping { start, end, offset, file, name })
    }

    /// Symbolizes a stack of a process.
    pub(super) fn frames(&mut self, addresses: &[Address], pid: Option<u32>) -> Vec<Frame> {
        let pid = pid.or(self.default);
        if let Some(pid) = pid.filter(|pid| !self.processes.contains_key(pid)) {
            self.read(pid);
        }
        let mappings = pid.and_then(|pid| self.processes.get(&pid)).map_or(&[][..], Vec::as_slice);
        let symbolizer = self.symbolizer.get_or_insert_with(symbolizer);
        addresses.iter().enumerate().map(|(index, address)| frame(symbolizer, mappings, address, index > 0)).collect()
    }
}

fn symbolizer() -> Symbolizer {
    Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).build()
}

/// Symbolizes an address. `called` means that it is a return address: the call is before it, and can be the last
/// instruction of its function.
fn frame(symbolizer: &Symbolizer, mappings: &[Mapping], address: &Address, called: bool) -> Frame {
    let unknown = |module| Frame { address: address.clone(), function: None, module };
    let Address::Absolute(absolute) = *address else { return unknown(None) };
    let back = u64::from(called);
    let at = absolute.saturating_sub(back);
    let (found, module) = if absolute >= KERNEL {
        let kernel = Kernel { vmlinux: MaybeDefault::None, debug_syms: false, ..Kernel::default() };
        (symbolizer.symbolize_single(&Source::Kernel(kernel), Input::AbsAddr(at)), None)
    } else {
        let mapping = mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&at));
        let Some(Mapping { start, offset, file, name, .. }) = mapping else { return unknown(None) };
        let offset = (at - start).saturating_add(*offset);
        let find = |debug_syms: bool| {
            let mut elf = Elf::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
            elf.debug_syms = debug_syms;
            symbolizer.symbolize_single(&Source::Elf(elf), Input::FileOffset(offset))
        };
        // Debug information can be compressed in a form that is not read here. The file's own symbols are not.
        (find(true).or_else(|_| find(false)), Some(name.clone()))
    };
    match found {
        Ok(Symbolized::Sym(symbol)) => {
            let offset = (symbol.offset as u64).saturating_add(back);
            // The path of a file here is that of an fd of this process.
            let module = module.or_else(|| symbol.module.as_ref().map(|module| module.to_string_lossy().into_owned()));
            Frame { address: address.clone(), function: Some((symbol.name.into_owned(), offset)), module }
        }
        _ => unknown(module),
    }
}

/// A line of `/proc/PID/maps` about an executable file.
#[derive(Debug, PartialEq, Eq)]
struct Line<'l> {
    start: u64,
    end: u64,
    offset: u64,
    /// Device and inode.
    file: (String, u64),
    path: &'l str,
}

impl<'l> Line<'l> {
    /// Parses `START-END PERMISSIONS OFFSET DEVICE INODE PATH`.
    fn parse(line: &'l str) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let (word, after) = rest.trim_start().split_once(' ')?;
            rest = after;
            Some(word)
        };
        let (range, permissions, offset, device, inode) = (word()?, word()?, word()?, word()?, word()?);
        let hex = |digits| u64::from_str_radix(digits, 16).ok();
        let (start, end) = range.split_once('-')?;
        let inode = inode.parse().ok().filter(|inode| *inode != 0 && permissions.contains('x'))?;
        Some(Self {
            start: hex(start)?,
            end: hex(end)?,
            offset: hex(offset)?,
            file: (device.to_owned(), inode),
            path: rest.trim(),
        })
    }
}

impl Frame {
    pub(super) fn json(&self) -> Json {
        let address = match &self.address {
            Address::Absolute(address) => format!("{address:#x}"),
            Address::InFile(build_id, offset) => format!("{build_id}+{offset:#x}"),
        };
        let (function, offset) = self.function.as_ref().map(|(name, offset)| (name, offset)).unzip();
        json!({ "address": address, "function": function, "offset": offset, "module": self.module })
    }
}

impl fmt::Display for Frame {
    /// Writes `function+0x12 (module)`, or the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.function, &self.address) {
            (Some((name, offset)), _) => write!(f, "{}+{offset:#x}", terminal::one_line(name))?,
            (None, Address::Absolute(address)) => write!(f, "{address:#x}")?,
            (None, Address::InFile(build_id, offset)) => write!(f, "build id {build_id}+{offset:#x}")?,
        }
        match &self.module {
            Some(module) => write!(f, " ({})", terminal::one_line(module)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_files_are_found_in_a_list_of_mappings() {
        let line = "7f1200001000-7f1200003000 r-xp 00001000 fe:01 1234                       /usr/lib/a b.so";
        let expected = Line {
            start: 0x7f12_0000_1000,
            end: 0x7f12_0000_3000,
            offset: 0x1000,
            file: ("fe:01".to_owned(), 1234),
            path: "/usr/lib/a b.so",
        };
        assert_eq!(Line::parse(line), Some(expected));
        for other in [
            "7f1200001000-7f1200003000 r--p 00001000 fe:01 1234                       /usr/lib/a.so",
            "7ffd1000-7ffd2000 r-xp 00000000 00:00 0                          [vdso]",
            "7ffd1000-7ffd2000 r-xp",
            "",
        ] {
            assert_eq!(Line::parse(other), None, "{other}");
        }
    }

    #[test]
    fn function_of_this_process_is_found() {
        let mut symbols = Symbols::default();
        let address = executable_files_are_found_in_a_list_of_mappings as fn() as usize as u64;
        let frames = symbols.frames(&[Address::Absolute(address)], Some(std::process::id()));
        assert!(frames[0].to_string().contains("executable_files_are_found"), "{frames:?}");
        assert_eq!(symbols.frames(&[Address::Absolute(1)], Some(std::process::id()))[0].to_string(), "0x1");
    }
}
