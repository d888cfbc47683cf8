//! The traced function.

/// The function that is traced.
pub const FUNCTION: &str = "getaddrinfo";
/// The library that defines it.
pub const LIBRARY: &str = "libc.so.6";
