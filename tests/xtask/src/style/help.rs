//! The help of every command and subcommand, as it is printed.

use std::process::Command;

use super::{Finding, HELP};
use crate::tools;

/// Columns of a line of help.
const COLUMNS: usize = 80;

/// The programs whose help is read, and what a reader types for them.
const PROGRAMS: &[(&str, &str)] = &[("cutaway", "cutaway"), ("cutaway-vm", "cutaway-vm"), ("xtask", "cargo xtask")];

/// Builds the programs and finds the lines of their help that are too wide.
pub(super) fn check() -> Result<Vec<Finding>, String> {
    tools::programs()?;
    let me = std::env::current_exe().map_err(|error| format!("cannot find this executable: {error}"))?;
    let mut findings = Vec::new();
    for (program, name) in PROGRAMS {
        let path = me.with_file_name(program);
        read(
            name,
            &mut Vec::new(),
            &mut |arguments| {
                let output = Command::new(&path).args(arguments).output();
                let output = output.map_err(|error| format!("cannot run {}: {error}", path.display()))?;
                match output.status.success() {
                    true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
                    false => Err(format!("`{name} {}` failed: {}", arguments.join(" "), output.status)),
                }
            },
            &mut findings,
        )?;
    }
    Ok(findings)
}

/// Reads the help of a command and of its subcommands; `print` returns what the command prints with these arguments.
pub(super) fn read(
    name: &str,
    subcommands: &mut Vec<String>,
    print: &mut impl FnMut(&[&str]) -> Result<String, String>,
    findings: &mut Vec<Finding>,
) -> Result<(), String> {
    let mut below = Vec::new();
    for option in ["-h", "--help"] {
        let arguments: Vec<_> = subcommands.iter().map(String::as_str).chain([option]).collect();
        let help = print(&arguments)?;
        let command = [&[name], arguments.as_slice()].concat().join(" ");
        findings.extend(too_wide(&command, &help));
        below = listed(&help);
    }
    // `cargo xtask vm` passes its help on to cutaway-vm.
    for subcommand in below.into_iter().filter(|subcommand| !["help", "vm"].contains(&subcommand.as_str())) {
        subcommands.push(subcommand);
        read(name, subcommands, print, findings)?;
        subcommands.pop();
    }
    Ok(())
}

/// Finds the lines of a help text that are too wide.
fn too_wide(command: &str, help: &str) -> Vec<Finding> {
    let lines = help.lines().enumerate().filter(|(_, line)| line.chars().count() > COLUMNS);
    lines
        .map(|(number, line)| Finding {
            rule: HELP,
            file: command.to_owned(),
            line: number + 1,
            text: format!("{} columns: {}", line.chars().count(), line.trim()),
        })
        .collect()
}

/// Returns the subcommands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.trim().is_empty()).filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
