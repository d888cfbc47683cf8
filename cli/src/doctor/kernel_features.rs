//! `--features`: the program types, map types and helpers of this kernel.

use cutaway::{
    Helper, MapType, ProgramType,
    features::{self, Support},
};
use serde::Serialize;

use crate::{args::Format, columns::wrapped, error::CliError, terminal};

/// The helpers that are not tried, because the kernel logs a warning about each program that calls one.
const NOT_TRIED: [Helper; 3] = [Helper::bpf_trace_printk, Helper::bpf_trace_vprintk, Helper::bpf_probe_write_user];

/// A feature. Its fields are those of the JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "feature", rename_all = "snake_case")]
enum Feature {
    ProgramType {
        name: String,
        support: &'static str,
        /// The helpers that programs of this type can call; `None` if that is unknown.
        helpers: Option<Vec<&'static str>>,
    },
    MapType {
        name: String,
        support: &'static str,
        /// The first Linux version with this type.
        since: Option<&'static str>,
    },
    /// Helpers that are not tried.
    HelpersNotTried { helpers: Vec<&'static str>, why: &'static str },
}

/// Probes and prints all features.
pub(super) fn print(format: Format) -> Result<(), CliError> {
    let features = probed();
    terminal::print(&match format {
        Format::Json => {
            let lines = features.iter().map(|feature| terminal::json(feature).map(|line| line + "\n"));
            lines.collect::<Result<String, _>>()?
        }
        Format::Table => table(&features),
    })
}

fn probed() -> Vec<Feature> {
    let types = (1..).map(ProgramType).take_while(|known| known.name().is_some());
    let programs = types.map(|known| {
        let support = features::program_type(known);
        let name = known.name().unwrap_or_default().to_owned();
        Feature::ProgramType { name, support: word(support), helpers: helpers(known, support) }
    });
    let types = (1..).map(MapType).take_while(|known| known.name().is_some());
    let maps = types.map(|known| Feature::MapType {
        name: known.name().unwrap_or_default().to_owned(),
        support: word(features::map_type(known)),
        since: known.since(),
    });
    let not_tried = Feature::HelpersNotTried {
        helpers: NOT_TRIED.map(Helper::name).into(),
        why: "the kernel logs a warning about a program that calls one",
    };
    programs.chain(maps).chain([not_tried]).collect()
}

/// Returns the helpers of a program type; `None` if they are unknown. A type that the kernel does not have, has none.
fn helpers(program_type: ProgramType, support: Support) -> Option<Vec<&'static str>> {
    match support {
        Support::Yes => {}
        Support::No | Support::Needs(_) => return Some(Vec::new()),
        Support::NotPermitted | Support::Unknown => return None,
    }
    let mut found = Vec::new();
    for &helper in Helper::ALL.iter().filter(|helper| !NOT_TRIED.contains(helper)) {
        match features::helper(program_type, helper) {
            Support::Yes => found.push(helper.name()),
            Support::No | Support::Needs(_) => {}
            Support::NotPermitted | Support::Unknown => return None,
        }
    }
    Some(found)
}

fn word(support: Support) -> &'static str {
    match support {
        Support::Yes => "yes",
        Support::No | Support::Needs(_) => "no",
        Support::NotPermitted => "not_permitted",
        Support::Unknown => "unknown",
    }
}

fn table(features: &[Feature]) -> String {
    let mut text = String::from("program types\n");
    let row = |name: &str, support: &str| format!("  {name:<24} {}", support.replace('_', " "));
    for feature in features {
        if let Feature::ProgramType { name, support, .. } = feature {
            text.push_str(&format!("{}\n", row(name, support)));
        }
    }
    text.push_str("\nmap types\n");
    for feature in features {
        if let Feature::MapType { name, support, since } = feature {
            let since =
                since.filter(|_| *support == "no").map_or_else(String::new, |since| format!(" (Linux {since})"));
            text.push_str(&format!("{}{since}\n", row(name, support)));
        }
    }
    text.push_str("\nhelpers, by program type\n");
    let mut block = |name: &str, list: &str| {
        text.push_str(&format!("  {name}\n"));
        text.push_str(&wrapped(list, "    ", terminal::width()));
    };
    for feature in features {
        match feature {
            Feature::ProgramType { name, helpers: Some(helpers), support } if *support == "yes" => {
                block(name, &helpers.join(" "));
            }
            Feature::ProgramType { name, helpers: None, .. } => {
                block(name, "unknown: they depend on the target, or loading is refused");
            }
            Feature::HelpersNotTried { helpers, why } => {
                block("not tried", &format!("{}: {why}", helpers.join(" ")));
            }
            _ => {}
        }
    }
    text
}
