//! Needs a kernel and privileges: see `support`.

fn main() {}
