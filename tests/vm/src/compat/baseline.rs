//! Compares a run with the JSON of an earlier one.

use super::verdict::{OnKernel, Program, Report, Verdict};

/// The differences from an earlier run, one line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// The lines that make the run fail.
    pub(super) worse: Vec<String>,
    /// The lines that are only printed.
    pub(super) noted: Vec<String>,
}

/// Compares two runs. A cost may rise by `allow` percent.
pub(super) fn compare(before: &Report, now: &Report, allow: f64) -> Differences {
    let mut found = Differences::default();
    for kernel in &now.kernels {
        match before.kernels.iter().find(|old| old.is_like(kernel)) {
            Some(old) => on_kernel(old, kernel, allow, &mut found),
            None => found.noted.push(format!("{}: not in the baseline", kernel.title())),
        }
    }
    for old in &before.kernels {
        if !now.kernels.iter().any(|kernel| kernel.is_like(old)) {
            found.noted.push(format!("{}: in the baseline, but not in this run", old.title()));
        }
    }
    found
}

fn on_kernel(old: &OnKernel, now: &OnKernel, allow: f64, found: &mut Differences) {
    let at = &now.title();
    if old.release != now.release {
        let name = |on: &OnKernel| on.release.clone().unwrap_or_else(|| "unknown".to_owned());
        found.noted.push(format!("{at}: the kernel is {}; in the baseline it was {}", name(now), name(old)));
    }
    if let (None, Some(why)) = (&old.absent, &now.absent) {
        let lines = if now.skipped { &mut found.noted } else { &mut found.worse };
        return lines.push(format!("{at}: no results: {why}"));
    }
    for object in &now.objects {
        match old.objects.iter().find(|other| other.object == object.object) {
            Some(other) => of_object(at, other, object, allow, found),
            None => found.noted.push(format!("{at}: {}: not in the baseline", object.object)),
        }
    }
    for other in &old.objects {
        if !now.objects.iter().any(|object| object.object == other.object) {
            found.noted.push(format!("{at}: {}: in the baseline, but not in this run", other.object));
        }
    }
}

fn of_object(at: &str, old: &Verdict, now: &Verdict, allow: f64, found: &mut Differences) {
    let object = &now.object;
    if old.loads && !now.loads {
        let why = now.why.as_deref().unwrap_or("no reason is known");
        found.worse.push(format!("{at}: {object}: no longer loads: {why}"));
    }
    for program in &now.programs {
        let place = format!("{at}: {object}: {}", program.name);
        match old.programs.iter().find(|other| other.name == program.name) {
            Some(other) => of_program(&place, other, program, allow, found),
            None => found.noted.push(format!("{place}: not in the baseline")),
        }
    }
    for other in &old.programs {
        if !now.programs.iter().any(|program| program.name == other.name) {
            found.noted.push(format!("{at}: {object}: {}: in the baseline, but not in this run", other.name));
        }
    }
}

fn of_program(place: &str, old: &Program, now: &Program, allow: f64, found: &mut Differences) {
    if old.loads && !now.loads {
        found.worse.push(format!("{place}: no longer loads: {}", now.why.as_deref().unwrap_or("no reason is known")));
    }
    let stack = |program: &Program| program.stack_depths.as_ref().map(|all| all.iter().copied().map(u64::from).sum());
    for (what, old, now) in [
        ("instructions", old.processed_instructions, now.processed_instructions),
        ("total states", old.total_states, now.total_states),
        ("peak states", old.peak_states, now.peak_states),
        ("bytes of stack", stack(old), stack(now)),
    ] {
        match (old, now) {
            (Some(old), Some(now)) if exceeds(old, now, allow) => {
                found.worse.push(format!("{place}: {now} {what}, {old} in the baseline (allowed: {allow} % more)"));
            }
            (Some(old), None) => found.noted.push(format!("{place}: {what} unknown, {old} in the baseline")),
            _ => {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures of the verifier are far below 2^53")]
fn exceeds(old: u64, now: u64, allow: f64) -> bool {
    now as f64 > old as f64 * (1.0 + allow / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;

    const OTHER: Arch = if matches!(Arch::OWN, Arch::X86_64) { Arch::Aarch64 } else { Arch::X86_64 };

    fn report(loads: bool, instructions: u64) -> Report {
        let program =
            Program { name: "p".into(), loads, processed_instructions: Some(instructions), ..Program::default() };
        let object = Verdict { object: "a.o".into(), loads, programs: vec![program], ..Verdict::default() };
        let on = OnKernel { objects: vec![object], ..OnKernel::new("6.1", Arch::OWN) };
        Report { kernels: vec![on], skipped: vec![] }
    }

    #[test]
    fn only_what_exceeds_the_allowance_is_worse() {
        assert_eq!(compare(&report(true, 100), &report(true, 105), 5.0), Differences::default());
        let found = compare(&report(true, 99), &report(true, 105), 5.0);
        assert_eq!(found.worse, ["6.1: a.o: p: 105 instructions, 99 in the baseline (allowed: 5 % more)"]);
    }

    #[test]
    fn architectures_are_compared_each_with_itself() {
        let mut other = report(true, 1);
        other.kernels[0].arch = OTHER;
        let found = compare(&report(true, 1), &other, 5.0);
        assert_eq!(found.worse, [""; 0]);
        assert_eq!(
            found.noted,
            [format!("6.1 ({OTHER}): not in the baseline"), "6.1: in the baseline, but not in this run".to_owned()]
        );
        let found = compare(&other, &Report { kernels: vec![other.kernels[0].clone()], skipped: vec![] }, 5.0);
        assert_eq!(found, Differences::default());
    }

    #[test]
    fn stopped_object_is_worse_and_new_one_is_noted() {
        assert_eq!(compare(&report(true, 1), &report(false, 1), 0.0).worse.len(), 2);
        assert_eq!(compare(&report(false, 1), &report(true, 1), 0.0), Differences::default());
        let found = compare(&Report::default(), &report(true, 1), 0.0);
        assert_eq!((found.worse.len(), found.noted.len()), (0, 1));
    }

    #[test]
    fn missing_results_are_worse_and_missing_figures_are_noted() {
        let mut now = report(true, 1);
        now.kernels[0].objects[0].programs[0].processed_instructions = None;
        let found = compare(&report(true, 1), &now, 0.0);
        assert_eq!(found.noted, ["6.1: a.o: p: instructions unknown, 1 in the baseline"]);
        assert!(found.worse.is_empty());
        now.kernels[0].absent = Some("no package".into());
        assert_eq!(compare(&report(true, 1), &now, 0.0).worse, ["6.1: no results: no package"]);
        now.kernels[0].skipped = true;
        assert_eq!(compare(&report(true, 1), &now, 0.0).noted, ["6.1: no results: no package"]);
    }
}
