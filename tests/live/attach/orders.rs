//! The order of programs at one target, and its list.

use std::{fs::File, net::UdpSocket};

use cutaway::{
    Anchor, AttachContext, AttachType, Attached, Cgroup, Error, Link, Loaded, Netns, Order, Program, Sockmap, Tcx,
    features,
};

use crate::{
    cgroups,
    harness::{Test, older_than, test},
    link_info::program_id,
    network::{self, LO},
    sample::{self, runs},
    sockets::with_sockets,
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(tcx_programs_have_an_order).unless(unsupported::tcx),
        test!(tcx_revision_is_compared).unless(unsupported::tcx),
        test!(tcx_program_without_a_link_is_replaced).unless(unsupported::tcx),
        test!(tcx_order_decides_what_runs).unless(unsupported::tcx),
        test!(missing_tcx_order_is_named).unless(with_tcx),
        test!(netkit_programs_have_an_order).unless(unsupported::netkit),
        test!(cgroup_programs_have_an_order).unless(cgroup_order),
        test!(cgroup_preorder_runs_first).unless(unsupported::cgroups),
        test!(missing_cgroup_order_is_named).unless(unsupported::cgroups).unless(with_cgroup_order),
        test!(cgroup_program_without_a_link_is_replaced).unless(unsupported::cgroups),
        test!(effective_programs_include_those_above).unless(unsupported::cgroups),
        test!(order_is_a_setting_of_the_context).unless(cgroup_order),
        test!(namespace_programs_are_listed).unless(unsupported::sk_lookup),
        test!(socket_map_program_is_listed).since(5, 18, "the list of a socket map's programs"),
        test!(list_of_a_missing_target_is_refused),
    ]
}

fn count(loaded: &Loaded) -> &Program {
    loaded.program("count").unwrap()
}

/// Returns the ids of the programs in a list.
fn ids(attached: &Attached) -> Vec<u32> {
    attached.programs.iter().map(|program| program.id).collect()
}

fn many(section: &str, answer: i32) -> [Loaded; 6] {
    [0; 6].map(|_| sample::answering(section, answer).unwrap())
}

fn refused(answer: Result<Link, Error>) -> String {
    let line = answer.unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

/// `TCX_NEXT`: the next program of the list runs.
const NEXT: i32 = -1;
const DROP: i32 = 2;

/// Attaches programs at each position, and checks the list. `device` makes the builder.
fn order_by_device(device: impl Fn() -> Tcx<'static>, section: &str) {
    let all = many(section, NEXT);
    let [a, b, c, d, e, f] = all.each_ref().map(count);
    assert_eq!(device().attached().unwrap().programs, []);
    let first = device().attach(a).unwrap();
    let last = device().order(Order::Last).attach(b).unwrap();
    let front = device().order(Order::First).attach(c).unwrap();
    let before = attach_before(&device, b, d);
    let after = device().order(Order::after(Anchor::ProgramId(program_id(c)))).attach(e).unwrap();
    let id = first.info().unwrap().id;
    let behind = device().order(Order::after(Anchor::LinkId(id))).attach(f).unwrap();
    let attached = device().attached().unwrap();
    assert_eq!(ids(&attached), [c, e, a, f, d, b].map(program_id));
    let links = [&front, &after, &first, &behind, &before, &last].map(|link| Some(link.info().unwrap().id));
    assert!(attached.reports_links);
    assert!(attached.programs.iter().map(|program| program.link).eq(links));
    assert!(attached.revision.is_some_and(|revision| revision >= 6));
    drop(after);
    assert_eq!(ids(&device().attached().unwrap()), [c, a, f, d, b].map(program_id));
    let line = refused(device().order(Order::before(e)).attach(e));
    assert!(line.contains("is the program or link to order by attached to this target"), "{line}");
}

fn attach_before(device: &dyn Fn() -> Tcx<'static>, anchor: &Program, program: &Program) -> Link {
    let tcx: Tcx<'_> = device();
    tcx.order(Order::before(anchor)).attach(program).unwrap()
}

fn tcx_programs_have_an_order() {
    network::leave();
    order_by_device(|| Tcx::ingress(LO), "tcx/ingress");
    order_by_device(|| Tcx::egress(LO), "tc");
    // An anchor that is a link.
    let [a, b] = [0; 2].map(|_| sample::answering("tc", NEXT).unwrap());
    let link = Tcx::ingress(LO).attach(count(&a)).unwrap();
    let _before = Tcx::ingress(LO).order(Order::before(&link)).attach(count(&b)).unwrap();
    assert_eq!(ids(&Tcx::ingress(LO).attached().unwrap()), [&b, &a].map(|loaded| program_id(count(loaded))));
}

fn netkit_programs_have_an_order() -> Option<String> {
    network::leave();
    let index = match network::netkit() {
        Ok(index) => index,
        Err(error) => return Some(format!("no netkit device can be created here: {error}")),
    };
    order_by_device(|| Tcx::netkit_primary(index), "netkit/primary");
    order_by_device(|| Tcx::netkit_peer(index), "netkit/peer");
    let loaded = sample::answering("netkit/primary", NEXT).unwrap();
    let mut link = Tcx::netkit_primary(index).attach(count(&loaded)).unwrap();
    let found = link.info().unwrap().target;
    assert!(matches!(found, cutaway::LinkTarget::Netkit { ifindex: Some(at), .. } if at == index), "{found:?}");
    link.update(count(&sample::answering("netkit/primary", NEXT).unwrap())).unwrap();
    link.detach().unwrap();
    let found = link.info().unwrap().target;
    assert!(matches!(found, cutaway::LinkTarget::Netkit { ifindex: None, .. }), "{found:?}");
    let line = Tcx::netkit_primary(LO).attached().unwrap_err().to_string();
    assert!(line.contains("it is not a primary netkit device"), "{line}");
    None
}

fn tcx_revision_is_compared() {
    network::leave();
    let all = many("tc", NEXT);
    let [a, b, ..] = all.each_ref().map(count);
    let revision = Tcx::ingress(LO).attached().unwrap().revision.unwrap();
    let _first = Tcx::ingress(LO).expected_revision(revision).attach(a).unwrap();
    let line = refused(Tcx::ingress(LO).expected_revision(revision).attach(b));
    assert!(line.contains("ESTALE") && line.contains("query it again"), "{line}");
    let revision = Tcx::ingress(LO).attached().unwrap().revision.unwrap();
    let _second = Tcx::ingress(LO).expected_revision(revision).order(Order::First).attach(b).unwrap();
    assert_eq!(ids(&Tcx::ingress(LO).attached().unwrap()), [b, a].map(program_id));
}

fn tcx_program_without_a_link_is_replaced() {
    network::leave();
    let all = many("tc", NEXT);
    let [a, b, c, d, ..] = all.each_ref().map(count);
    let mut first = Tcx::ingress(LO).without_link().attach(a).unwrap();
    let _second = Tcx::ingress(LO).attach(b).unwrap();
    assert!(first.as_link_fd().is_none());
    let attached = Tcx::ingress(LO).attached().unwrap();
    assert_eq!((ids(&attached), attached.programs.first().unwrap().link), (vec![program_id(a), program_id(b)], None));
    let replacing = Tcx::ingress(LO).replace(c, a).unwrap();
    assert_eq!(ids(&Tcx::ingress(LO).attached().unwrap()), [c, b].map(program_id));
    // The replaced program is gone, and its value does not detach the new one.
    let line = first.update(d).unwrap_err().to_string();
    assert!(line.contains("another program is attached now, or none"), "{line}");
    drop(first);
    assert_eq!(ids(&Tcx::ingress(LO).attached().unwrap()), [c, b].map(program_id));
    let line = refused(Tcx::ingress(LO).replace(d, a));
    assert!(line.contains("the program `count` is not attached there"), "{line}");
    let line = refused(Tcx::ingress(LO).replace(d, b));
    assert!(line.contains("by a link: use `Link::update`"), "{line}");
    let line = refused(Tcx::ingress(LO).order(Order::First).replace(d, c));
    assert!(line.contains("set no order"), "{line}");
    let mut replacing = replacing;
    // Another attachment is not replaced, although its program is the expected one.
    let other = Tcx::ingress(LO).without_link().attach(a).unwrap();
    let line = replacing.update_if(d, a).unwrap_err().to_string();
    assert!(line.contains("another program is attached now, or none"), "{line}");
    assert_eq!(ids(&Tcx::ingress(LO).attached().unwrap()), [c, b, a].map(program_id));
    drop(other);
    replacing.update_if(d, c).unwrap();
    assert_eq!(ids(&Tcx::ingress(LO).attached().unwrap()), [d, b].map(program_id));
    let line = refused(Tcx::ingress(LO).order(Order::before(&replacing)).attach(a));
    assert!(line.contains("order by its program"), "{line}");
    let line = refused(Tcx::ingress(LO).without_link().attach(d));
    assert!(line.contains("EEXIST") && line.contains("already attached there"), "{line}");
    drop(replacing);
    assert_eq!(ids(&Tcx::ingress(LO).attached().unwrap()), [program_id(b)]);
}

fn tcx_order_decides_what_runs() {
    network::leave();
    let (counts, drops) = (sample::answering("tc", NEXT).unwrap(), sample::answering("tc", DROP).unwrap());
    let _counts = Tcx::ingress(LO).attach(count(&counts)).unwrap();
    let behind = Tcx::ingress(LO).attach(count(&drops)).unwrap();
    assert!(!network::send_to_self());
    let seen = runs(&counts);
    assert!(seen > 0, "it runs before the program that drops");
    drop(behind);
    let _front = Tcx::ingress(LO).order(Order::before(count(&counts))).attach(count(&drops)).unwrap();
    assert!(!network::send_to_self());
    assert_eq!(runs(&counts), seen, "it runs no more");
}

fn with_tcx() -> Option<String> {
    unsupported::tcx().is_none().then(|| "this kernel orders classifiers".to_owned())
}

fn missing_tcx_order_is_named() {
    network::leave();
    let loaded = sample::answering("tc", NEXT).unwrap();
    let line = refused(Tcx::ingress(LO).order(Order::First).attach(count(&loaded)));
    assert!(line.contains("needs Linux 6.6") && line.contains("`Tc::priority`"), "{line}");
    let context = AttachContext::new().interface("lo").order(Order::First);
    let line = refused(count(&loaded).attach_with(&context));
    assert!(line.contains("needs Linux 6.6"), "{line}");
    let line = Tcx::ingress(LO).attached().unwrap_err().to_string();
    assert!(line.contains("tcx needs Linux 6.6"), "{line}");
}

/// Returns the reason if the kernel cannot order the programs of a cgroup. An older kernel whose probe says that it can
/// must keep to the order, too.
fn cgroup_order() -> Option<String> {
    let missing = || older_than(6, 17, "an order of the programs of a cgroup");
    unsupported::cgroups().or_else(|| missing().filter(|_| !features::cgroup_order().is_yes()))
}

fn with_cgroup_order() -> Option<String> {
    cgroup_order().is_none().then(|| "this kernel orders the programs of a cgroup".to_owned())
}

const SECTION: &str = "cgroup/sock_create";
const KIND: AttachType = AttachType::CGROUP_INET_SOCK_CREATE;

fn cgroup_programs_have_an_order() {
    assert!(features::cgroup_order().is_yes());
    network::leave();
    let own = cgroups::Own::new();
    let directory = own.open();
    let all = many(SECTION, 1);
    let [a, b, c, d, e, f] = all.each_ref().map(count);
    let cgroup = Cgroup::new(&directory);
    let before_all = cgroup.attached(KIND).unwrap();
    assert_eq!(before_all.programs, []);
    let first = cgroup.expected_revision(before_all.revision.unwrap()).attach(a).unwrap();
    let line = refused(cgroup.expected_revision(before_all.revision.unwrap()).attach(b));
    assert!(line.contains("ESTALE") && line.contains("query it again"), "{line}");
    let _last = cgroup.order(Order::Last).attach(b).unwrap();
    let _front = cgroup.order(Order::First).attach(c).unwrap();
    let _before = cgroup.order(Order::before(&first)).attach(d).unwrap();
    let id = first.info().unwrap().id;
    let _after = cgroup.order(Order::after(Anchor::LinkId(id))).attach(e).unwrap();
    // An anchor that is a program is one without a link.
    let _plain = cgroup.without_link().attach(f).unwrap();
    let attached = cgroup.attached(KIND).unwrap();
    assert_eq!(ids(&attached), [c, d, a, e, b, f].map(program_id));
    assert!(!attached.reports_links && attached.flags == 2 && attached.revision > before_all.revision);
    // A link is ordered by links, a program without a link by programs without a link.
    for wrong in [Order::before(f), Order::after(b), Order::before(Anchor::ProgramId(program_id(f)))] {
        let line = refused(cgroup.order(wrong).attach(a));
        assert!(line.contains("EINVAL") && line.contains("orders a program with a link by links only"), "{line}");
    }
    let line = refused(cgroup.without_link().order(Order::before(&first)).attach(a));
    assert!(line.contains("EINVAL") && line.contains("by programs without a link only"), "{line}");
    let line = refused(cgroup.without_link().order(Order::before(b)).attach(a));
    assert!(line.contains("ENOENT"), "{line}");
    drop(first);
    let again = cgroup.without_link().order(Order::before(f)).attach(a).unwrap();
    assert_eq!(ids(&cgroup.attached(KIND).unwrap()), [c, d, e, b, a, f].map(program_id));
    drop(again);
    let again = cgroup.order(Order::after(Anchor::ProgramId(program_id(f)))).without_link().attach(a).unwrap();
    assert_eq!(ids(&cgroup.attached(KIND).unwrap()), [c, d, e, b, f, a].map(program_id));
    drop(again);
    let line = refused(cgroup.without_link().order(Order::before(a)).attach(a));
    assert!(line.contains("is the program or link to order by attached to this target"), "{line}");
    drop(UdpSocket::bind("127.0.0.1:0").unwrap());
    assert!([&all[1], &all[2], &all[5]].iter().all(|loaded| runs(loaded) == 1));
}

fn cgroup_preorder_runs_first() -> Option<String> {
    network::leave();
    let own = cgroups::Own::new();
    let directory = own.open();
    let all = many(SECTION, 1);
    let [a, b, c, ..] = all.each_ref().map(count);
    let preorder = match Cgroup::new(&directory).preorder().attach(c) {
        Ok(link) => link,
        Err(error) => {
            let line = error.to_string();
            assert!(line.contains("EINVAL") && line.contains("needs Linux 6.15"), "{line}");
            // A stable kernel may have it from a newer one.
            let reason = older_than(6, 15, "programs that run before those of the cgroups below");
            assert!(reason.is_some(), "{line}");
            return reason;
        }
    };
    let below = own.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let opened = File::open(&below).unwrap();
    let links = (Cgroup::new(&directory).attach(a).unwrap(), Cgroup::new(&opened).attach(b).unwrap());
    let order = ids(&Cgroup::new(&opened).effective(KIND).unwrap());
    drop((links, opened, preorder));
    std::fs::remove_dir(below).unwrap();
    assert_eq!(order, [c, b, a].map(program_id));
    None
}

fn missing_cgroup_order_is_named() {
    let own = cgroups::Own::new();
    let directory = own.open();
    let loaded = sample::answering(SECTION, 1).unwrap();
    let cgroup = Cgroup::new(&directory);
    for wanting in [cgroup.order(Order::First), cgroup.expected_revision(1)] {
        let line = refused(wanting.attach(count(&loaded)));
        assert!(
            line.contains("an order or a revision of a cgroup's programs is unsupported, needs Linux 6.17"),
            "{line}"
        );
    }
    assert_eq!(cgroup.attached(KIND).unwrap().revision, None);
    drop(cgroup.order(Order::Last).attach(count(&loaded)).unwrap());
}

fn cgroup_program_without_a_link_is_replaced() {
    let own = cgroups::Own::new();
    let directory = own.open();
    let cgroup = Cgroup::new(&directory);
    let all = many(SECTION, 1);
    let [a, b, c, d, ..] = all.each_ref().map(count);
    let first = cgroup.without_link().attach(a).unwrap();
    let _second = cgroup.attach(b).unwrap();
    assert!(first.as_link_fd().is_none());
    let mut replacing = cgroup.replace(c, a).unwrap();
    drop(first);
    let attached = cgroup.attached(KIND).unwrap();
    assert_eq!(ids(&attached), [c, b].map(program_id));
    let flags = older_than(6, 0, "the flags of each program").is_none().then_some(2);
    assert!(attached.programs.iter().all(|program| program.flags.map(|flags| flags & 2) == flags), "{attached:?}");
    let line = refused(cgroup.replace(d, b));
    assert!(line.contains("the program `count` is not attached to it without a link"), "{line}");
    // Another attachment is not replaced, although its program is the expected one.
    let other = cgroup.without_link().attach(a).unwrap();
    let line = replacing.update_if(d, a).unwrap_err().to_string();
    assert!(line.contains("another program is attached now, or none"), "{line}");
    assert_eq!(ids(&cgroup.attached(KIND).unwrap()), [c, b, a].map(program_id));
    drop(other);
    replacing.update(d).unwrap();
    let line = replacing.update_if(a, c).unwrap_err().to_string();
    assert!(line.contains("another program is attached now, or none"), "{line}");
    assert_eq!(ids(&cgroup.attached(KIND).unwrap()), [d, b].map(program_id));
    drop(replacing);
    assert_eq!(ids(&cgroup.attached(KIND).unwrap()), [program_id(b)]);
}

fn effective_programs_include_those_above() {
    let own = cgroups::Own::new();
    let directory = own.open();
    let below = own.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let opened = File::open(&below).unwrap();
    let (above, inside) = (sample::answering(SECTION, 1).unwrap(), sample::answering(SECTION, 1).unwrap());
    let links =
        (Cgroup::new(&directory).attach(count(&above)).unwrap(), Cgroup::new(&opened).attach(count(&inside)).unwrap());
    let (direct, effective) = (Cgroup::new(&opened).attached(KIND), Cgroup::new(&opened).effective(KIND));
    drop((links, opened));
    std::fs::remove_dir(below).unwrap();
    assert_eq!(ids(&direct.unwrap()), [program_id(count(&inside))]);
    let effective = effective.unwrap();
    assert_eq!(ids(&effective), [&inside, &above].map(|loaded| program_id(count(loaded))));
    assert_eq!(effective.revision, None);
}

fn order_is_a_setting_of_the_context() {
    network::leave();
    let own = cgroups::Own::new();
    let directory = own.open();
    let [a, b, c] = [0; 3].map(|_| sample::answering(SECTION, 1).unwrap());
    let context = AttachContext::new().cgroup(&directory);
    let link = count(&a).attach_with(&context).unwrap();
    let _before = count(&b).attach_with(&context.clone().order(Order::before(&link))).unwrap();
    let revision = Cgroup::new(&directory).attached(KIND).unwrap().revision.unwrap();
    let last = context.clone().expected_revision(revision);
    let _last = count(&c).attach_with(&last).unwrap();
    let line = refused(count(&c).attach_with(&last));
    assert!(line.contains("ESTALE"), "{line}");
    let expected = [&b, &a, &c].map(|loaded| program_id(count(loaded)));
    assert_eq!(ids(&Cgroup::new(&directory).attached(KIND).unwrap()), expected);
    let [d, e] = [0; 2].map(|_| sample::answering("tcx/egress", NEXT).unwrap());
    let context = AttachContext::new().interface("lo");
    let _first = count(&d).attach_with(&context).unwrap();
    let _front = count(&e).attach_with(&context.clone().order(Order::First)).unwrap();
    let expected = [&e, &d].map(|loaded| program_id(count(loaded)));
    assert_eq!(ids(&Tcx::egress(LO).attached().unwrap()), expected);
    let loaded = sample::answering("xdp", 2).unwrap();
    let line = refused(count(&loaded).attach_with(&context.clone().order(Order::First)));
    assert!(line.contains("`AttachContext::order` has no effect on it"), "{line}");
}

fn namespace_programs_are_listed() {
    network::leave();
    let [a, b] = [0; 2].map(|_| sample::answering("sk_lookup", 1).unwrap());
    let namespace = File::open("/proc/thread-self/ns/net").unwrap();
    let namespace = Netns::new(&namespace);
    assert_eq!(namespace.attached(AttachType::SK_LOOKUP).unwrap().programs, []);
    let _links = [&a, &b].map(|loaded| namespace.attach(count(loaded)).unwrap());
    let attached = namespace.attached(AttachType::SK_LOOKUP).unwrap();
    assert_eq!(ids(&attached), [&a, &b].map(|loaded| program_id(count(loaded))));
    assert_eq!(attached.revision, None);
    let line = namespace.attached(AttachType::XDP).unwrap_err().to_string();
    assert!(line.contains("list the programs of the network namespace (XDP)"), "{line}");
}

fn socket_map_program_is_listed() {
    let loaded = with_sockets("sk_msg", 1);
    let sockets = Sockmap::new(loaded.map("sockets").unwrap());
    assert_eq!(sockets.attached(AttachType::SK_MSG_VERDICT).unwrap().programs, []);
    let _link = sockets.attach(count(&loaded)).unwrap();
    assert_eq!(ids(&sockets.attached(AttachType::SK_MSG_VERDICT).unwrap()), [program_id(count(&loaded))]);
    assert_eq!(sockets.attached(AttachType::SK_SKB_STREAM_VERDICT).unwrap().programs, []);
}

fn list_of_a_missing_target_is_refused() {
    let file = File::open("/dev/null").unwrap();
    let line = Cgroup::new(&file).attached(KIND).unwrap_err().to_string();
    assert!(line.contains("EBADF") && line.contains("not that of a cgroup of version 2"), "{line}");
    let line = Netns::new(&file).attached(AttachType::SK_LOOKUP).unwrap_err().to_string();
    assert!(line.contains("is the fd that of a network namespace"), "{line}");
    let line = cutaway::Lirc::new(&file).attached().unwrap_err().to_string();
    assert!(line.contains("infrared receiver"), "{line}");
    if unsupported::tcx().is_none() {
        let line = Tcx::ingress(9999).attached().unwrap_err().to_string();
        assert!(line.contains("there is no such network device"), "{line}");
    }
}
