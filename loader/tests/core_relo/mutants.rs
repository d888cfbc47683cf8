//! Broken BTF and broken records give an error or a result, and never a panic or a long wait.

use std::{
    fs,
    time::{Duration, Instant},
};

use cutaway::{
    btf::{Btf, Ext, Kind},
    core_relo::{self, Relocation},
};

use super::parts::{Parts, corpus};

/// A generator of pseudorandom numbers that are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    /// Changes a few words: to small numbers, which are types and sizes, to huge numbers, or by a single bit.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len()) & !3;
            let Some(word) = bytes[at..].first_chunk_mut::<4>() else { continue };
            let old = u32::from_ne_bytes(*word);
            *word = match self.below(6) {
                0 => self.below(200) as u32,
                1 => u32::MAX - self.below(2) as u32,
                2 => old ^ 1 << self.below(32),
                3 => old.wrapping_add(1),
                4 => (self.below(20) << 24 | self.below(4)) as u32,
                _ => self.below(usize::MAX) as u32,
            }
            .to_ne_bytes();
        }
        if self.below(20) == 0 {
            bytes.truncate(self.below(bytes.len()));
        }
    }
}

/// Reads everything that a view of BTF has.
fn ask_everything(btf: &Btf<'_>) {
    for ty in btf.types().chain([btf.ty(0), btf.ty(u32::MAX)]) {
        let _ = (ty.to_string(), ty.size(), ty.referred(), ty.int(), ty.array(), ty.linkage(), ty.component());
        assert!(ty.members().count() <= ty.len() as usize && ty.members().all(|member| member.name.len() < 1 << 20));
        assert!(ty.values().count() <= ty.len() as usize);
        assert!(ty.params().count() + ty.section_vars().count() <= ty.len() as usize);
        let _ = (btf.size_of(ty.id()), btf.resolve(ty.id()).map(|ty| ty.kind() == Kind::Void));
    }
}

#[test]
fn mutants_of_every_object_and_of_the_kernel_end_in_an_answer() {
    let rounds: u64 = std::env::var("CUTAWAY_MUTANTS").map_or(300, |rounds| rounds.parse().unwrap());
    let target = Parts::of(&corpus().join("target.o")).btf;
    let mut slowest = Duration::ZERO;
    let (mut parsed, mut relocated) = (0, 0);
    for entry in fs::read_dir(corpus()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "o") {
            continue;
        }
        let parts = Parts::of(&path);
        for round in 1..=rounds {
            let mut numbers = Numbers(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (mut local, mut ext, mut kernel) = (parts.btf.clone(), parts.ext.clone(), target.clone());
            match numbers.below(3) {
                0 => numbers.mutate(&mut local),
                1 if !ext.is_empty() => numbers.mutate(&mut ext),
                _ => numbers.mutate(&mut kernel),
            }
            let mut code = parts.code.clone();
            if numbers.below(8) == 0 {
                code.0.values_mut().for_each(|bytes| bytes.truncate(numbers.below(bytes.len() + 1)));
            }
            let start = Instant::now();
            let Ok(btf) = Btf::parse(&local) else { continue };
            ask_everything(&btf);
            if let Ok(kernel) = Btf::parse(&kernel) {
                ask_everything(&kernel);
                if let Ok(split) = Btf::parse_split(&local, &kernel) {
                    ask_everything(&split);
                }
            }
            parsed += 1;
            if let Ok(ext) = Ext::parse(&ext, &btf) {
                let _: usize = ext.func_info().chain(ext.line_info()).map(|records| records.words::<4>().count()).sum();
                let relocations = Relocation::all(&btf, &ext);
                relocated += u32::from(core_relo::relocate(&btf, &relocations, &kernel, &mut code).is_ok());
            }
            slowest = slowest.max(start.elapsed());
        }
    }
    // The test is useful only if most mutants get far.
    assert!(parsed > rounds * 10 && u64::from(relocated) > rounds * 5, "{parsed} parsed, {relocated} relocated");
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}
