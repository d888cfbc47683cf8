//! A token: its creation, and what it delegates.

use std::{
    env, fmt, fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use cutaway_sys::{file, report, report::outcome};

use super::Delegation;
use crate::{Errno, Error, sys::token};

/// The environment variable with the path of the BPF file system, as libbpf reads it.
const VARIABLE: &str = "LIBBPF_BPF_TOKEN_PATH";

/// The reason of an empty variable.
const DISABLED: &str = "the environment variable LIBBPF_BPF_TOKEN_PATH is empty, which disables BPF tokens";

/// The usual path.
const USUAL: &str = "/sys/fs/bpf";

/// A BPF token: a file descriptor with rights of bpf(2) that a privileged process has delegated to this process's user
/// namespace. Linux 6.9 (`kernel/bpf/token.c`).
///
/// [`Object::load`](crate::Object::load) creates a token itself if the kernel refuses a request in a user namespace, so
/// most callers need no `BpfToken`. It uses the BPF file system at the path in the environment variable
/// `LIBBPF_BPF_TOKEN_PATH`, otherwise `/sys/fs/bpf`. If the variable is empty, it creates none. To use another token,
/// pass it to [`LoadOptions::token`](crate::LoadOptions::token).
///
/// The token gives rights to create maps and to load programs and BTF. The process also needs the capabilities
/// (`CAP_BPF`, and `CAP_PERFMON` or `CAP_NET_ADMIN`) in its user namespace. To attach, a process needs no further
/// capability for `uprobe.multi`, `raw_tracepoint`, `tp_btf`, `fentry`, `tcx`, `xdp`, socket and cgroup programs. Perf
/// events (`kprobe`, `uprobe`, `tracepoint`, perf buffers) need capabilities that no token gives, unless
/// `kernel.perf_event_paranoid` allows them to every process.
///
/// `Send` and `Sync`.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cutaway::{BpfToken, LoadOptions, Object};
///
/// let token = BpfToken::from_bpffs("/run/delegated")?;
/// println!("delegated: {}", token.delegation()?);
/// let mut options = LoadOptions::new();
/// options.token(&token);
/// let loaded = Object::parse(&std::fs::read("probes.o")?)?.load_with(&options)?;
/// # Ok(())
/// # }
/// ```
#[doc(alias("BPF_TOKEN_CREATE", "bpf_token_create", "bpf_token_path", "BPF_F_TOKEN_FD"))]
#[derive(Debug)]
pub struct BpfToken {
    fd: OwnedFd,
    /// The BPF file system; `None` if only the fd is known.
    bpffs: Option<PathBuf>,
}

impl BpfToken {
    /// Creates a token from the BPF file system that is mounted at `path`, with options that delegate something.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] with the errno of open(2) or bpf(2):
    ///
    /// - ENOENT if there is no such directory, or nothing is delegated;
    /// - EINVAL if it is not the root directory of a BPF file system, or before Linux 6.9;
    /// - EPERM if it belongs to another user namespace, or this process lacks `CAP_BPF` in its own;
    /// - EOPNOTSUPP in the initial user namespace, where the capabilities themselves count.
    pub fn from_bpffs(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::create(path).map_err(|(error, why)| {
            let plain = Error::kernel(format!("create a BPF token from {}", path.display()), &error);
            match why {
                Some(why) => plain.advise(why),
                None => plain,
            }
        })
    }

    /// Takes a token that another process has created, for example one that it has sent by `SCM_RIGHTS`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the file descriptor is not a token. Without `/proc` this is not checked; the kernel then
    /// refuses each request with EINVAL.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        match fdinfo(fd.as_fd()) {
            Ok(text) if Delegation::of_fdinfo(&text).is_none() => Err(Error::Invalid {
                operation: format!("use the file descriptor {} as a BPF token", fd.as_raw_fd()),
                why: "it is not one".to_owned(),
            }),
            _ => Ok(Self { fd, bpffs: None }),
        }
    }

    /// Returns what the token delegates.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] or [`Error::Invalid`] if `/proc/self/fdinfo` cannot be read; from Linux 6.17 on, a token from
    /// [`BpfToken::from_bpffs`] does not need `/proc`.
    #[doc(alias("BPF_OBJ_GET_INFO_BY_FD", "bpf_token_info"))]
    pub fn delegation(&self) -> Result<Delegation, Error> {
        // The command takes every kind of fd, so it says nothing about an fd that may not be a token.
        if self.bpffs.is_some()
            && let Ok(info) = token::info(self.as_fd(), "reads what the token delegates; before 6.17 EINVAL")
        {
            return Ok(info.into());
        }
        let operation = || format!("read what {self} delegates");
        let text = fdinfo(self.as_fd()).map_err(|error| Error::kernel(operation(), &error))?;
        Delegation::of_fdinfo(&text).ok_or_else(|| Error::Invalid {
            operation: operation(),
            why: "/proc/self/fdinfo does not have it".to_owned(),
        })
    }

    /// Creates the token that a load creates by itself if it needs one: from the path in the environment variable
    /// `LIBBPF_BPF_TOKEN_PATH`, otherwise from `/sys/fs/bpf`.
    ///
    /// # Errors
    ///
    /// As [`BpfToken::from_bpffs`]; [`Error::Invalid`] if the variable is empty, which forbids to use a token.
    #[doc(alias = "LIBBPF_BPF_TOKEN_PATH")]
    pub fn from_env() -> Result<Self, Error> {
        match Place::of_env() {
            Some(place) => Self::from_bpffs(&place.path),
            None => Err(Error::Invalid { operation: "create a BPF token".to_owned(), why: DISABLED.to_owned() }),
        }
    }

    /// Returns whether this process needs a token to create maps and load programs: whether it is in another user
    /// namespace than the initial one. Returns true if that is unknown, because `/proc` is not mounted.
    #[must_use]
    pub fn is_needed() -> bool {
        const PATH: &str = "/proc/self/ns/user";
        /// `PROC_USER_INIT_INO` (`include/linux/proc_ns.h`).
        const INITIAL: &str = "user:[4026531837]";
        let target = fs::read_link(PATH);
        report!("readlink", &outcome(&target, |target| target.as_os_str().len() as i64),
            "only processes in other user namespaces than the initial one need BPF tokens"; "pathname" = PATH);
        target.map_or(true, |target| target != Path::new(INITIAL))
    }

    /// Creates the token of [`BpfToken::from_env`]. Returns why there is none as the error.
    pub(super) fn automatic() -> Result<Self, String> {
        let Some(Place { path, from }) = Place::of_env() else { return Err(DISABLED.to_owned()) };
        Self::create(&path).map_err(|(error, why)| {
            let why = why.map_or_else(|| Errno::of(&error).to_string(), str::to_owned);
            format!("{}{from} gives none, because {why}", path.display())
        })
    }

    fn create(path: &Path) -> Result<Self, (io::Error, Option<&'static str>)> {
        let opened = file::open_without_waiting(path, "opens a BPF file system, which may delegate rights by a token");
        let directory = opened.map_err(|error| {
            let why = match error.raw_os_error() {
                Some(libc::ENOENT) => Some("there is no such directory"),
                Some(libc::EACCES) => Some("this process may not open the directory"),
                _ => None,
            };
            (error, why)
        })?;
        match token::create(directory.as_fd(), "creates a token, which gives the rights that were delegated") {
            Ok(fd) => Ok(Self { fd, bpffs: Some(path.to_owned()) }),
            Err(error) => {
                let why = match error.raw_os_error() {
                    Some(libc::ENOENT) => Some("it is mounted without delegation"),
                    Some(libc::EINVAL) => Some(match token::is_bpffs(directory.as_fd()) {
                        Ok(false) => "it is not a BPF file system",
                        _ => "it is not the root directory of a BPF file system, or the kernel is older than 6.9",
                    }),
                    Some(libc::EPERM) => Some(
                        "the BPF file system belongs to another user namespace, or this process lacks CAP_BPF in its \
                         own",
                    ),
                    Some(libc::EOPNOTSUPP) => {
                        Some("this process is in the initial user namespace, where capabilities suffice")
                    }
                    _ => None,
                };
                Err((error, why))
            }
        }
    }
}

/// Where a token is searched.
struct Place {
    path: PathBuf,
    /// Where the path is from, for errors.
    from: &'static str,
}

impl Place {
    /// Returns the path in the environment, or the usual one; `None` if tokens are disabled.
    fn of_env() -> Option<Self> {
        match env::var_os(VARIABLE) {
            Some(path) if path.is_empty() => None,
            Some(path) => {
                Some(Self { path: path.into(), from: " (from the environment variable LIBBPF_BPF_TOKEN_PATH)" })
            }
            None => Some(Self { path: PathBuf::from(USUAL), from: "" }),
        }
    }
}

/// Reads the kernel's description of an open fd.
fn fdinfo(fd: BorrowedFd<'_>) -> io::Result<String> {
    let path = PathBuf::from(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
    file::text(&path, "reads what the token delegates")
}

impl AsFd for BpfToken {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<BpfToken> for OwnedFd {
    fn from(token: BpfToken) -> Self {
        token.fd
    }
}

/// Displays the token as it is named in errors.
impl fmt::Display for BpfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bpffs {
            Some(path) => write!(f, "the token at {}", path.display()),
            None => write!(f, "the token with the fd {}", self.fd.as_raw_fd()),
        }
    }
}
