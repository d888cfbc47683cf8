//! Combines the results of shards.
//!
//! Machines that ran the same kernels are a set, in which each shard must be once. So the tests may be divided by
//! shards, by kernels, or by both.

use std::collections::BTreeMap;
use std::path::Path;

use super::read::Part;
use crate::error::{Error, Result};
use crate::guest::LISTING;
use crate::report::{Guest, Matrix};
use crate::shard;
use crate::slice::Slice;

/// The number of missing shards that are named.
const NAMED: usize = 20;

/// Combines results. Results that do not belong together are an error; missing ones are a problem of the matrix.
pub(super) fn combine(parts: Vec<Part>, expected: &[String]) -> Result<Matrix> {
    let mut matrix = Matrix::default();
    if let Some(first) = parts.first() {
        matrix.plan.clone_from(&first.plan);
        if let Some(other) = parts.iter().find(|other| other.plan != first.plan) {
            return Err(refused(
                &other.file,
                &format!(
                    "its run had other test binaries or arguments than that of {}: merge reports of one command line",
                    first.file.display()
                ),
            ));
        }
    }
    for part in &parts {
        let new =
            part.problems.iter().filter(|problem| !matrix.problems.contains(problem)).cloned().collect::<Vec<_>>();
        matrix.problems.extend(new);
    }
    let sets = sets(parts)?;
    let several = sets.len() > 1;
    for set in sets {
        add(&set, several, &mut matrix);
    }
    for kernel in expected.iter().filter(|kernel| !matrix.guests.iter().any(|guest| guest.name == **kernel)) {
        match matrix.absent.iter().find(|(name, ..)| name == kernel) {
            // It is a failure already.
            Some((.., true)) => {}
            Some((_, why, false)) => matrix.problems.push(format!("{kernel}: no results: {why}")),
            None => matrix.problems.push(format!("{kernel}: no report has results of this kernel")),
        }
    }
    Ok(matrix)
}

fn refused(file: &Path, why: &str) -> Error {
    Error::Unusable { path: file.to_path_buf(), why: why.to_owned() }
}

/// Returns the kernels of a part, whether or not they were available.
fn kernels(part: &Part) -> Vec<&str> {
    let guests = part.guests.iter().map(|guest| guest.name.as_str());
    let mut names: Vec<&str> = guests.chain(part.absent.iter().map(|(name, ..)| name.as_str())).collect();
    names.sort_unstable();
    names
}

/// Returns the sets of parts with the same kernels, each sorted by shard.
fn sets(parts: Vec<Part>) -> Result<Vec<Vec<Part>>> {
    let mut sets: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        let mut own = None;
        for (index, first) in sets.iter().enumerate().filter_map(|(index, set)| Some((index, set.first()?))) {
            let (here, there) = (kernels(&part), kernels(first));
            if here == there {
                own = Some(index);
            } else if here.iter().any(|kernel| there.contains(kernel)) {
                return Err(refused(
                    &part.file,
                    &format!(
                        "it ran on {}, and {} on {}: all shards of a run have the same kernels",
                        and(&here),
                        first.file.display(),
                        and(&there),
                    ),
                ));
            }
        }
        match own.and_then(|index| sets.get_mut(index)) {
            Some(set) => {
                for other in set.iter() {
                    fits(other, &part)?;
                }
                set.push(part);
            }
            None => sets.push(vec![part]),
        }
    }
    for set in &mut sets {
        set.sort_by_key(|part| part.slice.number());
    }
    Ok(sets)
}

/// Refuses a part that is no other shard of the run of `first`.
fn fits(first: &Part, part: &Part) -> Result<()> {
    let there = first.file.display();
    if first.slice.of() != part.slice.of() {
        let why =
            format!("it is shard {}, and {there} is shard {}: the numbers of shards differ", part.slice, first.slice);
        return Err(refused(&part.file, &why));
    }
    if first.slice == part.slice {
        let why = format!("it is shard {}, and so is {there}: pass one report of each shard", part.slice);
        return Err(refused(&part.file, &why));
    }
    for guest in &part.guests {
        let Some(other) = first.guests.iter().find(|other| other.name == guest.name) else { continue };
        for (label, digest) in &guest.lists {
            if other.lists.get(label).is_some_and(|other| other != digest) {
                let why = format!(
                    "on {}, {label} has other tests than in {there}: build all shards from the same sources",
                    guest.name
                );
                return Err(refused(&part.file, &why));
            }
        }
    }
    Ok(())
}

/// Adds a set of parts to the matrix.
fn add(set: &[Part], several: bool, matrix: &mut Matrix) {
    let Some(first) = set.first() else { return };
    let names: Vec<String> = {
        // In the order of the first report, which is that of its command line.
        let guests = first.guests.iter().map(|guest| guest.name.clone());
        guests.chain(first.absent.iter().map(|(name, ..)| name.clone())).collect()
    };
    let of = first.slice.of();
    let missing: Vec<String> = (1..=of)
        .filter(|number| !set.iter().any(|part| part.slice.number() == *number))
        .map(|number| number.to_string())
        .collect();
    if !missing.is_empty() {
        let on = if several { format!("{}: ", and(&names)) } else { String::new() };
        let are = if missing.len() == 1 { "is" } else { "are" };
        let named = match missing.split_at_checked(NAMED) {
            Some((first, [_, ..])) => format!("{}, …", first.join(", ")),
            _ => and(&missing),
        };
        matrix.problems.push(format!("{on}{} of {of} shards: {named} {are} missing", set.len()));
    }
    for name in names {
        let mut guests: Vec<(Slice, Guest)> = Vec::new();
        let mut absent = Vec::new();
        for part in set {
            if let Some(guest) = part.guests.iter().find(|guest| guest.name == name) {
                guests.push((part.slice, guest.clone()));
            } else if let Some((_, why, named)) = part.absent.iter().find(|(other, ..)| *other == name) {
                absent.push((part.slice, why.clone(), *named));
            }
        }
        if guests.is_empty() {
            let named = absent.iter().any(|(.., named)| *named);
            matrix.absent.extend(absent.into_iter().next().map(|(_, why, _)| (name, why, named)));
            continue;
        }
        for (slice, why, _) in absent {
            matrix.problems.push(format!("shard {slice} has no results on {name}: {why}"));
        }
        matrix.guests.extend(whole(guests, &mut matrix.problems));
    }
}

/// Makes one guest of the guests of all shards. A test that ran in two of them is a problem, and keeps both rows.
fn whole(mut guests: Vec<(Slice, Guest)>, problems: &mut Vec<String>) -> Option<Guest> {
    let mut shards: BTreeMap<(String, String), Vec<Slice>> = BTreeMap::new();
    for (slice, guest) in &guests {
        for test in &guest.tests {
            shards.entry((test.binary.clone(), test.name.clone())).or_default().push(*slice);
        }
    }
    shards.retain(|_, slices| slices.len() > 1);
    let releases: Vec<String> = {
        let all = guests.iter().filter_map(|(slice, guest)| Some((slice, guest.release.as_ref()?)));
        all.map(|(slice, release)| format!("{release} in shard {slice}")).collect()
    };
    let mut names: Vec<_> = guests.iter().filter_map(|(_, guest)| guest.release.clone()).collect();
    names.dedup();
    for (slice, guest) in &mut guests {
        for test in &mut guest.tests {
            if let Some(slices) = shards.get(&(test.binary.clone(), test.name.clone())) {
                // A binary whose tests are unknown fails in every shard, once each.
                if !test.name.is_empty() && test.name != LISTING && slices.first() == Some(slice) {
                    let slices: Vec<String> = slices.iter().map(Slice::to_string).collect();
                    problems.push(format!("{} on {} ran in the shards {}", test.title(), guest.name, and(&slices)));
                }
                test.name = format!("{} (shard {slice})", test.name).trim_start().to_owned();
            }
        }
    }
    let mut guest = shard::merge(guests.into_iter().map(|(_, guest)| guest).collect())?;
    if names.len() > 1 {
        guest.notes.push(format!("the shards' kernels differ: {}", releases.join(", ")));
    }
    Some(guest)
}

/// Lists names in a sentence.
fn and<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => "no kernel".to_owned(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;
    use crate::report::examples::{guest, test};

    fn part(slice: &str, guests: Vec<Guest>) -> Part {
        Part {
            file: format!("{}.xml", slice.replace('/', "-")).into(),
            plan: "p".into(),
            slice: slice.parse().unwrap(),
            guests,
            absent: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn on(kernel: &str, tests: &[&str]) -> Guest {
        guest(kernel, tests.iter().map(|name| test(name, Outcome::Passed)).collect())
    }

    fn error(parts: Vec<Part>) -> String {
        combine(parts, &[]).unwrap_err().to_string()
    }

    #[test]
    fn all_shards_are_one_run() {
        let shards = vec![
            part("2/2", vec![on("6.1", &["b"]), on("6.12", &["b"])]),
            part("1/2", vec![on("6.1", &["a"]), on("6.12", &["a"])]),
        ];
        let matrix = combine(shards, &["6.1".into()]).unwrap();
        assert!(matrix.succeeded(), "{matrix:?}");
        assert_eq!(matrix.rows().len(), 2);
        assert_eq!(matrix.guests.iter().map(|guest| guest.name.as_str()).collect::<Vec<_>>(), ["6.1", "6.12"]);
        let kernels = vec![part("1/1", vec![on("6.1", &["a"])]), part("1/1", vec![on("6.12", &["a"])])];
        assert!(combine(kernels, &[]).unwrap().succeeded());
    }

    #[test]
    fn missing_shards_are_named_and_fail() {
        let some = |kernel| [1, 3, 5].map(|number| part(&format!("{number}/5"), vec![on(kernel, &[])]));
        let matrix = combine(some("6.1").into(), &[]).unwrap();
        assert_eq!(matrix.problems, ["3 of 5 shards: 2 and 4 are missing"]);
        assert!(!matrix.succeeded());
        let many = combine(vec![part("1/10000", vec![on("6.1", &[])])], &[]).unwrap();
        assert!(many.problems[0].starts_with("1 of 10000 shards: 2, 3, 4,"), "{:?}", many.problems);
        assert!(many.problems[0].ends_with(", 20, 21, … are missing"), "{:?}", many.problems);
        let mut two: Vec<Part> = some("6.1").into();
        two.push(part("1/2", vec![on("5.10", &[])]));
        let matrix = combine(two, &["newest".into()]).unwrap();
        assert_eq!(
            matrix.problems,
            [
                "6.1: 3 of 5 shards: 2 and 4 are missing",
                "5.10: 1 of 2 shards: 2 is missing",
                "newest: no report has results of this kernel"
            ]
        );
    }

    #[test]
    fn shards_of_different_plans_are_refused() {
        let first = || part("1/2", vec![on("6.1", &["a"])]);
        let other = |change: &dyn Fn(&mut Part)| {
            let mut other = part("2/2", vec![on("6.1", &["b"])]);
            change(&mut other);
            error(vec![first(), other])
        };
        assert!(
            other(&|part| part.plan = "q".into()).contains("other test binaries or arguments than that of 1-2.xml")
        );
        assert_eq!(
            other(&|part| part.slice = "2/3".parse().unwrap()),
            "2-2.xml: it is shard 2/3, and 1-2.xml is shard 1/2: the numbers of shards differ"
        );
        assert!(other(&|part| part.slice = "1/2".parse().unwrap()).contains("pass one report of each shard"));
        assert_eq!(
            other(&|part| part.guests.push(on("6.12", &["b"]))),
            "2-2.xml: it ran on 6.1 and 6.12, and 1-2.xml on 6.1: all shards of a run have the same kernels"
        );
        let listed = |slice, digest: &str| {
            let mut guest = on("6.1", &[]);
            guest.lists.insert("suite".into(), digest.into());
            part(slice, vec![guest])
        };
        assert!(error(vec![listed("1/2", "x"), listed("2/2", "y")]).contains("on 6.1, suite has other tests than in"));
        assert!(combine(vec![listed("1/2", "x"), listed("2/2", "x")], &[]).unwrap().succeeded());
    }

    #[test]
    fn test_of_two_shards_is_named() {
        let matrix =
            combine(vec![part("1/2", vec![on("6.1", &["a"])]), part("2/2", vec![on("6.1", &["a"])])], &[]).unwrap();
        assert_eq!(matrix.problems, ["suite a on 6.1 ran in the shards 1/2 and 2/2"]);
        assert_eq!(matrix.rows().len(), 2, "both results are shown");
    }

    #[test]
    fn kernel_that_one_shard_lacks_is_a_failure() {
        let mut second = part("2/2", Vec::new());
        second.absent = vec![("6.1".into(), "gone".into(), false)];
        let matrix = combine(vec![part("1/2", vec![on("6.1", &["a"])]), second.clone()], &[]).unwrap();
        assert_eq!(matrix.problems, ["shard 2/2 has no results on 6.1: gone"]);
        let first = Part { slice: "1/2".parse().unwrap(), ..second.clone() };
        let matrix = combine(vec![first.clone(), second.clone()], &[]).unwrap();
        assert_eq!((matrix.absent.len(), matrix.problems.len()), (1, 0), "a default kernel that no shard has");
        let matrix = combine(vec![first, second], &["6.1".into()]).unwrap();
        assert_eq!(matrix.problems, ["6.1: no results: gone"]);
    }

    #[test]
    fn test_skipped_on_every_kernel_of_all_reports_fails() {
        let skipped = |kernel| part("1/1", vec![guest(kernel, vec![test("a", Outcome::Skipped("no".into()))])]);
        let matrix = combine(vec![skipped("6.1"), skipped("6.12")], &[]).unwrap();
        assert_eq!(matrix.never_ran().len(), 1);
        assert!(!matrix.succeeded());
    }

    #[test]
    fn different_releases_are_noted() {
        let mut other = on("6.1", &["b"]);
        other.release = Some("6.1.0-2".into());
        let matrix = combine(vec![part("1/2", vec![on("6.1", &["a"])]), part("2/2", vec![other])], &[]).unwrap();
        assert_eq!(
            matrix.guests[0].notes,
            ["the shards' kernels differ: 6.1.0-1-cloud-amd64 in shard 1/2, 6.1.0-2 in shard 2/2"]
        );
    }
}
