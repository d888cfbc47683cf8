//! Runs the same tests on several kernels: obtains each kernel, packs its guest, runs it.

use std::collections::VecDeque;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::accel::{self, Choice};
use crate::base::Source;
use crate::cache::Cache;
use crate::coverage;
use crate::error::{Error, Result, chain};
use crate::fresh;
use crate::initramfs::Tree;
use crate::interrupt;
use crate::kernel::{self, Kernel, Request};
use crate::modules;
use crate::orders::Task;
use crate::plan::Plan;
use crate::prepare;
use crate::progress::{Line, Screen};
use crate::qemu::{Accelerator, Machine};
use crate::report::{Guest, Matrix};
use crate::run::{self, Limits, Run, Start};
use crate::saved::{self, Key, Recipe, Saved};
use crate::shard::{self, Shard};
use crate::shell::Shell;
use crate::start::{FIRST_CONSOLE, Packing, Starter};

/// The parameters that all kernels share.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) plan: Plan,
    /// The libraries and programs of the guests' architecture.
    pub(crate) source: Source,
    /// The executable that becomes process 1.
    pub(crate) init: PathBuf,
    /// The tests' files; each guest's other files are added per kernel.
    pub(crate) bring: Vec<PathBuf>,
    /// The kernel modules that each guest loads, and the directory of those of given images.
    pub(crate) modules: Vec<modules::Request>,
    pub(crate) modules_directory: Option<PathBuf>,
    pub(crate) cpus: u32,
    pub(crate) max_cpus: u32,
    /// `None`: as much as the files need.
    pub(crate) memory_mib: Option<u64>,
    pub(crate) append: Vec<String>,
    pub(crate) choice: Choice,
    pub(crate) limits: Limits,
    pub(crate) keep_debug: bool,
    pub(crate) folder: PathBuf,
    /// Whether to keep the initramfs too.
    pub(crate) keep: bool,
    pub(crate) parallel: usize,
    /// The number of guests that share the tests of one kernel.
    pub(crate) guests: usize,
    /// Whether each test has a guest of its own.
    pub(crate) fresh: bool,
    /// Whether guests are saved and restored.
    pub(crate) saves: bool,
    /// The limit of the cache of saved guests in bytes.
    pub(crate) saved_limit: u64,
    pub(crate) refresh: bool,
    /// The shell to run instead of the tests.
    pub(crate) shell: Option<Shell>,
    /// The directory for coverage reports.
    pub(crate) coverage: Option<PathBuf>,
}

/// The smallest default memory of a guest.
const USUAL_MEMORY_MIB: u64 = 512;
/// The memory of the kernel and process 1, without the files.
const BARE_MEMORY_MIB: u64 = 96;
/// The memory for the tests, besides the files, if the size is not given.
const ROOM_MIB: u64 = 256;

impl Job {
    /// Runs the tests on every kernel. `named` means that the user chose the kernels: one that is not available is then
    /// a failure.
    pub(crate) fn run(&mut self, requests: &[Request], named: bool, cache: &Cache, screen: &Screen) -> Result<Matrix> {
        let mut matrix = Matrix { slice: self.plan.slice, plan: self.plan.digest(), ..Matrix::default() };
        let mut kernels = VecDeque::new();
        for request in requests {
            let name = unique_name(request.to_string(), kernels.iter().map(|(name, _)| name));
            match kernel::obtain(request, self.source.arch, cache, self.refresh) {
                Ok(kernel) => kernels.push_back((name, kernel)),
                Err(error) => {
                    screen.say(&format!("{name:<8} {error}"));
                    matrix.absent.push((name, chain(&error), named));
                }
            }
        }
        let arch = self.source.arch;
        if self.max_cpus > self.cpus && !arch.has_absent_cpus() {
            let why = "QEMU's machine cannot have CPUs that are absent at boot: omit --max-cpus";
            return Err(Error::Machine { arch: arch.name(), why });
        }
        let Some((_, first)) = kernels.front() else { return Ok(matrix) };
        let decision = accel::decide(self.choice, arch, first, cache)?;
        screen.say(&format!("accelerator: {} ({})", decision.accelerator, decision.reason));
        let order: Vec<String> = kernels.iter().map(|(name, _)| name.clone()).collect();
        let queue = Mutex::new(kernels);
        let done = Mutex::new(Vec::new());
        let job = &*self;
        std::thread::scope(|scope| {
            for _ in 0..job.parallel.max(1) {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some((name, kernel)) = next.filter(|_| !interrupt::seen()) else { return };
                        let guest = job.one(&name, &kernel, decision.accelerator, cache, screen);
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((name, guest));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(name, _)| order.iter().position(|other| other == name));
        // An error on one kernel leaves the other kernels' results valid.
        let all_failed = done.iter().all(|(_, guest)| guest.is_err());
        for (name, guest) in done {
            match guest {
                Ok(guest) => matrix.guests.push(guest),
                Err(error) if all_failed => return Err(error),
                Err(error) => matrix.absent.push((name, chain(&error), true)),
            }
        }
        if interrupt::seen() && matrix.guests.is_empty() {
            return Err(Error::Interrupted);
        }
        Ok(matrix)
    }

    fn one(
        &self,
        name: &str,
        kernel: &Kernel,
        accelerator: Accelerator,
        cache: &Cache,
        screen: &Screen,
    ) -> Result<Guest> {
        let folder = self.folder.join(name);
        clear(&folder)?;
        for own in Shard::all(self.guests).filter_map(Shard::folder) {
            clear(&folder.join(own))?;
        }
        for (_, own) in folders_of_tests(&folder) {
            clear(&own)?;
        }
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        if let Some(directory) = &self.coverage {
            coverage::clear(&directory.join(name))?;
        }
        let line = screen.guest(name);
        let (plan, tree) = self.files(kernel, cache)?;
        let memory_mib = self.memory(tree.size())?;
        let machine = Machine {
            arch: self.source.arch,
            cpus: self.cpus,
            max_cpus: self.max_cpus,
            memory_mib,
            append: self.append.clone(),
        };
        let packing = Packing::new(tree, &folder);
        let recipe = Recipe {
            name,
            kernel,
            machine: &machine,
            accelerator,
            initramfs: &|| packing.path(),
            boot: self.limits.boot,
            limit: self.saved_limit,
        };
        let saved = self.saved(&recipe, packing.tree(), cache, screen)?;
        let starter = Starter { saved, packing: &packing, cache, screen };
        let run = Run {
            name,
            kernel,
            machine: &machine,
            accelerator,
            start: Start::Boot(&folder),
            plan: &plan,
            task: &Task::List,
            limits: self.limits,
            folder: &folder,
        };
        let shared = plan.binaries.iter().any(|binary| binary.harness);
        let guests: Result<Vec<Guest>> = if let Some(shell) = &self.shell {
            let task = Task::Shell(shell.clone());
            starter.guest(&Run { task: &task, ..run }, &line).map(|guest| vec![guest])
        } else if self.fresh {
            fresh::run(&run, &starter, self.guests, &line).map(|guest| vec![guest])
        } else {
            std::thread::scope(|scope| {
                let running: Vec<_> = Shard::all(if shared { self.guests } else { 1 })
                    .map(|shard| {
                        let (run, line, starter) = (&run, &line, &starter);
                        scope.spawn(move || run_shard(run, shard, line, starter))
                    })
                    .collect();
                running.into_iter().map(|guest| guest.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
            })
        };
        let guests = guests?;
        if let Some(directory) = &self.coverage {
            // A crash or Ctrl-C keeps the reports that were sent before.
            let to = directory.join(name);
            coverage::collect(&folder, None, &to)?;
            for own in Shard::all(self.guests).filter_map(Shard::folder) {
                coverage::collect(&folder.join(&own), Some(&own), &to)?;
            }
            for (number, own) in folders_of_tests(&folder) {
                coverage::collect(&own, Some(&number), &to)?;
            }
        }
        let guest = shard::merge(guests).ok_or(Error::Interrupted)?;
        line.end(&guest);
        if !self.keep {
            packing.remove()?;
        }
        Ok(guest)
    }

    /// Returns the saved guest, if it pays: a boot takes seconds in emulation only. `None` if each guest is to boot.
    fn saved(&self, recipe: &Recipe<'_>, tree: &Tree, cache: &Cache, screen: &Screen) -> Result<Option<Saved>> {
        if !self.saves || recipe.accelerator != Accelerator::Tcg {
            return Ok(None);
        }
        let key = Key::of(tree, recipe.kernel, recipe.machine, recipe.accelerator)?;
        match saved::obtain(recipe, &key, cache, &|text| screen.warn(text)) {
            Ok(saved) => Ok(Some(saved)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                screen.warn(&format!("{}: no saved guest, so each guest boots: {}", recipe.name, chain(&error)));
                Ok(None)
            }
        }
    }

    /// Returns the guest's files, and the plan with the missing libraries filled in.
    fn files(&self, kernel: &Kernel, cache: &Cache) -> Result<(Plan, Tree)> {
        let mut plan = self.plan.clone();
        let mut tests = Tree::of(self.source.arch, self.source.sysroot.clone(), self.keep_debug);
        for binary in &mut plan.binaries {
            binary.missing = tests.bring(Path::new(&binary.path))?;
        }
        for path in &self.bring {
            tests.bring(path)?;
        }
        let mut tree = prepare::base(kernel, &self.source, &self.init, self.keep_debug)?;
        tree.merge(tests);
        if !self.modules.is_empty() {
            let directory = match &self.modules_directory {
                Some(directory) if kernel.packages.is_empty() => directory.clone(),
                _ => kernel::modules(kernel, self.source.arch, cache)?,
            };
            modules::add(&self.modules, &directory, kernel.release.as_deref(), &mut tree)?;
        }
        Ok((plan, tree))
    }

    fn memory(&self, files: u64) -> Result<u64> {
        // The archive and its unpacked files are in memory at the same time, and the unpacked files may take up to half
        // of the memory (tmpfs's default).
        let twice = files.div_ceil(1 << 20) * 2;
        match self.memory_mib {
            Some(memory_mib) if memory_mib < twice + BARE_MEMORY_MIB => {
                Err(Error::Memory { needed_mib: twice + BARE_MEMORY_MIB, memory_mib })
            }
            Some(memory_mib) => Ok(memory_mib),
            None => Ok(USUAL_MEMORY_MIB.max((twice + ROOM_MIB).next_multiple_of(128))),
        }
    }
}

/// Runs the guest of one shard.
fn run_shard(whole: &Run<'_>, shard: Shard, line: &Line<'_>, starter: &Starter<'_>) -> Result<Guest> {
    let mut folder = whole.folder.to_path_buf();
    if let Some(own) = shard.folder() {
        folder.push(own);
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    }
    let guest = starter.guest(&Run { task: &Task::Run(shard), folder: &folder, ..*whole }, line)?;
    Ok(shard::label_unknown(guest, shard))
}

/// Returns the numbers and directories of an earlier run's fresh guests.
fn folders_of_tests(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder.join(fresh::TESTS)).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some((number.to_string(), entry.path()))
    });
    numbered.collect()
}

/// Removes the files of an earlier run, and nothing else.
fn clear(folder: &Path) -> Result<()> {
    for name in [run::CONSOLE, FIRST_CONSOLE, run::COMPLAINTS, prepare::INITRAMFS] {
        let path = folder.join(name);
        absent(fs::remove_file(&path)).map_err(Error::file("remove", &path))?;
    }
    let files = folder.join(run::FILES);
    absent(fs::remove_dir_all(&files)).map_err(Error::file("remove", &files))
}

/// Treats a file that does not exist as removed.
fn absent(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Returns a name like `name` that differs from all others: two images may have the same file name.
fn unique_name<'n>(name: String, others: impl Iterator<Item = &'n String> + Clone) -> String {
    let taken = |name: &String| others.clone().any(|other| other == name);
    if !taken(&name) {
        return name;
    }
    (2..).map(|number| format!("{name}-{number}")).find(|name| !taken(name)).unwrap_or(name)
}
