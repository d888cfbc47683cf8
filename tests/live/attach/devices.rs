//! Network devices: XDP, tc, tcx. Each test has a network namespace of its own.

use cutaway::{Error, Link, Loaded, Tc, Tcx, Xdp, XdpMode, features};

use crate::{
    harness::{Test, test},
    network::{self, LO},
    sample::{self, runs},
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(xdp_sees_and_drops_packets),
        test!(xdp_attaches_without_a_link),
        test!(second_xdp_program_is_refused),
        test!(tc_filter_sees_ingress).unless(unsupported::tc),
        test!(tc_filter_sees_egress).unless(unsupported::tc),
        test!(tc_filter_has_its_priority).unless(unsupported::tc),
        test!(tcx_sees_ingress).unless(unsupported::tcx),
        test!(tcx_sees_egress).unless(unsupported::tcx),
        test!(missing_tcx_is_named).unless(without_tcx),
        test!(missing_device_is_refused),
        test!(missing_device_is_refused_by_tc).unless(unsupported::tc),
        test!(devices_have_names),
    ]
}

fn tc_filter_sees_ingress() {
    tc(Tc::ingress);
}

fn tc_filter_sees_egress() {
    tc(Tc::egress);
}

fn tcx_sees_ingress() {
    tcx(Tcx::ingress);
}

fn tcx_sees_egress() {
    tcx(Tcx::egress);
}

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const TC_ACT_OK: i32 = 0;
const TC_ACT_SHOT: i32 = 2;

fn load(section: &str, answer: i32) -> Loaded {
    sample::answering(section, answer).unwrap()
}

fn xdp_sees_and_drops_packets() {
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

fn xdp_attaches_without_a_link() {
    network::leave();
    let (passing, dropping) = (load("xdp", XDP_PASS), load("xdp", XDP_DROP));
    let generic = Xdp::new(LO).mode(XdpMode::Generic).by_netlink();
    let link = generic.attach(dropping.program("count").unwrap()).unwrap();
    assert!(link.as_link_fd().is_none());
    assert!(!network::send_to_self());
    let line = refused(generic.attach(passing.program("count").unwrap()));
    assert!(line.contains("it already has an XDP program"), "{line}");
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

fn second_xdp_program_is_refused() {
    network::leave();
    let loaded = load("xdp", XDP_PASS);
    let link = Xdp::new(LO).attach(loaded.program("count").unwrap()).unwrap();
    let line = refused(Xdp::new(LO).attach(loaded.program("count").unwrap()));
    assert!(line.contains("it already has an XDP program"), "{line}");
    drop(link);
}

fn tc(hook: fn(u32) -> Tc) {
    network::leave();
    let (passing, dropping) = (load("tc", TC_ACT_OK), load("classifier", TC_ACT_SHOT));
    let link = hook(LO).attach(passing.program("count").unwrap()).unwrap();
    assert!(network::send_to_self());
    let seen = runs(&passing);
    assert!(seen > 0);
    drop(link);
    // The qdisc exists already.
    let link = hook(LO).attach(dropping.program("count").unwrap()).unwrap();
    assert!(!network::send_to_self());
    drop(link);
    assert!(network::send_to_self());
    assert_eq!(runs(&passing), seen);
}

fn tc_filter_has_its_priority() {
    network::leave();
    let (first, second) = (load("tc", TC_ACT_SHOT), load("tc", TC_ACT_OK));
    let links = [
        Tc::egress(LO).priority(20).attach(second.program("count").unwrap()).unwrap(),
        Tc::egress(LO).priority(10).attach(first.program("count").unwrap()).unwrap(),
    ];
    assert!(!network::send_to_self());
    assert!(runs(&first) > 0);
    assert_eq!(runs(&second), 0, "the first program has dropped it");
    drop(links);
    assert!(network::send_to_self());
}

fn tcx(hook: fn(u32) -> Tcx<'static>) {
    network::leave();
    for section in ["tcx/ingress", "tc"] {
        let loaded = load(section, TC_ACT_SHOT);
        let link = hook(LO).attach(loaded.program("count").unwrap()).unwrap();
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
    unsupported::tcx().is_none().then(|| "this kernel has links for classifiers".to_owned())
}

fn missing_tcx_is_named() {
    let loaded = load("tc", TC_ACT_OK);
    let line = refused(Tcx::ingress(LO).attach(loaded.program("count").unwrap()));
    assert!(line.contains("needs Linux 6.6") && line.contains("attach it with `Tc`"), "{line}");
}

fn missing_device_is_refused() {
    let loaded = load("xdp", XDP_PASS);
    let line = refused(Xdp::new(9999).attach(loaded.program("count").unwrap()));
    assert!(line.contains("no such network device"), "{line}");
    let line = refused(Xdp::new(LO).attach(load("tc", TC_ACT_OK).program("count").unwrap()));
    assert!(line.contains("of the type SCHED_CLS; XDP is needed"), "{line}");
}

fn missing_device_is_refused_by_tc() {
    let loaded = load("tc", TC_ACT_OK);
    let line = refused(Tc::ingress(9999).attach(loaded.program("count").unwrap()));
    assert!(line.contains("no such network device"), "{line}");
}

fn devices_have_names() {
    assert_eq!(cutaway::interface_index("lo").unwrap(), LO);
    let line = cutaway::interface_index("nothing0").unwrap_err().to_string();
    assert!(line.contains("`nothing0`"), "{line}");
}
