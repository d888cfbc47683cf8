//! Objects with many CO-RE relocations, like large generated programs.

use cutaway::btf::Btf;
use cutaway_programs::prelude::*;

/// The section of all programs.
const SECTION: &str = "raw_tp/sys_enter";
/// The number of members of each structure.
const MEMBERS: usize = 10;

/// Returns an object of `programs` programs with `records` relocations each. Each relocation asks for the existence of
/// a member of a different flavor of `struct task_struct`. The kernel's structure has none of them.
pub(crate) fn object(programs: usize, records: usize) -> Vec<u8> {
    let mut object = ObjectBuilder::new("GPL");
    for number in 0..programs {
        let mut asm = Assembler::new();
        for _ in 0..records {
            asm.mov(R0, 1);
        }
        asm.mov(R0, 0);
        asm.exit();
        object.program(SECTION, &format!("p{number}"), asm);
    }
    let mut file = object.write().expect("programs can be written");
    let (btf, types, accesses) = with_types(contents(&file, ".BTF"), records);
    let mut core = Vec::new();
    for number in 0..programs {
        for record in 0..records {
            let offset = ((number * (records + 2) + record) * 8) as u32;
            let type_id = types + (record / MEMBERS) as u32;
            core.push([offset, type_id, accesses[record % MEMBERS], FIELD_EXISTS]);
        }
    }
    let ext = with_core(contents(&file, ".BTF.ext"), &core);
    replace(&mut file, ".BTF", &btf);
    replace(&mut file, ".BTF.ext", &ext);
    file
}

/// `BPF_CORE_FIELD_EXISTS`
const FIELD_EXISTS: u32 = 2;
/// `BTF_KIND_INT` and `BTF_KIND_STRUCT`, at their position in a type's second word.
const INT: u32 = 1 << 24;
const STRUCT: u32 = 4 << 24;

/// Returns BTF with the structures after its own types: the bytes, the id of the first structure, and the offsets of
/// the access strings.
fn with_types(btf: &[u8], members: usize) -> (Vec<u8>, u32, Vec<u32>) {
    let parsed = Btf::parse(btf).expect("the assembler's types");
    let (types, strings) = (word(btf, 12) as usize, word(btf, 20) as usize);
    let mut words = Vec::new();
    let mut texts = btf[24 + types..24 + types + strings].to_vec();
    let mut text = |text: &str| {
        texts.extend(text.bytes().chain([0]));
        (texts.len() - text.len() - 1) as u32
    };
    let int = parsed.end();
    words.extend([text("int"), INT, 4, 1 << 24 | 32]);
    for flavor in 0..members.div_ceil(MEMBERS) {
        words.extend([text(&format!("task_struct___{flavor}")), STRUCT | MEMBERS as u32, 4 * MEMBERS as u32]);
        for member in 0..MEMBERS {
            words.extend([text(&format!("f{flavor}_{member}")), int, 32 * member as u32]);
        }
    }
    let accesses = (0..MEMBERS).map(|member| text(&format!("0:{member}"))).collect();
    let length = (types + words.len() * 4) as u32;
    let mut bytes = btf[..12].to_vec();
    bytes.extend([length, length, texts.len() as u32].iter().flat_map(|word| word.to_ne_bytes()));
    bytes.extend_from_slice(&btf[24..24 + types]);
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    bytes.extend(texts);
    (bytes, int + 1, accesses)
}

/// Returns `.BTF.ext` with these relocations of its one section.
fn with_core(ext: &[u8], core: &[[u32; 4]]) -> Vec<u8> {
    const HEADER: usize = 32;
    // The first words after the header: the size of a record, and the section's name.
    let section = word(ext, HEADER + 4);
    let mut bytes = ext.to_vec();
    let records = [16, section, core.len() as u32].into_iter().chain(core.iter().flatten().copied());
    bytes.extend(records.flat_map(u32::to_ne_bytes));
    let (start, length) = ((ext.len() - HEADER) as u32, (bytes.len() - ext.len()) as u32);
    bytes[24..28].copy_from_slice(&start.to_ne_bytes());
    bytes[28..32].copy_from_slice(&length.to_ne_bytes());
    bytes
}

/// Returns the offset of the header of the section with this name.
fn header(file: &[u8], name: &str) -> usize {
    let half = |at: usize| usize::from(u16::from_ne_bytes([file[at], file[at + 1]]));
    let start = double(file, 40);
    let names = double(file, start + half(62) * 64 + 24);
    let is_meant = |at: &usize| {
        let text = &file[names + word(file, *at) as usize..];
        text.starts_with(name.as_bytes()) && text[name.len()] == 0
    };
    (0..half(60)).map(|number| start + number * 64).find(is_meant).expect("a section of this name")
}

fn contents<'f>(file: &'f [u8], name: &str) -> &'f [u8] {
    let header = header(file, name);
    &file[double(file, header + 24)..][..double(file, header + 32)]
}

/// Replaces a section's contents; the new ones are at the end of the file.
fn replace(file: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let header = header(file, name);
    file.resize(file.len().next_multiple_of(8), 0);
    let start = file.len() as u64;
    file.extend_from_slice(contents);
    file[header + 24..header + 32].copy_from_slice(&start.to_ne_bytes());
    file[header + 32..header + 40].copy_from_slice(&(contents.len() as u64).to_ne_bytes());
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn double(bytes: &[u8], at: usize) -> usize {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes")) as usize
}
