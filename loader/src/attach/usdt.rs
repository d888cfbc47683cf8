//! Attaches to USDT probes: tracepoints that the author of a program has put into its source.
//!
//! In the code such a probe is one `nop`. A note in the file contains its location, its name, and the location of its
//! arguments when it is hit ([`notes`]). A uprobe on the `nop` runs the program, which finds the arguments by a
//! description in a map of its object ([`specs`]). By inlining, the compiler may have put one probe into several
//! locations, each with its arguments in other registers or memory: all of them are probed.

mod arguments;
mod notes;
mod registers;
mod specs;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use log::{debug, warn};

use self::{arguments::ArgLocation, notes::Note};
use super::{Link, UprobeMulti, image::Binary, library::Library, maps};
use crate::{
    Error, Program, ProgramType,
    features::{self, Support},
    program::UsdtSpecs,
};

/// A USDT probe in a program or library, for programs of the section `usdt` or `uprobe`.
///
/// Linux 5.15. Older kernels suffice if the probe is attached in one process, or in an executable that is always loaded
/// at the same address.
///
/// A program of the section `usdt` reads arguments and cookie by `bpf_usdt_arg` and `bpf_usdt_cookie` of libbpf's
/// `usdt.bpf.h` (1.0 to 1.7). The layout of the header's structures differs between releases; the object's BTF
/// describes it. The headers before 1.7 cannot read an argument in memory at the sum of a base and an index register,
/// such as `4@8(%rbp,%rax,4)`: `bpf_usdt_arg` returns EINVAL.
///
/// An object without that header's maps can be attached as well: its program gets the registers, and reads the cookie
/// by `bpf_get_attach_cookie`.
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// let link = cutaway::Usdt::new("libc.so.6", "libc", "memory_sbrk_more").attach(loaded.program("grows")?)?;
/// # Ok(())
/// # }
/// ```
///
/// Needs this crate's feature `usdt`.
#[doc(alias = "bpf_program__attach_usdt")]
#[derive(Debug, Clone)]
pub struct Usdt {
    file: Library,
    provider: String,
    name: String,
    pid: Option<u32>,
    cookie: u64,
}

/// One location of a probe.
///
/// Needs this crate's feature `usdt`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsdtLocation {
    /// The group that the probe belongs to.
    pub provider: String,
    /// The probe's name in the group.
    pub name: String,
    /// File offset of the probed instruction, in bytes.
    pub offset: u64,
    /// File offset, in bytes, of the 16-bit semaphore that counts the attached probes, if there is one.
    pub semaphore: Option<u64>,
    /// The location of the arguments in assembler syntax: `-4@%edi 8@-16(%rbp)`.
    pub arguments: String,
}

impl Usdt {
    /// Selects the probe `provider:name` in `library`. The library is a path, or a name without a slash, which is
    /// resolved as the dynamic loader or the shell would.
    #[must_use]
    pub fn new(library: impl AsRef<OsStr>, provider: &str, name: &str) -> Self {
        Self { file: Library::new(library), provider: provider.to_owned(), name: name.to_owned(), pid: None, cookie: 0 }
    }

    /// As [`Uprobe::resolve_in_process`](crate::Uprobe::resolve_in_process).
    #[must_use]
    pub fn resolve_in_process(mut self, pid: u32) -> Self {
        self.file.resolve_in_process = Some(pid);
        self
    }

    /// Attaches for one process only, with all its threads. As [`Uprobe::pid`](crate::Uprobe::pid).
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_usdt_cookie`.
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Returns the file, and the locations of the probe in it. Needs no privileges, unless the library is resolved as
    /// another process sees it.
    ///
    /// # Errors
    ///
    /// [`Error::Library`] if there is no such file, [`Error::Symbol`] if it has no such probe.
    pub fn locate(&self) -> Result<(PathBuf, Vec<UsdtLocation>), Error> {
        let (binary, notes) = self.notes()?;
        Ok((binary.path, notes.into_iter().map(UsdtLocation::from).collect()))
    }

    /// Returns all probes of a file, in its order.
    ///
    /// # Errors
    ///
    /// [`Error::Library`] if there is no such file.
    pub fn all(library: impl AsRef<OsStr>) -> Result<Vec<UsdtLocation>, Error> {
        let binary = Binary::open(Library::new(library).find()?, None)?;
        Ok(notes::read(&binary, &|_, _| true)?.into_iter().map(UsdtLocation::from).collect())
    }

    fn notes(&self) -> Result<(Binary, Vec<Note>), Error> {
        let binary = Binary::open(self.file.find()?, None)?;
        let found = notes::read(&binary, &|provider, name| self.is(provider, name))?;
        if found.is_empty() {
            return Err(self.not_there(&binary));
        }
        Ok((binary, found))
    }

    /// Returns true if this is the probe's name. Provider and name may both contain colons, so the caller may have
    /// split the text elsewhere.
    fn is(&self, provider: &str, name: &str) -> bool {
        let whole = self.to_string();
        whole.strip_prefix(provider).and_then(|rest| rest.strip_prefix(':')) == Some(name)
    }

    fn not_there(&self, binary: &Binary) -> Error {
        let there = notes::read(binary, &|_, _| true).unwrap_or_default();
        let there: BTreeSet<_> = there.iter().map(|note| format!("`{}:{}`", note.provider, note.name)).collect();
        let mut names = there.iter();
        const SHOWN: usize = 8;
        let shown: Vec<_> = names.by_ref().take(SHOWN).map(String::as_str).collect();
        let more = if names.len() == 0 { String::new() } else { format!(", and {} more", names.len()) };
        let why = match shown.is_empty() {
            true => "the file has no probes (it has no section .note.stapsdt; was it compiled with them?)".to_owned(),
            false => format!("the file has no such probe; it has {}{more}", shown.join(", ")),
        };
        Error::Symbol { symbol: self.to_string(), library: binary.path.display().to_string(), why }
    }

    /// Attaches `program` to all locations of the probe.
    ///
    /// # Errors
    ///
    /// As [`Usdt::locate`]; [`Error::Invalid`] if the program is of another type, or its object's map of descriptions
    /// is full, is shared with others (pinned, or passed to `LoadOptions::map`), or has values of unknown layout; or if
    /// the program has such a map and was opened by a pin, an id or an fd. [`Error::Syscall`] if the kernel refuses.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let (binary, notes) = self.notes()?;
        let what = format!("the probe `{self}` in {}", binary.path.display());
        program.must_be(&[ProgramType::KPROBE], &what)?;
        let offsets: Vec<_> = notes.iter().map(|note| note.offset).collect();
        let semaphores: Vec<_> = notes.iter().map(|note| note.semaphore.unwrap_or(0)).collect();
        let mut probes = UprobeMulti::at_file_offsets(&self.file.name, &offsets).retprobe(false);
        if semaphores.iter().any(|&semaphore| semaphore != 0) {
            probes = probes.ref_ctr_offsets(&semaphores);
        }
        if let Some(pid) = self.pid {
            probes = probes.pid(pid);
        }
        let Some(specs) = program.usdt() else {
            if program.has_unknown_usdt_specs() {
                return Err(Error::Invalid {
                    operation: format!("attach the program `{}` to {what}", program.name()),
                    why: format!(
                        "it reads a probe's argument locations in its map `{}`, and only the process that loaded it knows \
                         which entries of that map are in use: attach it there, and pin the link",
                        UsdtSpecs::MAPS[0]
                    ),
                });
            }
            if self.cookie != 0 {
                probes = probes.cookies(&vec![self.cookie; offsets.len()]);
            }
            debug!(
                "`{}` gets no argument descriptions: its object has no map `{}`",
                program.name(),
                UsdtSpecs::MAPS[0]
            );
            return probes.attach_at(program, &binary, &offsets, &what);
        };
        warn_of_unreadable(&notes, specs.layout()?.index_doubt(), &what);
        let descriptions = notes.iter().map(|note| specs::encode(specs, &note.arguments, self.cookie));
        let (numbers, mut taken) = specs.describe(descriptions)?;
        // As `LINUX_HAS_BPF_COOKIE`, by which the header chooses between the two.
        if Support::probed_or_since(features::attach_cookie, 5, 15).is_yes() {
            probes = probes.cookies(&numbers.iter().copied().map(u64::from).collect::<Vec<_>>());
        } else {
            let addresses = self.addresses(&binary.path, &notes, &what)?;
            taken.at_addresses(&addresses, &numbers)?;
        }
        Ok(probes.attach_at(program, &binary, &offsets, &what)?.holding(taken))
    }

    /// Returns the addresses of the locations in memory.
    fn addresses(&self, path: &Path, notes: &[Note], what: &str) -> Result<Vec<u64>, Error> {
        let unfit = |why: String| Error::Invalid { operation: format!("put probes on {what}"), why };
        if let Some(fixed) = notes.iter().map(|note| note.fixed).collect() {
            return Ok(fixed);
        }
        let Some(pid) = self.pid else {
            return Err(unfit(
                "this kernel has no cookies (Linux 5.15): name the process that has mapped the file".to_owned(),
            ));
        };
        let maps = format!("/proc/{pid}/maps");
        let text = fs::read(&maps).map_err(|error| Error::kernel(format!("read {maps}"), &error))?;
        let inode =
            fs::metadata(path).map_err(|error| Error::kernel(format!("stat {}", path.display()), &error))?.ino();
        let addresses: Option<_> = notes.iter().map(|note| mapped_at(&text, inode, note.offset)).collect();
        addresses.ok_or_else(|| unfit(format!("the process {pid} has not mapped that file")))
    }
}

impl std::fmt::Display for Usdt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.provider, self.name)
    }
}

impl From<Note> for UsdtLocation {
    fn from(note: Note) -> Self {
        let Note { provider, name, offset, semaphore, text, .. } = note;
        Self { provider, name, offset, semaphore, arguments: text }
    }
}

/// Logs the arguments that the program cannot read. `index_doubt` is the reason why it may be unable to read those with
/// an index register.
fn warn_of_unreadable(notes: &[Note], index_doubt: Option<&str>, what: &str) {
    for (note, argument) in notes.iter().flat_map(|note| note.arguments.iter().map(move |it| (note, it))) {
        match (argument.location, index_doubt) {
            (ArgLocation::Unreadable, _) => {
                let why: Vec<_> = note.doubts.iter().map(|why| format!(": {why}")).collect();
                warn!("an argument of {what} cannot be read by programs: `{}`{}", note.text, why.concat());
            }
            (ArgLocation::Memory { index: Some(_), .. }, Some(why)) => {
                warn!("an argument of {what} has an index register (`{}`): {why}", note.text);
            }
            _ => {}
        }
    }
}

/// Returns the address at which a process has mapped a file offset, according to `/proc/PID/maps`.
fn mapped_at(maps: &[u8], inode: u64, byte: u64) -> Option<u64> {
    maps::mappings(maps).find_map(|mapping| {
        let inside = byte.checked_sub(mapping.offset)?;
        let length = mapping.end.checked_sub(mapping.start)?;
        (mapping.executable && mapping.inode == inode && inside < length).then(|| mapping.start + inside)
    })
}

#[cfg(test)]
mod tests {
    use super::{Usdt, mapped_at};

    #[test]
    fn probe_with_colons_is_found_however_it_is_split() {
        for (provider, name) in [("pr:ov", "na:me"), ("pr", "ov:na:me"), ("pr:ov:na", "me")] {
            let probe = Usdt::new("library", provider, name);
            assert!(probe.is("pr:ov", "na:me"), "{provider} {name}");
            for (provider, name) in
                [("pr:ov", "na"), ("r:ov", "na:me"), ("pr:ov", "na:mex"), ("pr:ov:na:me", ""), ("", "")]
            {
                assert!(!probe.is(provider, name), "{provider} {name}");
            }
        }
    }

    #[test]
    fn a_byte_is_found_in_the_mapping_of_code() {
        let maps =
            b"1000-2000 r--p 00000000 00:1 5 /x\n2000-3000 r-xp 00001000 00:1 5 /x\n5000-9000 r-xp 0 00:1 6 /y y\n";
        assert_eq!(mapped_at(maps, 5, 0x1010), Some(0x2010));
        assert_eq!(mapped_at(maps, 5, 0x10), None);
        assert_eq!(mapped_at(maps, 6, 0x10), Some(0x5010));
        assert_eq!(mapped_at(b"nonsense\n\n1-\n", 5, 0), None);
    }
}
