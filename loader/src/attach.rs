//! Attaching: a program starts to run when something happens.

pub(crate) mod library;
mod link;
pub(crate) mod symbol;
mod tracepoint;
mod uprobe;

pub use link::{Link, Links};
pub use tracepoint::Tracepoint;
pub use uprobe::Uprobe;

use crate::{Error, Program, object::Target};

impl Program {
    /// Attaches the program where its section's name says.
    ///
    /// # Errors
    ///
    /// [`Error::Unfit`] if the name does not say where, or names a place that this loader cannot attach to;
    /// otherwise as [`Uprobe::attach`] and [`Tracepoint::attach`].
    pub fn attach(&self) -> Result<Link, Error> {
        match &self.spec().section.target {
            Some(Target::Uprobe { library, symbol, offset, on_return }) => {
                Uprobe::new(library, symbol).offset(*offset).on_return(*on_return).attach(self)
            }
            Some(Target::Tracepoint { category, name }) => Tracepoint::new(category, name).attach(self),
            Some(_) => Err(self.unattachable("this loader cannot attach programs of this kind")),
            None => Err(self.unattachable("its name does not say where: attach the program by hand")),
        }
    }

    fn unattachable(&self, why: &str) -> Error {
        Error::Unfit {
            attempt: format!("attach the program `{}` by its section `{}`", self.name(), self.spec().section_name),
            why: why.to_owned(),
        }
    }
}
