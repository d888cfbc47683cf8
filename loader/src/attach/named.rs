//! Links of an object's programs by the programs' names.

use super::link::Link;
use crate::{Error, Loaded, Skipped};

/// Links with the names of their programs and `struct_ops` maps, as [`Loaded::attach_named`] returns them. They are
/// dropped in the reverse order of their creation: the last program attached is detached first.
///
/// `Send` and `Sync`.
#[doc(alias = "bpf_object_skeleton")]
#[must_use = "dropping links detaches the programs"]
#[derive(Debug, Default)]
pub struct NamedLinks {
    links: Vec<(String, Link)>,
    skipped: Vec<Skipped>,
}

impl NamedLinks {
    /// Returns the link of a program, or of a `struct_ops` map; `None` if it is not attached.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|(known, _)| known == name).map(|(_, link)| link)
    }

    /// Returns the link of a program for methods that change it ([`Link::update`]); `None` if it is not attached.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Link> {
        self.links.iter_mut().find(|(known, _)| known == name).map(|(_, link)| link)
    }

    /// Removes a link and returns it. Dropping it detaches the program; `None` if the program is not attached.
    pub fn take(&mut self, name: &str) -> Option<Link> {
        let index = self.links.iter().position(|(known, _)| known == name)?;
        Some(self.links.remove(index).1)
    }

    /// Adds a link, which will be dropped before all others. A link with the same name stays, and is found first.
    pub fn push(&mut self, name: impl Into<String>, link: Link) {
        self.links.push((name.into(), link));
    }

    /// Returns the links with their names, in the order of their creation.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Link)> {
        self.links.iter().map(|(name, link)| (name.as_str(), link))
    }

    /// Returns the links with their names, in the order of their creation, for methods that change a link
    /// ([`Link::update`]).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Link)> {
        self.links.iter_mut().map(|(name, link)| (name.as_str(), link))
    }

    /// Returns the programs and maps that are not attached, each with the reason, as [`Links::skipped`] does.
    ///
    /// [`Links::skipped`]: crate::Links::skipped
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Leaves all programs attached until the process ends, or longer where the kernel has no link ([`Link::forget`]).
    pub fn forget(mut self) {
        self.links.drain(..).for_each(|(_, link)| link.forget());
    }
}

impl Drop for NamedLinks {
    fn drop(&mut self) {
        while let Some(last) = self.links.pop() {
            drop(last);
        }
    }
}

impl Loaded {
    /// Attaches as [`Loaded::attach`] does, and returns the links with the names of their programs and `struct_ops`
    /// maps.
    ///
    /// # Errors
    ///
    /// As [`Loaded::attach`].
    #[doc(alias = "bpf_object__attach_skeleton")]
    pub fn attach_named(&self) -> Result<NamedLinks, Error> {
        let (links, skipped) = self.attach()?.into_parts();
        // `attach` made a link for each of these, in this order.
        let programs = self.programs().filter(|program| program.manual_attach_reason().is_none());
        let programs = programs.map(|program| program.name().to_owned());
        #[cfg(feature = "struct-ops")]
        let maps = self.maps().filter(|map| map.struct_ops_value().is_some()).map(|map| map.name().to_owned());
        #[cfg(not(feature = "struct-ops"))]
        let maps = std::iter::empty();
        let names: Vec<String> = programs.chain(maps).collect();
        if names.len() != links.len() {
            return Err(Error::bug("not every link has a program"));
        }
        Ok(NamedLinks { links: names.into_iter().zip(links).collect(), skipped })
    }
}
