//! Links of several programs, as [`Loaded::attach`](crate::Loaded::attach) returns them.

use std::{sync::Mutex, thread};

use super::link::{Link, Stack};
use crate::Skipped;

/// The maximum number of threads that detach at a time.
const THREADS: usize = 16;

/// Links that are dropped in the reverse order of their creation: the last program attached is detached first.
/// [`Links::detach_together`] is faster where the order does not matter.
///
/// The order matters if a program on a function's return relies on state that the program on its entry has stored. Such
/// a program is attached after the entry's program, and must be detached before it.
///
/// `Send` and `Sync`.
#[doc(alias = "bpf_object_skeleton")]
#[must_use = "dropping links detaches the programs"]
#[derive(Debug, Default)]
pub struct Links {
    links: Stack,
    skipped: Vec<Skipped>,
}

impl Links {
    /// Adds a link, which will be dropped before all others.
    pub fn push(&mut self, link: Link) {
        self.links.0.push(link);
    }

    /// Returns the links in the order of their creation.
    pub fn iter(&self) -> std::slice::Iter<'_, Link> {
        self.links.0.iter()
    }

    /// Returns the links in the order of their creation, for methods that change a link ([`Link::update`]).
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Link> {
        self.links.0.iter_mut()
    }

    /// Returns the programs and maps that [`Loaded::attach`](crate::Loaded::attach) did not attach, each with the
    /// reason.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let loaded = cutaway::Object::parse(&[])?.load()?;
    /// let links = loaded.attach()?;
    /// for skipped in links.skipped() {
    ///     eprintln!("not attached: {skipped}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    pub(crate) fn skip(&mut self, skipped: Skipped) {
        self.skipped.push(skipped);
    }

    /// Returns the links in the order of their creation, and what is not attached.
    pub(super) fn into_parts(mut self) -> (Vec<Link>, Vec<Skipped>) {
        (std::mem::take(&mut self.links.0), self.skipped)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.links.0.is_empty()
    }

    /// Adds the links of `other`, which will be dropped before all others.
    pub fn append(&mut self, mut other: Self) {
        self.links.0.append(&mut other.links.0);
        self.skipped.append(&mut other.skipped);
    }

    /// Detaches all programs at the same time, on up to 16 threads. Returns when all are detached.
    ///
    /// The kernel detaches most programs of probes and tracepoints only after a grace period of RCU, some ten
    /// milliseconds. Dropping the links waits for one period after the other; here the periods overlap. In return, the
    /// order in which the programs are detached is not specified: a program on a function's return may still run when
    /// the program on its entry no longer does.
    pub fn detach_together(mut self) {
        let links = std::mem::take(&mut self.links.0);
        let threads = links.len().min(THREADS);
        let links = Mutex::new(links);
        let detach = || {
            // The lock is not held while a link is dropped.
            let next = || links.lock().ok()?.pop();
            while let Some(link) = next() {
                drop(link);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                // Without another thread, this one detaches what is left.
                let thread = thread::Builder::new().name("detach".to_owned());
                if thread.spawn_scoped(scope, detach).is_err() {
                    break;
                }
            }
            detach();
        });
    }

    /// Leaves all programs attached until the process ends, or longer where the kernel has no link ([`Link::forget`]).
    pub fn forget(mut self) {
        self.links.0.drain(..).for_each(Link::forget);
    }
}

impl<'l> IntoIterator for &'l Links {
    type Item = &'l Link;
    type IntoIter = std::slice::Iter<'l, Link>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'l> IntoIterator for &'l mut Links {
    type Item = &'l mut Link;
    type IntoIter = std::slice::IterMut<'l, Link>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl FromIterator<Link> for Links {
    fn from_iter<I: IntoIterator<Item = Link>>(links: I) -> Self {
        Self { links: links.into_iter().collect(), skipped: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, sync::Condvar, time::Duration};

    use super::super::detach::Detach;
    use super::*;

    /// Takes until two of its kind are dropped at the same time, or half a minute.
    #[derive(Debug)]
    struct Waits(Arc<(Mutex<u32>, Condvar)>);

    impl Detach for Waits {}

    impl Drop for Waits {
        fn drop(&mut self) {
            let (count, changed) = &*self.0;
            let mut count = count.lock().unwrap();
            *count += 1;
            changed.notify_all();
            let both = changed.wait_timeout_while(count, Duration::from_secs(30), |count| *count < 2).unwrap();
            assert!(!both.1.timed_out(), "the other link is not dropped meanwhile");
        }
    }

    #[test]
    fn links_are_dropped_at_the_same_time() {
        let met = Arc::new((Mutex::new(0), Condvar::new()));
        let link = || Link::map_by_call("a map", Waits(Arc::clone(&met)));
        [link(), link()].into_iter().collect::<Links>().detach_together();
        assert_eq!(*met.0.lock().unwrap(), 2);
    }
}
