//! Compares the public API of each library with its file `api.txt`.

use libtest_mimic::{Arguments, Completion, Trial};
use xtask::{api, tools::Outcome};

fn main() {
    let compare = || match api::compare() {
        Ok(Outcome::Done) => Ok(Completion::Completed),
        Ok(Outcome::Skipped(why)) => Ok(Completion::ignored_with(why)),
        Err(why) => Err(why.into()),
    };
    let tests = vec![Trial::ignorable_test("public_api_is_the_listed_one", compare)];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}
