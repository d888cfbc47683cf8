//! Follows processes and their children, if the machine permits it.
//!
//! The set of followed processes contains process ids of the initial PID namespace. While the command is started it
//! contains this process, so the command belongs to it. The program on `task/task_newtask` adds the descendants.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use cutaway::{Links, Loaded, Object, Tracepoint};
use cutaway_programs::getaddrinfo::names;

use super::libraries::Scope;
use crate::error::CliError;

/// The processes that are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Following<'a> {
    /// Every process.
    All,
    /// One process, for which alone the probes are attached.
    Process(u32),
    /// The command and its children: the set begins with this process.
    Command,
    /// The set begins with these processes, which exist already.
    Processes { pids: &'a [u32], children: bool },
}

/// The program on the tracepoint `task/task_newtask`, with the category and name of the tracepoint.
const FORK: (&str, [&str; 2]) = (names::FOLLOW, ["task", "task_newtask"]);
/// The program on the tracepoint `sched/sched_process_exit`.
const EXIT: (&str, [&str; 2]) = (names::UNFOLLOW, ["sched", "sched_process_exit"]);

/// How often to look for children that exist already, at most. A round finds the children that the processes of the
/// round before had started before they were in the set; this ends soon unless the processes fork all the time.
const ROUNDS: usize = 10;

impl<'a> Following<'a> {
    /// Chooses for these process ids, or for a command. Also returns the reason why a command is not followed.
    pub(super) fn choose(
        pids: &'a [u32],
        children: bool,
        has_command: bool,
    ) -> Result<(Self, Option<String>), CliError> {
        let refuse = |what: &str, why: String| Err(CliError::new(format!("cannot trace {what}: {why}")));
        match pids {
            [] if has_command => match obstacle() {
                None => Ok((Self::Command, None)),
                why => Ok((Self::All, why)),
            },
            [] => Ok((Self::All, None)),
            [pid] if !children => Ok((Self::Process(*pid), None)),
            pids if children => match obstacle() {
                Some(why) => refuse("children", why),
                None => Ok((Self::Processes { pids, children }, None)),
            },
            pids => match pid_namespace_obstacle() {
                Some(why) => refuse("several processes", why),
                None => Ok((Self::Processes { pids, children }, None)),
            },
        }
    }

    /// Returns whether only the processes in the set are traced.
    pub(super) fn is_by_set(self) -> bool {
        matches!(self, Self::Command | Self::Processes { .. })
    }

    /// Returns the processes whose libraries are traced.
    pub(super) fn scope(self) -> Scope {
        match self {
            Self::All => Scope::All,
            Self::Process(pid) => Scope::Process(pid),
            Self::Command => Scope::Command,
            Self::Processes { .. } => Scope::Processes,
        }
    }

    /// Returns the processes as text, for the line at the start. `command` is the command's name, if there is one.
    pub(super) fn describe(self, command: Option<&str>) -> String {
        match (self, command) {
            (Self::Command, Some(command)) => format!("`{command}` and its children"),
            (Self::All | Self::Command, _) => "every process".to_owned(),
            (Self::Process(pid), _) => format!("process {pid}"),
            (Self::Processes { pids: [pid], .. }, _) => format!("process {pid} and its children"),
            (Self::Processes { pids, children }, _) => {
                format!("{} processes{}", pids.len(), if children { " and their children" } else { "" })
            }
        }
    }

    /// Returns the programs that maintain the set.
    fn programs(self) -> impl Iterator<Item = (&'static str, [&'static str; 2])> {
        let adds = matches!(self, Self::Command | Self::Processes { children: true, .. });
        [(FORK, adds), (EXIT, self.is_by_set())].into_iter().filter_map(|(program, wanted)| wanted.then_some(program))
    }

    /// Sets up an object so that it has the programs that are needed, and no others.
    pub(super) fn prepare(self, object: &mut Object) -> Result<(), CliError> {
        object.set_variable(names::ONLY_FOLLOWED, &u32::from(self.is_by_set()))?;
        for (name, _) in [FORK, EXIT] {
            object.program_mut(name)?.section.autoload = self.programs().any(|(needed, _)| needed == name);
        }
        Ok(())
    }

    /// Attaches the programs that maintain the set, and adds the processes that exist already.
    pub(super) fn begin(self, loaded: &Loaded) -> Result<Links, CliError> {
        let attach = |(name, [category, event]): (&str, [&str; 2])| {
            Ok::<_, CliError>(Tracepoint::new(category, event).attach(loaded.program(name)?)?)
        };
        let links = self.programs().map(attach).collect::<Result<Links, _>>()?;
        if let Self::Processes { pids, children } = self {
            let followed = loaded.map(names::FOLLOWED)?;
            let mut known = BTreeSet::new();
            let mut add = |pids: Vec<u32>| -> Result<bool, CliError> {
                let new: Vec<_> = pids.into_iter().filter(|pid| known.insert(*pid)).collect();
                new.iter().try_for_each(|pid| followed.update(&pid.to_ne_bytes(), &[1]))?;
                Ok(!new.is_empty())
            };
            add(pids.to_vec())?;
            // From here on, the program adds the children of the known ones. A child that a process started before it
            // was known is found by another round.
            for _ in 0..ROUNDS {
                if !children || !add(descendants(pids, &parents()))? {
                    break;
                }
            }
        }
        Ok(links)
    }
}

/// Returns each process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parent_of = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read(entry.path().join("stat")).ok()?;
        // The name can contain any character. After it come the state and the parent.
        let stat = String::from_utf8_lossy(&stat);
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((pid, parent))
    };
    processes.filter_map(parent_of).collect()
}

/// Returns the descendants of these processes.
fn descendants(pids: &[u32], parents: &[(u32, u32)]) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for &(pid, parent) in parents {
        children.entry(parent).or_default().push(pid);
    }
    let (mut found, mut waiting) = (BTreeSet::new(), pids.to_vec());
    while let Some(pid) = waiting.pop() {
        let new = children.get(&pid).into_iter().flatten().copied().filter(|child| found.insert(*child));
        waiting.extend(new);
    }
    found.into_iter().collect()
}

/// Returns the reason why the process ids of BPF programs are not those of `/proc`, or `None` if they are.
pub(super) fn pid_namespace_obstacle() -> Option<String> {
    /// The initial PID namespace's inode (`PROC_PID_INIT_INO`).
    const INITIAL: &str = "pid:[4026531836]";
    match fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if namespace.as_os_str() == INITIAL => None,
        Ok(_) => {
            Some("this PID namespace is not the initial one, so process ids differ from those in the kernel".to_owned())
        }
        Err(error) => Some(format!("cannot read /proc/self/ns/pid: {error}")),
    }
}

/// Returns the reason why the children of processes cannot be followed, or `None` if they can.
pub(crate) fn obstacle() -> Option<String> {
    if let Some(why) = pid_namespace_obstacle() {
        return Some(why);
    }
    let format = match Tracepoint::new("task", "task_newtask").format() {
        Ok(format) => format,
        Err(error) => return Some(error.to_string()),
    };
    let known = [("pid_t pid;", "offset:8;"), ("clone_flags;", "offset:32;")]
        .iter()
        .all(|(field, offset)| format.lines().any(|line| line.contains(field) && line.contains(offset)));
    (!known).then(|| "this kernel's tracepoint task/task_newtask has an unknown layout".to_owned())
}

/// Runs `start` while this process is in the set, if a command is followed, so that a process that it starts is
/// followed.
pub(super) fn from_here<T>(
    loaded: &Loaded,
    following: Following<'_>,
    start: impl FnOnce() -> Result<T, CliError>,
) -> Result<T, CliError> {
    if following != Following::Command {
        return start();
    }
    let followed = loaded.map(names::FOLLOWED)?;
    let own = std::process::id().to_ne_bytes();
    followed.update(&own, &[1])?;
    let started = start();
    followed.delete(&own)?;
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_children_of_children() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 7)];
        assert_eq!(descendants(&[2], &parents), [3, 4]);
        assert_eq!(descendants(&[3, 5], &parents), [4, 6]);
        assert_eq!(descendants(&[7], &parents), [7]);
        assert!(descendants(&[9], &parents).is_empty());
    }

    #[test]
    fn own_parent_is_found() {
        let own = std::process::id();
        assert!(parents().contains(&(own, std::os::unix::process::parent_id())));
    }

    #[test]
    fn start_line_names_the_processes() {
        let text = |following: Following<'_>| following.describe(None);
        assert_eq!(text(Following::All), "every process");
        assert_eq!(text(Following::Process(7)), "process 7");
        assert_eq!(text(Following::Processes { pids: &[7], children: true }), "process 7 and its children");
        assert_eq!(text(Following::Processes { pids: &[7, 8], children: false }), "2 processes");
        assert_eq!(Following::Command.describe(Some("getent")), "`getent` and its children");
    }
}
