//! BPF tokens (Linux 6.9): rights of bpf(2) that a privileged process delegates to a user namespace.
//!
//! The capabilities of a user namespace do not count for bpf(2). A privileged process can mount a BPF file system that
//! belongs to a user namespace, with options that delegate commands, map types, program types and attach types. A
//! process in that namespace creates a *token* from the root directory of the file system, and passes the token's fd to
//! `BPF_MAP_CREATE`, `BPF_PROG_LOAD` and `BPF_BTF_LOAD`. The kernel then checks the capabilities in the user namespace
//! instead of the initial one. It ignores a token that does not delegate the request. (`kernel/bpf/token.c`.)
//!
//! ```text
//!     need.rs          what a request needs: capabilities, and a delegation
//!     bpf_token.rs     BpfToken: an fd           delegation.rs    what it delegates
//!     tokens.rs        Tokens: the token of one load, which is created when the kernel refuses a request
//!     disabled.rs      Tokens without the cargo feature `token`: none
//! ```

#[cfg(feature = "token")]
mod bpf_token;
#[cfg(feature = "token")]
mod delegation;
#[cfg(not(feature = "token"))]
mod disabled;
mod need;
#[cfg(feature = "token")]
mod tokens;

#[cfg(not(feature = "token"))]
pub(crate) use self::disabled::{Choice, Tokens, is_refusal};
pub(crate) use self::need::Need;
#[cfg(feature = "token")]
pub(crate) use self::tokens::{Choice, Tokens, is_refusal};
#[cfg(feature = "token")]
pub use self::{bpf_token::BpfToken, delegation::Delegation};
