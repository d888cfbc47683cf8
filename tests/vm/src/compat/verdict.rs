//! The results of `compat`, in the form of its JSON.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use crate::arch::Arch;

/// The results of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) kernels: Vec<OnKernel>,
    /// The files that are not BPF objects.
    pub(super) skipped: Vec<Skipped>,
}

/// A file that was skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Skipped {
    #[serde(serialize_with = "lossy")]
    pub(super) file: PathBuf,
    pub(super) why: String,
}

/// The results on one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OnKernel {
    /// The kernel as requested.
    pub(super) kernel: String,
    /// Its architecture; the JSON of earlier versions has none.
    #[serde(default = "own")]
    pub(super) arch: Arch,
    /// `uname -r`, once it has booted.
    pub(super) release: Option<String>,
    /// Why there are no results.
    pub(super) absent: Option<String>,
    /// Whether it is a default kernel that is not available here, which is not a failure.
    #[serde(default)]
    pub(super) skipped: bool,
    /// The file with the BTF that was used in place of the kernel's own.
    #[serde(default, serialize_with = "lossy_if_any")]
    pub(super) btf: Option<PathBuf>,
    #[serde(default)]
    pub(super) notes: Vec<String>,
    pub(super) objects: Vec<Verdict>,
}

/// Serializes a path; bytes that are not UTF-8 are replaced, as a path in a table is.
fn lossy<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

fn lossy_if_any<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(to)
}

fn own() -> Arch {
    Arch::OWN
}

impl OnKernel {
    pub(super) fn new(kernel: impl Into<String>, arch: Arch) -> Self {
        Self {
            kernel: kernel.into(),
            arch,
            release: None,
            absent: None,
            skipped: false,
            btf: None,
            notes: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// Returns the name for messages: with the architecture, if it is not this machine's.
    pub(super) fn title(&self) -> String {
        if self.arch.is_foreign() { format!("{} ({})", self.kernel, self.arch) } else { self.kernel.clone() }
    }

    /// Returns true if another run's results are for the same request.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (&self.kernel, self.arch) == (&other.kernel, other.arch)
    }
}

/// The verdict on one object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) object: String,
    /// Whether the whole object loads.
    pub(super) loads: bool,
    /// Why it does not.
    pub(super) why: Option<String>,
    /// Whether loading it ended the guest.
    #[serde(default)]
    pub(super) crashed: bool,
    pub(super) programs: Vec<Program>,
}

/// The verdict on one program; figures that the kernel does not give are `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) loads: bool,
    /// Why it does not, or why it was not tried.
    pub(super) why: Option<String>,
    /// Whether it was not tried; then it does not load either.
    #[serde(default)]
    pub(super) not_tried: bool,
    /// Whether loading it ended the guest.
    #[serde(default)]
    pub(super) crashed: bool,
    /// The instructions that the verifier processed, on all paths. The JSON of earlier versions has another name.
    #[serde(alias = "instructions")]
    pub(super) processed_instructions: Option<u64>,
    pub(super) total_states: Option<u64>,
    pub(super) peak_states: Option<u64>,
    /// The stack of each function in bytes; the first is the program itself. The JSON of earlier versions has another
    /// name.
    #[serde(alias = "stack")]
    pub(super) stack_depths: Option<Vec<u32>>,
}

impl Report {
    /// Returns true if every object loads on every kernel.
    pub(super) fn all_load(&self) -> bool {
        self.kernels.iter().filter(|on| !on.skipped).all(|on| on.absent.is_none() && on.objects.iter().all(|o| o.loads))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn path_that_is_not_utf8_is_written() {
        let path = || Path::new(OsStr::from_bytes(b"a\xff.o")).to_path_buf();
        let skipped = vec![Skipped { file: path(), why: "w".into() }];
        let on = OnKernel { btf: Some(path()), ..OnKernel::new("6.1", Arch::OWN) };
        let json = serde_json::to_value(Report { kernels: vec![on], skipped }).unwrap();
        assert_eq!(
            (&json["skipped"][0]["file"], &json["kernels"][0]["btf"]),
            (&"a\u{fffd}.o".into(), &"a\u{fffd}.o".into())
        );
    }

    /// The schema of `docs/json.md` has no other fields, and requires all of them.
    #[test]
    fn report_is_that_of_its_schema() {
        let schema = serde_json::from_str(include_str!("../../../../docs/schema/compat.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let some = Program {
            name: "p".into(),
            loads: true,
            processed_instructions: Some(u64::MAX),
            total_states: Some(1),
            peak_states: Some(1),
            stack_depths: Some(vec![8, 16]),
            ..Program::default()
        };
        let none = Program { name: "q".into(), why: Some("w".into()), not_tried: true, ..Program::default() };
        let object = Verdict { object: "a.o".into(), programs: vec![some, none], ..Verdict::default() };
        let on = OnKernel { objects: vec![object], ..OnKernel::new("6.1", Arch::OWN) };
        let absent = OnKernel { absent: Some("w".into()), notes: vec!["n".into()], ..OnKernel::new("7.3", Arch::OWN) };
        let skipped = vec![Skipped { file: "b.o".into(), why: "w".into() }];
        let mut json = serde_json::to_value(Report { kernels: vec![on, absent], skipped }).unwrap();
        let faults: Vec<_> = schema.iter_errors(&json).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        json["kernels"][0]["objects"][0]["new"] = true.into();
        assert!(!schema.is_valid(&json), "a field without a description");
    }

    #[test]
    fn figures_of_an_earlier_version_are_read() {
        let text =
            r#"{"name":"p","loads":true,"why":null,"instructions":7,"total_states":1,"peak_states":1,"stack":[8]}"#;
        let program: Program = serde_json::from_str(text).unwrap();
        assert_eq!((program.processed_instructions, program.stack_depths), (Some(7), Some(vec![8])));
    }
}
