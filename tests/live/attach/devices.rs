//! Network devices: XDP, tc, tcx. Each test has a network of its own.

use cutaway::{Error, Link, Loaded, Tc, Tcx, Xdp, XdpMode, features};

use crate::{
    Test, lacks,
    network::{self, LO},
    sample::{self, runs},
    test,
};

pub(crate) const TESTS: &[Test] = &[
    test("an_xdp_program_sees_and_drops_packets", lacks::nothing, xdp),
    test("an_xdp_program_needs_no_link", lacks::nothing, xdp_by_netlink),
    test("a_second_xdp_program_is_refused", lacks::nothing, second_xdp),
    test("a_filter_of_tc_sees_what_comes_in", lacks::tc, || tc(Tc::ingress)),
    test("a_filter_of_tc_sees_what_goes_out", lacks::tc, || tc(Tc::egress)),
    test("a_filter_of_tc_keeps_to_its_priority", lacks::tc, tc_priority),
    test("a_link_on_a_device_sees_what_comes_in", lacks::tcx, || tcx(Tcx::ingress)),
    test("a_link_on_a_device_sees_what_goes_out", lacks::tcx, || tcx(Tcx::egress)),
    test("links_on_devices_are_missed_by_name", without_tcx, no_tcx),
    test("devices_that_are_none_are_told", lacks::nothing, no_device),
    test("devices_that_are_none_are_told_by_tc", lacks::tc, no_device_tc),
    test("devices_have_names", lacks::nothing, names),
];

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const TC_ACT_OK: i32 = 0;
const TC_ACT_SHOT: i32 = 2;

fn load(section: &str, answer: i32) -> Loaded {
    sample::answering(section, answer).unwrap()
}

fn xdp() {
    network::leave();
    assert!(network::send_to_self());
    let (passing, dropping) = (load("xdp", XDP_PASS), load("xdp", XDP_DROP));
    let link = Xdp::new(LO).mode(XdpMode::Generic).attach(passing.program("count").unwrap()).unwrap();
    assert!(network::send_to_self());
    let seen = runs(&passing);
    assert!(seen > 0);
    drop(link);
    let link = Xdp::new(LO).attach(dropping.program("count").unwrap()).unwrap();
    assert!(!network::send_to_self());
    drop(link);
    assert!(network::send_to_self());
    assert_eq!(runs(&passing), seen);
}

fn xdp_by_netlink() {
    network::leave();
    let (passing, dropping) = (load("xdp", XDP_PASS), load("xdp", XDP_DROP));
    let generic = Xdp::new(LO).mode(XdpMode::Generic).by_netlink();
    let link = generic.attach(dropping.program("count").unwrap()).unwrap();
    assert!(link.as_link_fd().is_none());
    assert!(!network::send_to_self());
    let line = refused(generic.attach(passing.program("count").unwrap()));
    assert!(line.contains("it has an XDP program already"), "{line}");
    drop(link);
    assert!(network::send_to_self());
    let link = generic.attach(passing.program("count").unwrap()).unwrap();
    assert!(network::send_to_self());
    assert!(runs(&passing) > 0);
    drop(link);
}

fn refused(answer: Result<Link, Error>) -> String {
    let line = answer.unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

fn second_xdp() {
    network::leave();
    let loaded = load("xdp", XDP_PASS);
    let link = Xdp::new(LO).attach(loaded.program("count").unwrap()).unwrap();
    let line = refused(Xdp::new(LO).attach(loaded.program("count").unwrap()));
    assert!(line.contains("it has an XDP program already"), "{line}");
    drop(link);
}

fn tc(place: fn(u32) -> Tc) {
    network::leave();
    let (passing, dropping) = (load("tc", TC_ACT_OK), load("classifier", TC_ACT_SHOT));
    let link = place(LO).attach(passing.program("count").unwrap()).unwrap();
    assert!(network::send_to_self());
    let seen = runs(&passing);
    assert!(seen > 0);
    drop(link);
    // The discipline is there already.
    let link = place(LO).attach(dropping.program("count").unwrap()).unwrap();
    assert!(!network::send_to_self());
    drop(link);
    assert!(network::send_to_self());
    assert_eq!(runs(&passing), seen);
}

fn tc_priority() {
    network::leave();
    let (first, second) = (load("tc", TC_ACT_SHOT), load("tc", TC_ACT_OK));
    let links = [
        Tc::egress(LO).priority(20).attach(second.program("count").unwrap()).unwrap(),
        Tc::egress(LO).priority(10).attach(first.program("count").unwrap()).unwrap(),
    ];
    assert!(!network::send_to_self());
    assert!(runs(&first) > 0);
    assert_eq!(runs(&second), 0, "the first has dropped it");
    drop(links);
    assert!(network::send_to_self());
}

fn tcx(place: fn(u32) -> Tcx) {
    network::leave();
    for section in ["tcx/ingress", "tc"] {
        let loaded = load(section, TC_ACT_SHOT);
        let link = place(LO).attach(loaded.program("count").unwrap()).unwrap();
        assert!(link.as_link_fd().is_some());
        assert!(!network::send_to_self());
        assert!(runs(&loaded) > 0);
        drop(link);
        assert!(network::send_to_self());
        if section == "tcx/ingress" && !features::tcx_link().is_yes() {
            return;
        }
    }
}

fn without_tcx() -> Option<String> {
    lacks::tcx().is_none().then(|| "this kernel has links for classifiers".to_owned())
}

fn no_tcx() {
    let loaded = load("tc", TC_ACT_OK);
    let line = refused(Tcx::ingress(LO).attach(loaded.program("count").unwrap()));
    assert!(line.contains("needs Linux 6.6") && line.contains("attach it with `Tc`"), "{line}");
}

fn no_device() {
    let loaded = load("xdp", XDP_PASS);
    let line = refused(Xdp::new(9999).attach(loaded.program("count").unwrap()));
    assert!(line.contains("no such network device"), "{line}");
    let line = refused(Xdp::new(LO).attach(load("tc", TC_ACT_OK).program("count").unwrap()));
    assert!(line.contains("of the kind SCHED_CLS; XDP is needed"), "{line}");
}

fn no_device_tc() {
    let loaded = load("tc", TC_ACT_OK);
    let line = refused(Tc::ingress(9999).attach(loaded.program("count").unwrap()));
    assert!(line.contains("no such network device"), "{line}");
}

fn names() {
    assert_eq!(cutaway::interface_index("lo").unwrap(), LO);
    let line = cutaway::interface_index("nothing0").unwrap_err().to_string();
    assert!(line.contains("`nothing0`"), "{line}");
}
