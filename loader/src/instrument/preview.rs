//! Lists the insertions of a dry run, which creates no map: [`DryRun`](crate::DryRun).

use cutaway_sys::Instruction;

use super::{
    coverage::{self, Marks},
    insertions::Insertions,
    losses::{self, Form, Sites},
};
use crate::{Error, Object, link::Linked, resolve::Resolved};

/// Instructions that loading inserts into a linked program: see [`Object::count_losses`] and [`Object::cover`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Insertion {
    /// The slot in the linked program of the instruction that they belong to.
    pub slot: usize,
    /// True if they run before this instruction, also when a jump leads to it. False if they run after it, unless it
    /// jumps.
    pub before: bool,
    /// The instructions.
    pub instructions: Vec<Instruction>,
}

/// The insertions of a dry run. The maps for the counts have placeholder fds, as the object's maps have.
pub(crate) struct Preview {
    sites: Option<(Sites, i32)>,
    marks: Option<(Marks, i32)>,
    /// The names of the maps for the counts, in the order of their placeholder fds.
    pub(crate) maps: Vec<&'static str>,
}

impl Preview {
    /// Finds what the object asks to insert. `fd` is the first free placeholder fd.
    pub(crate) fn of(object: &Object, resolved: &Resolved, mut fd: i32) -> Result<Self, Error> {
        let mut maps = Vec::new();
        let mut new = |name| {
            maps.push(name);
            fd += 1;
            fd - 1
        };
        let sites = object.instruments.losses.then(|| Sites::of(object, resolved)).transpose()?;
        let sites = sites.filter(|sites| sites.len() > 0).map(|sites| (sites, new(losses::NAME)));
        let marks = object.instruments.coverage.then(|| (Marks::of(object), new(coverage::NAME)));
        Ok(Self { sites, marks, maps })
    }

    /// Returns the insertions of a linked program, ascending by slot. The errors are those of [`Insertions::apply`].
    pub(crate) fn insertions(&self, linked: &Linked) -> Result<Vec<Insertion>, Error> {
        let mut insertions = Insertions::default();
        if let Some((sites, fd)) = &self.sites {
            losses::insert(sites, linked, *fd, Form::Number, &mut insertions)?;
        }
        if let Some((marks, fd)) = &self.marks {
            marks.insert(linked, *fd, true, &mut insertions)?;
        }
        let list =
            insertions.iter().map(|(slot, before, code)| Insertion { slot, before, instructions: code.to_vec() });
        Ok(list.collect())
    }
}
