//! Changes an object before loading: map sizes, program types, values of global variables.

use std::path::Path;

use cutaway_sys::AttachType;

use super::{
    externs::KCONFIG,
    parse::Object,
    program_section::Section,
    specs::{Contents, MapSpec, ProgramSpec},
    value::ToBytes,
    variable,
};
use crate::{Error, ProgramType, text::no_such};

impl Object {
    /// Returns the descriptions of all programs, in the file's order. The caller may change them before loading.
    pub fn programs_mut(&mut self) -> impl Iterator<Item = &mut ProgramSpec> {
        self.programs.iter_mut()
    }

    /// Returns a program's description. The caller may change it before loading.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if there is no such program. [`Error::Invalid`], with the reason, if the program is in
    /// [`Object::unknown_programs`].
    #[doc(alias = "bpf_object__find_program_by_name")]
    pub fn program_mut(&mut self, name: &str) -> Result<&mut ProgramSpec, Error> {
        let Some(index) = self.programs.iter().position(|program| program.name == name) else {
            if let Some(skipped) = self.unknown_programs.iter().find(|skipped| skipped.name == name) {
                return Err(skipped.error("choose"));
            }
            return Err(no_such("program", name, self.programs.iter().map(|program| program.name.as_str())));
        };
        self.programs.get_mut(index).ok_or_else(vanished)
    }

    /// Makes the function `name` a program of the type `program_type`, and returns its description. The function may
    /// be:
    ///
    /// - a program of [`Object::unknown_programs`] whose section's name gives no program type;
    /// - a function that other programs call, in a section whose name gives no program type;
    /// - a program of another type.
    ///
    /// The program is loaded with `expected_attach_type`. Pass `AttachType::default()`, which is 0, for program types
    /// without attach types.
    ///
    /// A function that was not in [`Object::programs`] has no attach target. So
    /// [`Loaded::attach`](crate::Loaded::attach) skips it, and the caller attaches it as shown below. A function that
    /// was a program keeps its attach target and `autoload`. To set the attach target too, use [`Object::set_section`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cutaway::{AttachType, Object, ProgramType, Uprobe};
    /// let mut object = Object::parse(&std::fs::read("probes.o")?)?;
    /// object.set_program_type("on_malloc", ProgramType::KPROBE, AttachType::default())?; // SEC("my_probes")
    /// let loaded = object.load()?;
    /// let link = Uprobe::new("libc.so.6", "malloc").attach(loaded.program("on_malloc")?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if the object has no global function `name`. A `static` function is not global.
    #[doc(alias("bpf_program__set_type", "bpf_program__set_expected_attach_type"))]
    pub fn set_program_type(
        &mut self,
        name: &str,
        program_type: ProgramType,
        expected_attach_type: AttachType,
    ) -> Result<&mut ProgramSpec, Error> {
        if let Some(known) = self.programs.iter().position(|program| program.name == name) {
            let section = &mut self.programs.get_mut(known).ok_or_else(vanished)?.section;
            (section.program_type, section.expected_attach_type) = (program_type, expected_attach_type);
            return self.programs.get_mut(known).ok_or_else(vanished);
        }
        let mut functions = self.functions.iter().filter(|(_, function)| function.global);
        let Some(&(entry, _)) = functions.find(|(_, function)| function.name == name) else {
            let names = self.functions.iter().filter(|(_, function)| function.global);
            return Err(no_such("function", name, names.map(|(_, function)| function.name.as_str())));
        };
        self.unknown_programs.retain(|skipped| skipped.name != name);
        let index = self.programs.partition_point(|program| program.entry < entry);
        self.programs.insert(
            index,
            ProgramSpec {
                name: name.to_owned(),
                section_name: self.elf.section(entry.0).name.clone(),
                section: Section::of(program_type, expected_attach_type),
                entry,
            },
        );
        self.programs.get_mut(index).ok_or_else(vanished)
    }

    /// Makes the function `name` a program of the section `section`, as if the source had `SEC(section)`. The section's
    /// name gives the program type and the attach target: `tracepoint/syscalls/sys_enter_openat`, `kprobe/do_unlinkat`,
    /// `xdp`. The program is loaded even if `section` begins with `?`. The functions that [`Object::set_program_type`]
    /// accepts are allowed here, too.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `section` gives no program type. [`Error::NoSuchName`] if the object has no global
    /// function `name`.
    #[doc(alias("SEC", "bpf_program__section_name"))]
    pub fn set_section(&mut self, name: &str, section: &str) -> Result<&mut ProgramSpec, Error> {
        let read = Section::read(section).map_err(|why| Error::Invalid {
            operation: format!("load the function `{name}` as a program of the section `{section}`"),
            why: why.to_string(),
        })?;
        let program = self.set_program_type(name, read.program_type, read.expected_attach_type)?;
        section.clone_into(&mut program.section_name);
        program.section = Section { autoload: true, ..read };
        Ok(program)
    }

    /// Returns a map's description. The caller may change it before loading.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if there is no such map.
    #[doc(alias = "bpf_object__find_map_by_name")]
    pub fn map_mut(&mut self, name: &str) -> Result<&mut MapSpec, Error> {
        let Some(index) = self.maps.iter().position(|map| map.name == name) else {
            return Err(no_such("map", name, self.maps.iter().map(|map| map.name.as_str())));
        };
        self.maps.get_mut(index).ok_or_else(vanished)
    }

    /// Sets the directory for maps that are pinned by name ([`Pinning::ByName`](crate::Pinning::ByName)). The default
    /// is `/sys/fs/bpf`. [`LoadOptions::pin_root`](crate::LoadOptions::pin_root) overrides it for one load.
    ///
    /// The directory must exist, in a BPF file system; otherwise loading returns [`Error::Syscall`]. If the directory
    /// already has a pin with a map's name, loading uses the pinned map. It returns [`Error::Invalid`] if the pinned
    /// map has another type, size or flags. A pin stays until its file is removed; only a failed load removes the pins
    /// that it created.
    #[doc(alias("pin_root_path", "LIBBPF_PIN_BY_NAME"))]
    pub fn set_pin_root(&mut self, directory: impl AsRef<Path>) {
        self.pins = directory.as_ref().to_owned();
    }

    /// Sets a global variable before loading. After loading, use [`Loaded::variable`](crate::Loaded::variable).
    ///
    /// A variable in `.rodata` cannot be set after loading. The verifier treats its value as a constant, and removes
    /// code that the value makes unreachable.
    ///
    /// `value` is a number, a `bool`, an array of these, or bytes. A structure is passed as bytes.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let mut object = cutaway::Object::parse(&[])?;
    /// object.set_variable("pid", &42_i32)?; // const volatile int pid;
    /// object.set_variable("name", b"cutaway\0")?; // char name[8];
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::NoSuchName`] if the object has no variable `name`.
    /// - [`Error::Invalid`] if the size, signedness or kind of `value` differs from the variable's BTF type. The error
    ///   names the variable, its type and its section.
    /// - [`Error::Invalid`] if the variable is in `.kconfig` (use [`Object::set_kconfig`]), or reaches beyond its
    ///   section.
    #[doc(alias("bpf_map__set_initial_value", "RewriteConstants", "set_global"))]
    pub fn set_variable<T: ToBytes + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let Some(spec) = self.variables.iter().find(|known| known.name == name) else {
            return Err(no_such("variable", name, self.variables.iter().map(|known| known.name.as_str())));
        };
        let unfit = |why: String| variable::unfit("set", spec, why);
        let value = value.bytes();
        if let Some(why) = spec.objection(T::KIND, value.len()) {
            return Err(unfit(why));
        }
        if spec.section == KCONFIG {
            return Err(unfit("the kernel's configuration gives its value: see `Object::set_kconfig`".to_owned()));
        }
        let map = self.maps.iter_mut().find(|map| map.data() == spec.location);
        let map = map.ok_or_else(|| unfit("its section is empty".to_owned()))?;
        let size = map.globals.map_or(map.value_size, |(_, size)| size) as usize;
        let offset = spec.offset as usize;
        if offset.checked_add(value.len()).is_none_or(|end| end > size) {
            return Err(unfit("it reaches beyond its section".to_owned()));
        }
        map.contents.get_or_insert_with(Contents::zeroes).set(offset, &value);
        Ok(())
    }

    /// Returns the value that a global variable will have when the object is loaded: that of the file, or that of
    /// [`Object::set_variable`].
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if the object has no variable `name`.
    #[doc(alias = "bpf_map__initial_value")]
    pub fn initial_value(&self, name: &str) -> Result<Vec<u8>, Error> {
        let Some(spec) = self.variables.iter().find(|known| known.name == name) else {
            return Err(no_such("variable", name, self.variables.iter().map(|known| known.name.as_str())));
        };
        let contents = self.maps.iter().find(|map| map.data() == spec.location).and_then(|map| map.contents.as_ref());
        let (start, size) = (spec.offset as usize, spec.size as usize);
        let mut value = vec![0; size];
        // The parts may begin before the variable or end after it.
        let mut copy = |offset: usize, part: &[u8]| {
            let first = start.max(offset);
            let end = start.saturating_add(size).min(offset.saturating_add(part.len()));
            let from = part.get(first.saturating_sub(offset)..end.saturating_sub(offset));
            if let (Some(into), Some(from)) = (value.get_mut(first - start..end.saturating_sub(start)), from) {
                into.copy_from_slice(from);
            }
        };
        if let Some(contents) = contents {
            contents.parts(&mut copy);
        }
        Ok(value)
    }

    /// Sets values of the kernel's configuration (`__kconfig`), in lines of the form `CONFIG_HZ=250`. These values
    /// override the running kernel's configuration. Other values are still read from the running kernel's
    /// configuration.
    ///
    /// Lines of any other form are ignored, for example `# CONFIG_X is not set`. If several lines set the same name,
    /// the first line counts. A second call replaces the lines of the first call.
    #[doc(alias("bpf_object_open_opts", "kconfig"))]
    pub fn set_kconfig(&mut self, lines: impl Into<String>) {
        self.kconfig = lines.into();
    }
}

#[cfg(feature = "instrument")]
impl Object {
    /// Makes loading insert instructions that count the records that a buffer refused: a full ring refuses records and
    /// counts nothing itself. [`Loaded::losses`](crate::Loaded::losses) returns the counts, for each map and for each
    /// call in the source.
    ///
    /// Counted are failed calls of `bpf_ringbuf_reserve`, `bpf_ringbuf_output`, `bpf_ringbuf_reserve_dynptr`,
    /// `bpf_perf_event_output`, `bpf_skb_output` and `bpf_xdp_output`. A failure is not always a full buffer: the
    /// record can be larger than the buffer, or a perf event array can have no buffer for the CPU. While no call fails,
    /// the cost of each call is one conditional jump, and two more instructions after `bpf_ringbuf_reserve`. If the
    /// verifier refuses the jumps, an atomic addition after each call replaces them.
    ///
    /// A ring that overwrites its oldest records (`BPF_F_RB_OVERWRITE`, Linux 6.19) loses them without a failed call.
    /// So its losses are unknown.
    ///
    /// If the verifier refuses a program with these instructions, the program is loaded without them, and its losses
    /// are unknown, with the verifier's reason. The counters are in an array map `cutaway_losses`, which is not one of
    /// [`Loaded::maps`](crate::Loaded::maps). An object without such calls is loaded as it is. Linux 5.5.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut object = cutaway::Object::parse(&std::fs::read("probes.o")?)?;
    /// object.count_losses();
    /// let loaded = object.load()?;
    /// let _links = loaded.attach()?;
    /// // …
    /// for map in loaded.losses().ok_or("not counted")?.maps()? {
    ///     match map.exact() {
    ///         Some(lost) => println!("{}: {lost} records lost", map.map),
    ///         None => println!("{}: unknown", map.map),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn count_losses(&mut self) -> &mut Self {
        self.instruments.losses = true;
        self
    }

    /// Makes loading insert instructions that mark each basic block that runs: a run of instructions without a jump
    /// into or out of its middle. [`Loaded::coverage`](crate::Loaded::coverage) returns the source lines that have run.
    ///
    /// A mark is one store of a byte. It needs a register that the program does not use at that point, or eight free
    /// bytes of stack. Without either, the block is not marked, and its lines are not measured unless the blocks
    /// around it tell whether it ran. If the verifier refuses a program with the marks, the program is loaded without
    /// them, and its lines are not measured. [`Coverage::not_measured`](crate::Coverage::not_measured) has the reasons.
    ///
    /// The marks are in an array map `cutaway_cover`, which is not one of [`Loaded::maps`](crate::Loaded::maps).
    /// Linux 5.5.
    pub fn cover(&mut self) -> &mut Self {
        self.instruments.coverage = true;
        self
    }

    /// Makes loading insert an instruction without effect, `goto +0`, before each instruction, and nothing else. Tests
    /// use it: a program does the same with these instructions as without.
    #[doc(hidden)]
    pub fn insert_no_ops(&mut self) -> &mut Self {
        self.instruments.no_ops = true;
        self
    }
}

/// Returns the error for a map or program that disappears between two lookups, which is a bug.
#[track_caller]
fn vanished() -> Error {
    Error::bug("a map or program of the object disappeared")
}
