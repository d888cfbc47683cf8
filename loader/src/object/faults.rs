//! Tests of messages for objects that cannot be loaded, or do not do what their author expects. The objects are in
//! `tests/corpus/faults`.

use crate::{Error, Object, ProgramType, Warning};

fn parse(name: &str) -> Result<Object, Error> {
    let path = format!("{}/../tests/corpus/faults/{name}.o", env!("CARGO_MANIFEST_DIR"));
    Object::parse(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// Returns why the object cannot be parsed, or its first program not be linked.
fn refusal(name: &str) -> String {
    let linked = parse(name).and_then(|object| object.dry_run(&[]));
    let mut programs = match linked {
        Ok(dry_run) => dry_run.programs.into_iter(),
        Err(error) => return error.to_string(),
    };
    programs.find_map(|program| program.instructions.err()).map_or_else(String::new, |error| error.to_string())
}

#[test]
fn refusal_names_the_cause() {
    for (name, parts) in [
        ("without_types", ["no section .BTF", "compile it with `-g`"]),
        ("without_symbols", ["no symbol table", "`llvm-strip -g`"]),
        ("static_map", ["`counting` refers to the map `counts` (section `.maps`, offset 0)", "drop `static`"]),
        ("conflicting_sizes", ["the map `conflicting`", "its key has 4 bytes and that it has 8"]),
        ("pinned_elsewhere", ["the map `elsewhere` asks for pinning 2", "1 (LIBBPF_PIN_BY_NAME)"]),
        ("pointer_to_map", ["the map `pointer` has no type", "not a pointer to one"]),
        ("elsewhere", ["`variable` in section `settings`", ".data, .rodata or .bss"]),
    ] {
        let line = refusal(name);
        assert!(parts.iter().all(|part| line.contains(part)) && !line.contains('\n'), "{name}: {line}");
    }
    assert_eq!(refusal("static_programs"), "");
}

#[test]
fn static_program_is_skipped_and_static_function_is_not() {
    let object = parse("static_programs").unwrap();
    let programs: Vec<_> = object.programs().iter().map(|program| program.name.as_str()).collect();
    assert_eq!(programs, ["runs"]);
    let [skipped] = object.unknown_programs() else { panic!("{:?}", object.unknown_programs()) };
    assert_eq!((skipped.name.as_str(), skipped.section_name.as_str()), ("forgotten", "raw_tp/sys_enter"));
    assert_eq!(skipped.to_string(), "`forgotten`: it is static, and programs must be global: drop `static`");
}

#[test]
fn program_of_an_unknown_section_is_named_with_the_reason() {
    let mut object = parse("unknown_sections").unwrap();
    let line = object.program_mut("in_foo").unwrap_err().to_string();
    assert!(
        line.contains("`in_foo`: section `foo`: its name gives no known program type")
            && line.contains("set_program_type"),
        "{line}"
    );
    let line = object.program_mut("in_kprobe").unwrap_err().to_string();
    assert!(line.contains("SEC(\"kprobe/TARGET\")"), "{line}");
    let line = object.program_mut("nowhere").unwrap_err().to_string();
    assert!(line.contains("has no program `nowhere`"), "{line}");
    object.set_program_type("in_foo", ProgramType::RAW_TRACEPOINT, crate::AttachType::default()).unwrap();
    assert!(object.program_mut("in_foo").is_ok());
}

#[test]
fn addresses_in_data_are_warned_of_once_per_section() {
    let object = parse("pointers").unwrap();
    let [first, second, license] = object.warnings() else { panic!("{:?}", object.warnings()) };
    for (warning, section, names) in [(first, ".data", &["to_number", "text"][..]), (second, ".rodata", &["names"])] {
        let Warning::Addresses { section: found, variables } = warning else { panic!("{warning:?}") };
        assert_eq!(
            (found.as_str(), variables.as_slice()),
            (section, &*names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        );
        assert!(warning.to_string().contains(&format!("`{section}`")), "{warning}");
    }
    assert!(license.to_string().contains("the license is a pointer"), "{license}");
    assert_eq!(object.license(), c"");
    assert!(parse("static_programs").unwrap().warnings().is_empty());
}

#[test]
fn unknown_pinning_of_an_old_map_is_warned_of() {
    let object = parse("legacy_pin").unwrap();
    let [warning] = object.warnings() else { panic!("{:?}", object.warnings()) };
    assert_eq!(*warning, Warning::Pinning { map: "globals".to_owned(), value: 2 });
    assert!(warning.to_string().contains("pinning 2"), "{warning}");
}
