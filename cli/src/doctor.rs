//! `cutaway doctor`
use crate::{Format, failure::Failure};
use clap::Args;
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}
pub(crate) fn run(_: &Arguments) -> Result<(), Failure> {
    Ok(())
}
