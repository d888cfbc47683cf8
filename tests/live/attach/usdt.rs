//! USDT probes in this test binary, written by hand: a `nop`, and a note that describes it.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod probes;
mod specs;

use std::sync::atomic::Ordering::Relaxed;

use cutaway::{Uprobe, Usdt, features};

use self::probes::{LISTENERS, attach, counted, events, first, listening, many, object, own, second};
use crate::{
    crafted::{CODE, Crafted, DATA, LOCAL, NOTE, OBJECT, probe as note},
    harness::{Test, test},
    mapped::Mapped,
    sample::{self, Also, load, runs},
    unsupported,
    waiting::Waiting,
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        test!(usdt_probe_reads_its_arguments).unless(unsupported::usdt),
        test!(usdt_probe_attaches_at_every_location).unless(unsupported::usdt),
        test!(usdt_semaphore_counts_attachments).unless(unsupported::usdt),
        test!(usdt_probe_is_attached_by_its_section).unless(unsupported::usdt),
        test!(usdt_probe_is_attached_in_one_process).unless(unsupported::usdt),
        test!(usdt_probe_works_without_cookies).unless(unsupported::usdt),
        test!(usdt_specs_are_released).unless(unsupported::usdt),
        test!(missing_usdt_probe_is_refused).unless(unsupported::usdt),
        test!(usdt_argument_with_an_ambiguous_symbol_is_unreadable).unless(unsupported::usdt).needs(x86),
        test!(usdt_without_libbpf_maps_gets_registers_and_cookie).unless(unsupported::usdt_cookies),
    ];
    tests.extend(specs::tests());
    tests
}

/// Returns the reason why a test of x86's syntax does not run elsewhere.
fn x86() -> Option<String> {
    let why = "is for x86-64: on other machines an argument names no variable";
    (!cfg!(target_arch = "x86_64")).then(|| why.to_owned())
}

fn usdt_probe_reads_its_arguments() {
    let loaded = listening();
    let link = attach(&loaded, &own("many").cookie(5 << 40));
    let text = *b"\x01\x02\x03\x04\x05\xfa\x07\x08";
    many(-3, &text, 0);
    many(70_000, &text, 1);
    drop(link);
    many(0, &text, 0);
    let events = events(&loaded.0);
    assert_eq!(events.len(), 2, "{events:?}");
    let address = events[0].arguments[1];
    let second = i64::from(u16::from_ne_bytes([4, 5]));
    assert_ne!(address, 0);
    assert_eq!(events[0].arguments[3..], [second, -9, 16, 77, 0]);
    assert_eq!(events[1].arguments, [70_000, address, 4, second, -9, 16, 77, 0]);
    assert_eq!(events[0].arguments[0], -3);
    for event in &events {
        assert_eq!(event.cookie, 5 << 40);
        assert_eq!(event.errors, [0, 0, 0, 0, 0, 0, 0, -i64::from(libc::EINVAL)]);
    }
}

fn usdt_probe_attaches_at_every_location() {
    let (_, locations) = own("twice").locate().unwrap();
    assert_eq!(locations.len(), 2, "{locations:?}");
    let loaded = listening();
    let link = attach(&loaded, &own("twice"));
    first();
    second();
    drop(link);
    first();
    let reported: Vec<_> = events(&loaded.0).into_iter().map(|event| event.arguments).collect();
    assert_eq!(reported, [[1], [2]]);
}

fn usdt_semaphore_counts_attachments() {
    let (_, locations) = own("counted").locate().unwrap();
    assert!(locations[0].semaphore.is_some(), "{locations:?}");
    assert_eq!(LISTENERS.load(Relaxed), 0);
    let loaded = listening();
    let link = attach(&loaded, &own("counted"));
    assert_eq!(LISTENERS.load(Relaxed), 1);
    let other = attach(&loaded, &own("counted"));
    counted();
    drop(link);
    assert_eq!(LISTENERS.load(Relaxed), 1);
    drop(other);
    assert_eq!(LISTENERS.load(Relaxed), 0);
    assert_eq!(events(&loaded.0).len(), 2);
}

fn usdt_probe_is_attached_by_its_section() {
    let own = std::env::current_exe().unwrap();
    let loaded =
        sample::object(&format!("usdt/{}:cutaway:twice", own.display()), 0, Also::OnlyThisProcess).load().unwrap();
    let link = loaded.program("count").unwrap().attach().unwrap();
    assert_eq!(link.as_link_fd().is_some(), features::uprobe_multi_pid().is_yes());
    first();
    second();
    drop(link);
    first();
    assert_eq!(runs(&loaded), 2);
    // A program of another section works too.
    let loaded = load("uprobe");
    let link = self::own("twice").attach(loaded.program("count").unwrap()).unwrap();
    first();
    drop(link);
    assert_eq!(runs(&loaded), 1);
}

fn usdt_probe_is_attached_in_one_process() {
    let loaded = listening();
    let other = Waiting::start();
    let link = attach(&loaded, &Usdt::new("/proc/self/exe", "cutaway", "twice").pid(other.id()));
    first();
    drop(link);
    assert_eq!(events(&loaded.0), []);
}

/// Kernels before 5.15 have no cookies: the probe's address selects its spec.
fn usdt_probe_works_without_cookies() {
    if features::perf_link().is_yes() {
        // The loader does not fill the other map here. So if its program finds nothing, it is not the wrong one.
        let mut object = object();
        object.program_mut("by_address").unwrap().section.autoload = true;
        let loaded = object.load().unwrap();
        let link = own("twice").attach(loaded.program("by_address").unwrap()).unwrap();
        first();
        drop(link);
        return assert_eq!(events(&loaded), []);
    }
    let loaded = listening();
    let line = Usdt::new("/proc/self/exe", "cutaway", "twice").attach(loaded.0.program(loaded.1).unwrap());
    let line = line.unwrap_err().to_string();
    assert!(line.contains("no cookies (Linux 5.15)"), "{line}");
    let link = attach(&loaded, &own("twice"));
    first();
    drop(link);
    assert_eq!(loaded.0.map("__bpf_usdt_ip_to_spec_id").unwrap().keys().count(), 0);
    assert_eq!(events(&loaded.0).len(), 1);
}

fn usdt_specs_are_released() {
    let loaded = listening();
    // The map has four entries. Equal specs share one.
    let same: Vec<_> = (0..8).map(|_| attach(&loaded, &own("many"))).collect();
    let program = loaded.0.program(loaded.1).unwrap();
    if !features::perf_link().is_yes() {
        // The location has one spec. A second one is refused until the first is no longer used.
        let line = own("many").cookie(1).attach(program).unwrap_err().to_string();
        assert!(line.contains("another probe is already at 0x"), "{line}");
        drop(same);
        let link = attach(&loaded, &own("many").cookie(1));
        many(1, b"12345678", 1);
        drop(link);
        return assert_eq!(events(&loaded.0).iter().map(|event| event.cookie).collect::<Vec<_>>(), [1]);
    }
    let links: Vec<_> = (1..=3).map(|cookie| attach(&loaded, &own("many").cookie(cookie))).collect();
    let line = own("many").cookie(4).attach(program).unwrap_err().to_string();
    assert!(line.contains("has 4 entries") && line.contains("BPF_USDT_MAX_SPEC_CNT"), "{line}");
    drop(links);
    let links: Vec<_> = (4..=6).map(|cookie| attach(&loaded, &own("many").cookie(cookie))).collect();
    many(1, b"12345678", 1);
    let mut cookies: Vec<_> = events(&loaded.0).iter().map(|event| event.cookie).collect();
    cookies.sort_unstable();
    assert_eq!(cookies, [0, 0, 0, 0, 0, 0, 0, 0, 4, 5, 6]);
    drop((same, links));
}

fn missing_usdt_probe_is_refused() {
    let line = own("nothing").locate().unwrap_err().to_string();
    for part in [
        "`cutaway:nothing`",
        "no such probe; it has `cutaway:counted`",
        "`cutaway:indexed`, `cutaway:many`, `cutaway:twice`",
    ] {
        assert!(line.contains(part), "{line}");
    }
    let all: Vec<_> = Usdt::all("/proc/self/exe").unwrap().into_iter().map(|location| location.name).collect();
    for name in ["many", "twice", "counted"] {
        assert!(all.iter().any(|known| known == name), "{all:?}");
    }
    let loaded = load("socket");
    let line = own("twice").attach(loaded.program("count").unwrap()).unwrap_err().to_string();
    assert!(line.contains("it is a program of the type SOCKET_FILTER; KPROBE is needed"), "{line}");
}

/// Two files have static variables of the same name: the file does not say which one the argument names.
fn usdt_argument_with_an_ambiguous_symbol_is_unreadable() {
    let variable = |name, address| (name, LOCAL, OBJECT, address, 4);
    let text = "4@only(%rip) 4@several(%rip) 8@$5";
    let crafted = Crafted {
        symbols: vec![variable("only", DATA), variable("several", DATA + 8), variable("several", DATA + 16)],
        sections: vec![(".note.stapsdt", NOTE, note(CODE, "hit", text))],
        ..Crafted::default()
    };
    let mut bytes = crafted.write();
    bytes[0x2000..0x2018].fill(1);
    let file = Mapped::write("ambiguous.so", &bytes);
    let loaded = listening();
    let link = attach(&loaded, &Usdt::new(file.path(), "cutaway", "hit").pid(std::process::id()));
    file.call(0);
    drop(link);
    let events = events(&loaded.0);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].arguments, [0x0101_0101, 0, 5]);
    assert_eq!(events[0].errors, [0, -i64::from(libc::EINVAL), 0]);
}

fn usdt_without_libbpf_maps_gets_registers_and_cookie() {
    let loaded = sample::object("usdt", 0, Also::NotesCookie).load().unwrap();
    let link = own("twice").cookie(11).attach(loaded.program("count").unwrap()).unwrap();
    first();
    drop(link);
    assert_eq!((runs(&loaded), sample::cookie(&loaded)), (1, 11));
    // The location itself is available too.
    let (path, locations) = own("twice").locate().unwrap();
    assert!(Uprobe::at_file_offset(path.to_str().unwrap(), locations[0].offset).locate().is_ok());
}
