//! Compiles the types of each object of `tests/corpus`, without a warning.
#![deny(warnings)]

mod every {
    include!(concat!(env!("OUT_DIR"), "/every.rs"));
}

fn main() {
    println!("{} modules", every::COUNT);
}
