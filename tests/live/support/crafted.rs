//! ELF files crafted for a test: a page of code, a page of data, and any symbols and sections.
//!
//! ```text
//!     offset   address
//!     0x1000   0x11000   code: a function every 16 bytes, which does nothing and returns
//!     0x2000   0x12000   data, followed by 0x1000 bytes that exist in memory only
//! ```

/// The addresses of code and data in memory, and their distance from the offsets in the file.
pub(crate) const CODE: u64 = 0x1_1000;
pub(crate) const DATA: u64 = 0x1_2000;
pub(crate) const SHIFT: u64 = 0x1_0000;
const PAGE: usize = 0x1000;

/// `STB_LOCAL`, `STB_GLOBAL`, `STB_WEAK`
pub(crate) const LOCAL: u8 = 0;
pub(crate) const GLOBAL: u8 = 1;
pub(crate) const WEAK: u8 = 2;
/// `STT_NOTYPE`, `STT_OBJECT`, `STT_FUNC`, `STT_FILE`, `STT_TLS`, `STT_GNU_IFUNC`
pub(crate) const NOTYPE: u8 = 0;
pub(crate) const OBJECT: u8 = 1;
pub(crate) const FUNC: u8 = 2;
pub(crate) const FILE: u8 = 4;
pub(crate) const TLS: u8 = 6;
pub(crate) const IFUNC: u8 = 10;

/// `SHT_PROGBITS`, `SHT_SYMTAB`, `SHT_STRTAB`, `SHT_NOTE`, `SHT_NOBITS`, `SHT_DYNSYM`
const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
pub(crate) const NOTE: u32 = 7;
const NOBITS: u32 = 8;
const DYNSYM: u32 = 11;

/// A symbol: name, binding, type, address (0 for an undefined one), size.
pub(crate) type Symbol<'a> = (&'a str, u8, u8, u64, u64);

/// A file to be written.
#[derive(Debug, Clone)]
pub(crate) struct Crafted<'a> {
    /// `e_type`: 1 for an object file, 3 for a library, 4 for a core dump.
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) wide: bool,
    /// The full symbol table (`.symtab`); absent if empty.
    pub(crate) symbols: Vec<Symbol<'a>>,
    /// The dynamic loader's symbol table (`.dynsym`).
    pub(crate) dynamic: Vec<Symbol<'a>>,
    /// More sections: name, type, contents.
    pub(crate) sections: Vec<(&'a str, u32, Vec<u8>)>,
    /// Writes the file like `objcopy --only-keep-debug`: sections without contents, segments unchanged.
    pub(crate) debug_only: bool,
    /// Truncates the file after this many bytes.
    pub(crate) cut: Option<usize>,
}

impl Default for Crafted<'_> {
    fn default() -> Self {
        Self {
            kind: 3,
            machine: own_machine(),
            wide: true,
            symbols: Vec::new(),
            dynamic: Vec::new(),
            sections: Vec::new(),
            debug_only: false,
            cut: None,
        }
    }
}

/// Returns the `e_machine` of the running binary.
pub(crate) fn own_machine() -> u16 {
    use std::io::Read;
    let mut header = [0; 20];
    std::fs::File::open("/proc/self/exe").unwrap().read_exact(&mut header).unwrap();
    let [.., first, second] = header;
    u16::from_ne_bytes([first, second])
}

/// A section's header without its name.
#[derive(Default)]
struct Header {
    kind: u32,
    flags: u64,
    address: u64,
    offset: usize,
    size: usize,
    link: u32,
    entry: u64,
}

impl Crafted<'_> {
    pub(crate) fn write(&self) -> Vec<u8> {
        let function = code().iter().copied().chain(std::iter::repeat(0)).take(16);
        let functions = function.cycle().take(PAGE);
        let mut file: Vec<u8> = [0; PAGE].into_iter().chain(functions).chain([0; PAGE]).collect();
        let mut headers = vec![(String::new(), Header::default())];
        let kind = if self.debug_only { NOBITS } else { PROGBITS };
        // SHF_ALLOC with SHF_EXECINSTR, and with SHF_WRITE.
        let text = Header { kind, flags: 6, address: CODE, offset: PAGE, size: PAGE, ..Header::default() };
        let data = Header { kind, flags: 3, address: DATA, offset: 2 * PAGE, size: PAGE, ..Header::default() };
        headers.extend([(".text".to_owned(), text), (".data".to_owned(), data)]);
        for (name, strings, kind, symbols) in
            [(".symtab", ".strtab", SYMTAB, &self.symbols), (".dynsym", ".dynstr", DYNSYM, &self.dynamic)]
        {
            if !symbols.is_empty() {
                let (table, names) = self.table(symbols);
                let (link, entry) = (headers.len() as u32 + 1, if self.wide { 24 } else { 16 });
                let start = append(&mut file, &table);
                headers.push((
                    name.to_owned(),
                    Header { kind, offset: start, size: table.len(), link, entry, ..Header::default() },
                ));
                let start = append(&mut file, &names);
                headers.push((
                    strings.to_owned(),
                    Header { kind: STRTAB, offset: start, size: names.len(), ..Header::default() },
                ));
            }
        }
        for (name, kind, bytes) in &self.sections {
            let start = append(&mut file, bytes);
            headers.push((
                (*name).to_owned(),
                Header { kind: *kind, offset: start, size: bytes.len(), ..Header::default() },
            ));
        }
        let mut names = Vec::new();
        let mut at = Vec::new();
        for name in headers.iter().map(|(name, _)| name.as_str()).chain([".shstrtab"]) {
            at.push(names.len() as u32);
            names.extend(name.bytes().chain([0]));
        }
        let start = append(&mut file, &names);
        headers.push((
            ".shstrtab".to_owned(),
            Header { kind: STRTAB, offset: start, size: names.len(), ..Header::default() },
        ));
        let count = headers.len();
        let mut table = Vec::new();
        for ((_, header), name) in headers.into_iter().zip(at) {
            table.extend([name, header.kind].map(u32::to_ne_bytes).concat());
            for word in [header.flags, header.address, header.offset as u64, header.size as u64] {
                self.word(&mut table, word);
            }
            table.extend([header.link, 0].map(u32::to_ne_bytes).concat());
            self.word(&mut table, 1);
            self.word(&mut table, header.entry);
        }
        let start = append(&mut file, &table);
        let head = self.head(start, count);
        file.splice(..head.len(), head);
        file.truncate(self.cut.unwrap_or(file.len()));
        file
    }

    /// Returns the file's header and the program headers.
    fn head(&self, sections: usize, count: usize) -> Vec<u8> {
        let order = if cfg!(target_endian = "little") { 1 } else { 2 };
        let mut head = [0x7f, b'E', b'L', b'F', if self.wide { 2 } else { 1 }, order, 1].to_vec();
        head.resize(16, 0);
        head.extend([self.kind, self.machine].map(u16::to_ne_bytes).concat());
        head.extend(1_u32.to_ne_bytes());
        let (size, segment, section) = if self.wide { (64, 56, 64) } else { (52, 32, 40) };
        for word in [CODE, size, sections as u64] {
            self.word(&mut head, word);
        }
        head.extend(0_u32.to_ne_bytes());
        let counts = [size as u16, segment, 2, section, count as u16, count as u16 - 1];
        head.extend(counts.map(u16::to_ne_bytes).concat());
        // PF_R with PF_X, and with PF_W.
        for (flags, offset, address, in_file, size) in
            [(5_u32, PAGE, CODE, PAGE, PAGE), (6, 2 * PAGE, DATA, PAGE, 2 * PAGE)]
        {
            head.extend(1_u32.to_ne_bytes());
            if self.wide {
                head.extend(flags.to_ne_bytes());
            }
            for word in [offset as u64, address, address, in_file as u64, size as u64] {
                self.word(&mut head, word);
            }
            if !self.wide {
                head.extend(flags.to_ne_bytes());
            }
            self.word(&mut head, PAGE as u64);
        }
        head
    }

    /// Returns a symbol table and its string table.
    fn table(&self, symbols: &[Symbol<'_>]) -> (Vec<u8>, Vec<u8>) {
        let mut table = vec![0; if self.wide { 24 } else { 16 }];
        let mut names = vec![0];
        for &(name, binding, kind, address, size) in symbols {
            // SHN_UNDEF, or the section that the address is in.
            let section = if address == 0 { 0_u16 } else { 1 + u16::from(address >= DATA) };
            table.extend((names.len() as u32).to_ne_bytes());
            let rest = [&[binding << 4 | kind, 0][..], &section.to_ne_bytes()].concat();
            if self.wide {
                table.extend(&rest);
            }
            self.word(&mut table, address);
            self.word(&mut table, size);
            if !self.wide {
                table.extend(&rest);
            }
            names.extend(name.bytes().chain([0]));
        }
        (table, names)
    }

    fn word(&self, to: &mut Vec<u8>, word: u64) {
        if self.wide { to.extend(word.to_ne_bytes()) } else { to.extend((word as u32).to_ne_bytes()) }
    }
}

/// Returns a note with this owner, type and description.
pub(crate) fn note(owner: &str, kind: u32, description: &[u8]) -> Vec<u8> {
    let mut note = [owner.len() as u32 + 1, description.len() as u32, kind].map(u32::to_ne_bytes).concat();
    note.extend(owner.bytes().chain([0]));
    note.resize(note.len().next_multiple_of(4), 0);
    note.extend(description);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// Returns a note of the USDT probe `cutaway:NAME` at `address`.
pub(crate) fn probe(address: u64, name: &str, arguments: &str) -> Vec<u8> {
    let mut description = [address, 0, 0].map(u64::to_ne_bytes).concat();
    for text in ["cutaway", name, arguments] {
        description.extend(text.bytes().chain([0]));
    }
    note("stapsdt", 3, &description)
}

fn append(file: &mut Vec<u8>, bytes: &[u8]) -> usize {
    file.resize(file.len().next_multiple_of(8), 0);
    file.extend(bytes);
    file.len() - bytes.len()
}

/// Returns the machine code of a function that does nothing.
fn code() -> &'static [u8] {
    if cfg!(target_arch = "x86_64") {
        // nop; ret
        &[0x90, 0xc3]
    } else if cfg!(target_arch = "aarch64") {
        &[0x1f, 0x20, 0x03, 0xd5, 0xc0, 0x03, 0x5f, 0xd6]
    } else if cfg!(target_arch = "riscv64") {
        &[0x01, 0x00, 0x82, 0x80]
    } else {
        &[]
    }
}
