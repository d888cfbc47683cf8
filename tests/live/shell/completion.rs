//! Completion of words, in each shell as a user has it: the script is loaded, and TAB is pressed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command},
};

use tempfile::TempDir;

use crate::{
    binary::{self, Running},
    corpus,
    harness::{Test, test},
    keyboard::Keyboard,
    missing, printed,
    requirements::ring,
    run,
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        test!(zsh_loads_its_script).needs(|| missing("zsh")),
        test!(words_after_another_command_are_completed_by_it).needs(|| missing("bash")),
        test!(quoted_and_odd_words_are_completed).needs(|| missing("bash")),
        test!(candidates_are_those_of_the_machine),
        test!(candidates_are_printed_for_damaged_input_too),
    ];
    tests.extend(test!(tab_completes_words, shells(), |shell: Shell| missing(shell.name())));
    let rings = test!(tab_completes_rings, shells(), |shell: Shell| missing(shell.name()));
    tests.extend(rings.map(|test| test.needs(ring)));
    tests
}

#[derive(Clone, Copy)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

fn shells() -> [(&'static str, Shell); 3] {
    [Shell::Bash, Shell::Zsh, Shell::Fish].map(|shell| (shell.name(), shell))
}

/// The prompt of each shell.
const PROMPT: &str = "ready>";

/// The name of a program, and of the process that runs it.
const PROGRAM: &str = "zebracrossing";

/// A directory with the scripts, objects, and a program in the shell's path.
struct Place {
    directory: TempDir,
    _process: Process,
}

/// Kills the process when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        for shell in ["bash", "zsh", "fish"] {
            fs::write(path.join(shell), printed(&["completions", shell])).unwrap();
        }
        fs::create_dir_all(path.join("deep/folder")).unwrap();
        fs::copy(corpus("typed.o"), path.join("typed.o")).unwrap();
        fs::copy(corpus("typed.o"), path.join("two words.o")).unwrap();
        let program = path.join(PROGRAM);
        // A copy, so that the process has its name.
        fs::copy(which("sleep"), &program).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let process = Process(Command::new(&program).arg("1000").spawn().unwrap());
        Self { directory, _process: process }
    }

    /// Starts a shell in the directory. The shell has loaded the script.
    fn start(&self, shell: Shell) -> Keyboard {
        self.start_with(shell, "true")
    }

    /// Starts a shell like [`Self::start`]. It has also run this command.
    fn start_with(&self, shell: Shell, prepare: &str) -> Keyboard {
        let path = self.directory.path();
        let (arguments, script): (&[&str], _) = match shell {
            Shell::Bash => (&["--norc", "--noprofile", "-i"], "source ./bash".to_owned()),
            Shell::Zsh => (&["-f", "-i"], "autoload -U compinit; compinit -u -d ./dump; source ./zsh".to_owned()),
            Shell::Fish => {
                let prompt = format!("function fish_prompt; printf '{PROMPT} '; end");
                (&["--no-config", "-i"], format!("{prompt}; set -g fish_greeting; source ./fish"))
            }
        };
        let mut command = Command::new(shell.name());
        let binary = binary::path();
        let directories = [path, binary.parent().unwrap()].map(Path::to_owned);
        let others = std::env::var_os("PATH").unwrap();
        let search = std::env::join_paths(directories.into_iter().chain(std::env::split_paths(&others))).unwrap();
        command.args(arguments).current_dir(path).env("PATH", search).env("HOME", path);
        // Without the shell's configuration, and with no history.
        command
            .env("PS1", format!("{PROMPT} "))
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .env("XDG_DATA_HOME", path);
        command.env("XDG_CONFIG_HOME", path).env_remove("PROMPT_COMMAND").env_remove("COLUMNS").env_remove("LINES");
        let mut keyboard = Keyboard::at(command);
        keyboard.press(&format!("{script}; {prepare}; clear; echo loa''ded\n"));
        keyboard.shows("loaded");
        keyboard.line_is(PROMPT);
        keyboard
    }
}

/// Returns the path of a program.
fn which(program: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file()).unwrap()
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// Presses TAB after each of these lines. `.` after it shows whether a space follows the word.
fn check(keyboard: &mut Keyboard, cases: &[(&str, &str)]) {
    for (typed, completed) in cases {
        keyboard.press(&format!("{typed}\t."));
        keyboard.line_is(&format!("{PROMPT} {completed}."));
        // Control-U clears the line.
        keyboard.press("\u{15}");
        keyboard.line_is(PROMPT);
    }
}

fn tab_completes_words(shell: Shell) {
    let place = Place::new();
    let mut keyboard = place.start(shell);
    check(
        &mut keyboard,
        &[
            ("cutaway tr", "cutaway trace "),
            ("cutaway help insp", "cutaway help inspect "),
            ("cutaway completions z", "cutaway completions zsh "),
            ("cutaway man do", "cutaway man doctor "),
            // Options, and their values in both forms.
            ("cutaway trace --transp", "cutaway trace --transport "),
            ("cutaway peek --wa", "cutaway peek --watch "),
            ("cutaway trace --transport r", "cutaway trace --transport ring "),
            ("cutaway trace --transport=r", "cutaway trace --transport=ring "),
            ("cutaway --color=al", "cutaway --color=always "),
            ("cutaway run --reader a", "cutaway run --reader aya-obj "),
            ("cutaway compare --only max", "cutaway compare --only max-entries "),
            // Processes, interfaces and users.
            ("cutaway peek --comm zebra", "cutaway peek --comm zebracrossing "),
            ("cutaway trace --comm=zebra", "cutaway trace --comm=zebracrossing "),
            ("cutaway run a.o --interface=lo", "cutaway run a.o --interface=lo "),
            ("cutaway trace --uid roo", "cutaway trace --uid root "),
            // Names in the object on the line.
            ("cutaway run --built-in ring --program follow_e", "cutaway run --built-in ring --program follow_exit "),
            ("cutaway run --built-in=ring --set with_co", "cutaway run --built-in=ring --set with_cookie="),
            ("cutaway run --built-in ring --maps=eve", "cutaway run --built-in ring --maps=events "),
            (
                "cutaway run --built-in ring --type=events=EventH",
                "cutaway run --built-in ring --type=events=EventHeader ",
            ),
            ("cutaway bindgen typed.o --type ke", "cutaway bindgen typed.o --type key "),
            // Files and directories.
            ("cutaway inspect typ", "cutaway inspect typed.o "),
            ("cutaway inspect --btf=typ", "cutaway inspect --btf=typed.o "),
            ("cutaway man --directory de", "cutaway man --directory deep/"),
            // COMMAND.
            ("cutaway trace -- zebra", "cutaway trace -- zebracrossing "),
            ("cutaway run a.o -- cat typ", "cutaway run a.o -- cat typed.o "),
        ],
    );
}

fn tab_completes_rings(shell: Shell) {
    let running = Running::start(&mut binary::command(["run", "--built-in", "ring", "--program", "follow_exit"]));
    running.stderr_line("the ring exists", |line| line.contains("`events`"));
    let place = Place::new();
    let mut keyboard = place.start(shell);
    check(&mut keyboard, &[("cutaway peek --name even", "cutaway peek --name events ")]);
    let ids = candidates(&["peek", "--id", ""], 2);
    assert!(ids.lines().any(|line| line.ends_with("\tevents")), "{ids}");
}

/// Returns what the scripts get for these words and the index of the word at the cursor.
fn candidates(words: &[&str], at: usize) -> String {
    printed(&[&["complete", "--at", &at.to_string(), "--"], words].concat())
}

fn candidates_are_those_of_the_machine() {
    let pid = std::process::id().to_string();
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    for option in ["--pid", "-p"] {
        let found = candidates(&["trace", option, &format!("1,{pid}")], 2);
        assert!(found.contains(&format!("1,{pid}\t{own}")), "{found}");
    }
    assert!(candidates(&["run", "--interface", ""], 2).contains("\nlo\t"));
    let object = corpus("typed.o");
    // The object may follow the cursor.
    let before = candidates(&["inspect", &object, "--program", ""], 3);
    let after = candidates(&["inspect", "--program", "", &object], 2);
    assert!(before.lines().count() > 1 && before == after, "{before}{after}");
}

fn candidates_are_printed_for_damaged_input_too() {
    let directory = TempDir::new().unwrap();
    let (empty, fifo) = (directory.path().join("empty"), directory.path().join("fifo"));
    fs::write(&empty, "").unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    for object in [&empty, &fifo, Path::new("/dev/zero"), Path::new("/missing"), directory.path(), Path::new("-")] {
        assert_eq!(candidates(&["run", object.to_str().unwrap(), "--program", ""], 3), "words \n", "{object:?}");
    }
    for (words, at) in [(["run", "a.o", "b.o"].as_slice(), 2), (&["frobnicate", ""], 9), (&["man", "--", ""], 2)] {
        let found = candidates(words, at);
        assert!(found.is_empty() || found.starts_with("words \n"), "{words:?}: {found}");
    }
}

fn words_after_another_command_are_completed_by_it() {
    let place = Place::new();
    // As the package bash-completion has it.
    let mut keyboard = place.start_with(Shell::Bash, "_command_offset() { COMPREPLY=(\"offset$1\"); }");
    check(&mut keyboard, &[("cutaway trace --pid=1 -- git ", "cutaway trace --pid=1 -- git offset6 ")]);
}

fn quoted_and_odd_words_are_completed() {
    let place = Place::new();
    let mut keyboard = place.start(Shell::Bash);
    check(
        &mut keyboard,
        &[
            ("cutaway inspect two", "cutaway inspect two\\ words.o "),
            ("cutaway bindgen two\\ words.o --type ke", "cutaway bindgen two\\ words.o --type key "),
            ("cutaway bindgen 'two words.o' --type ke", "cutaway bindgen 'two words.o' --type key "),
            ("cutaway bindgen ~/typed.o --type ke", "cutaway bindgen ~/typed.o --type key "),
            ("cutaway inspect --summary --btf ~/typ", "cutaway inspect --summary --btf ~/typed.o "),
            ("cutaway bindgen -oty", "cutaway bindgen -otyped.o "),
            ("true; cutaway trace --transport=r", "true; cutaway trace --transport=ring "),
        ],
    );
    // The cursor is within the line: Control-A goes to its start, Control-F one letter on.
    keyboard.press(&format!(
        "cutaway trace --transport=r --quiet\u{1}{}\t.",
        "\u{6}".repeat("cutaway trace --transport=r".len())
    ));
    keyboard.line_is(&format!("{PROMPT} cutaway trace --transport=ring. --quiet"));
}

fn zsh_loads_its_script() {
    let place = Place::new();
    let directory = place.directory.path();
    fs::rename(directory.join("zsh"), directory.join("_cutaway")).unwrap();
    let path = directory.display();
    let script = format!(
        "fpath=({path} $fpath); autoload -U compinit; compinit -u -d {path}/dump; print $_comps[cutaway]; autoload +X \
         _cutaway"
    );
    assert_eq!(run(Command::new("zsh").args(["-f", "-c", &script])), "_cutaway\n");
}
