//! Parts of variables, of `tests/corpus/events/settings.c` and `network.c`.

use proptest::prelude::*;

use super::*;

fn object() -> Object {
    Object::parse(include_bytes!("../../../../tests/corpus/events/settings.o")).unwrap()
}

/// Sets these, and returns the variable's value as text.
fn set(name: &str, settings: &[&str]) -> Result<String, String> {
    let mut object = object();
    let types = object.btf().unwrap();
    let btf = Btf::parse(&types).unwrap();
    let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
    apply(&mut object, &settings, Some(&btf)).map_err(|error| error.to_string())?;
    let id = object.variables().iter().find(|variable| variable.name == name).unwrap().type_id.unwrap();
    Ok(btf.value(id, &object.initial_value(name).unwrap()).to_string())
}

#[test]
fn member_is_set_and_the_others_keep_their_values() {
    let settings = [
        "cfg.level=0x10",
        "cfg.ports[1]=-3",
        "cfg.mode=FAST",
        "cfg.target.name=eth0",
        "cfg.target.limits[1]=9",
        "cfg.low=15",
    ];
    let whole = "{level: 16, ports: [7, -3, 9], mode: FAST, loud: false, target: {name: \"eth0\", limits: [5, 9]}, low: \
                 15, high: 3}";
    assert_eq!(set("cfg", &settings), Ok(whole.to_owned()));
    assert_eq!(set("table", &["table[1][2]=60", "table[0]=9,8"]), Ok("[[9, 8, 0], [4, 5, 60]]".to_owned()));
    assert_eq!(set("pairs", &["pairs[1].second=5"]), Ok("[{first: 0, second: 0}, {first: 0, second: 5}]".to_owned()));
    assert_eq!(set("cfg", &["cfg.target=hex:0100000000000000"]).unwrap_err().matches("8 are given").count(), 1);
}

#[test]
fn wrong_part_is_refused() {
    for (setting, part) in [
        (
            "cfg.levle=1",
            "struct settings has no member `levle`; its members are level, ports, mode, loud, target, low, high",
        ),
        ("cfg.ports[3]=1", "[3] is beyond the end: the array has 3 elements"),
        ("cfg.ports[-1]=1", "an index is a number from 0"),
        ("cfg.ports[1=1", "no path"),
        ("cfg.level.x=1", "is no structure"),
        ("cfg.level[0]=1", "is no array"),
        ("cfg.low[0]=1", "a bit field has no parts"),
        ("cfg.low=16", "4 bits"),
        ("cfg.level=-1", "unsigned integer of 4 bytes"),
        ("cfg.mode=MEDIUM", "OFF, SLOW, FAST"),
        ("cfg=1", "set a member, as in .level=…"),
        ("cgf.level=1", "no variable `cgf`"),
        ("table[2][0]=1", "the array has 2 elements"),
        ("table[]=1", "an index is a number"),
        ("table[0]]=1", "no path"),
        ("cfg.=1", "no member ``"),
    ] {
        let why = set("cfg", &[setting]).unwrap_err();
        assert!(why.contains(part), "{setting}: {why}");
    }
}

#[test]
fn network_order_is_that_of_the_type() {
    let set = |network, size, text| in_network_order(network, size, text);
    assert_eq!(set(NetworkType::Number, 2, "443"), Ok(vec![1, 187]));
    assert_eq!(set(NetworkType::Number, 4, "127.0.0.1"), Ok(vec![127, 0, 0, 1]));
    assert_eq!(set(NetworkType::Ipv4, 4, "10.0.0.2"), Ok(vec![10, 0, 0, 2]));
    assert_eq!(set(NetworkType::Ipv6, 16, "::1").unwrap().last(), Some(&1));
    for (network, size, text) in [
        (NetworkType::Number, 2, "65536"),
        (NetworkType::Number, 2, "1.2.3.4"),
        (NetworkType::Ipv4, 4, "::1"),
        (NetworkType::Ipv6, 16, "x"),
    ] {
        assert!(set(network, size, text).is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any path and value is set or refused.
    #[test]
    fn any_path_is_set_or_refused(path in "[.\\[\\]a-z0-9 ß]{0,12}", value in "[-a-z0-9.,:x'ß]{0,8}") {
        let _ = set("cfg", &[&format!("cfg{path}={value}"), &format!("cfg.target{path}={value}")]);
    }
}
