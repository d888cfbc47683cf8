//! Pinned maps: a path in a BPF file system keeps a map alive and lets other processes open it.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use log::warn;

use super::{
    Map,
    create::{Given, corrected},
    fdinfo::check_is_map,
};
use crate::{Errno, Error, MapFlags, MapSpec, MapType, Pinning, pin, resolve::struct_ops::Fitted, token::Tokens};

impl Map {
    /// Returns the map that `spec` describes. A map to be pinned by name is opened if its pin exists; otherwise it is
    /// created and pinned, and the pin is added to `new_pins`.
    pub(crate) fn make(
        spec: &MapSpec,
        struct_ops: Option<&Fitted>,
        pins: &Path,
        btf: Option<BorrowedFd<'_>>,
        tokens: &Tokens<'_>,
        new_pins: &mut NewPins,
    ) -> Result<Self, Error> {
        /// Rounds of a race with processes that pin and unpin at the same path. A dangling symbolic link looks like
        /// such a race forever.
        const ROUNDS: u32 = 100;
        let create = || Self::create_as(spec, struct_ops, btf, Given::default(), tokens);
        #[cfg(feature = "maps")]
        let own = spec.pin_path.clone();
        #[cfg(not(feature = "maps"))]
        let own = None;
        let path = match own {
            Some(path) => path,
            None if spec.pinning == Pinning::None => return create(),
            // A name from the object must not lead out of the directory.
            None if spec.name.contains('/') => {
                return Err(Error::Invalid {
                    operation: format!("pin the map `{}` by its name", spec.name),
                    why: "a file name cannot contain a slash".to_owned(),
                });
            }
            None => pins.join(&spec.name),
        };
        let (mut created, mut round) = (None, 1);
        loop {
            match pin::open(&path, "opens an existing pin of the map") {
                Ok(map) => {
                    let attempt = || format!("use the pinned map {} as `{}`", path.display(), spec.name);
                    if cfg!(feature = "advice") {
                        check_is_map(map.as_fd(), attempt)?;
                    }
                    let map = Self::wrap(spec.name.clone(), map)?;
                    map.check_matches(spec, &path)?;
                    return Ok(map.pinned_at(&path));
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(pin::failed(format!("reuse the pinned map {}", path.display()), &error)),
            }
            let map = match created.take() {
                Some(map) => map,
                None => create()?,
            };
            match pin::pin(map.as_fd(), &path, PINS) {
                // Another process has just pinned its map there: use that one.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) && round < ROUNDS => {
                    (created, round) = (Some(map), round + 1);
                }
                Err(error) => return Err(map.not_pinned(&path, &error)),
                Ok(()) => {
                    let map = map.pinned_at(&path);
                    new_pins.0.push(path);
                    return Ok(map);
                }
            }
        }
    }

    /// Opens the map that is pinned at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: ENOENT if nothing is pinned there, EPERM without privileges. [`Error::Invalid`] if a program
    /// or a link is pinned there.
    #[doc(alias("BPF_OBJ_GET", "bpf_obj_get"))]
    pub fn from_pin(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let map = pin::open(path, "opens a pinned map")
            .map_err(|error| pin::failed(format!("open the map pinned at {}", path.display()), &error))?;
        check_is_map(map.as_fd(), || format!("open the map pinned at {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self::wrap(name, map)?.pinned_at(path))
    }

    /// Remembers where the map is pinned.
    #[cfg_attr(not(feature = "maps"), expect(unused_mut, unused_variables, reason = "only that feature needs it"))]
    pub(super) fn pinned_at(mut self, path: &Path) -> Self {
        #[cfg(feature = "maps")]
        {
            self.pin_path = Some(path.to_owned());
        }
        self
    }

    /// Returns the path at which the map was pinned when it was loaded ([`MapSpec::pinning`], [`MapSpec::pin_path`]) or
    /// opened ([`Map::from_pin`]). It is not known whether the pin still exists. `None` for a map that was created
    /// without a pin, even if [`Map::pin`] has pinned it since.
    ///
    /// Needs this crate's feature `maps`.
    #[cfg(feature = "maps")]
    #[doc(alias("bpf_map__pin_path", "bpf_map__get_pin_path", "bpf_map__is_pinned"))]
    #[must_use]
    pub fn pin_path(&self) -> Option<&Path> {
        self.pin_path.as_deref()
    }

    /// Removes the pin of this map at `path`. The map exists until its other pins, fds and programs are gone. Returns
    /// false if nothing is there.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if something else than this map is pinned there (which is not removed); [`Error::Syscall`]:
    /// EPERM or EACCES without the right to open or remove the pin, EINVAL if `path` is not in a BPF file system.
    #[doc(alias = "bpf_map__unpin")]
    pub fn unpin(&self, path: impl AsRef<Path>) -> Result<bool, Error> {
        let path = path.as_ref();
        let attempt = || format!("remove the pin {} of the map `{}`", path.display(), self.name());
        let there = match pin::open(path, "opens the pin, to see whether it is of this map") {
            Ok(there) => there,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
            Err(error) => return Err(pin::failed(attempt(), &error)),
        };
        check_is_map(there.as_fd(), attempt)?;
        let id = Self::wrap(String::new(), there)?.id();
        if id != self.id() {
            let why =
                format!("another map is pinned there: its id is {id}, and that of `{}` is {}", self.name(), self.id());
            return Err(Error::Invalid { operation: attempt(), why });
        }
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(pin::failed(attempt(), &error)),
        }
    }

    /// Pins the map at `path`: it exists as long as that file, and other processes can open it there.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EEXIST if the file exists, EPERM or EINVAL if the directory is not in a BPF file system.
    #[doc(alias("BPF_OBJ_PIN", "bpf_map__pin"))]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        pin::pin(self.as_fd(), path, PINS).map_err(|error| self.not_pinned(path, &error))
    }

    fn not_pinned(&self, path: &Path, error: &io::Error) -> Error {
        pin::failed(format!("pin the map `{}` at {}", self.name(), path.display()), error)
    }

    /// Checks the whole description: a map of another layout would yield wrong data without an error.
    fn check_matches(&self, spec: &MapSpec, path: &Path) -> Result<(), Error> {
        let (info, attr) = (self.elements.info(), corrected(spec)?);
        // The kernel adds this flag itself.
        let added = if spec.map_type == MapType::DEVMAP { MapFlags::RDONLY_PROG.bits() } else { 0 };
        let parts = [
            ("the map type", info.map_type.0.into(), attr.map_type.0.into()),
            ("the key size", info.key_size.into(), attr.key_size.into()),
            ("the value size", info.value_size.into(), attr.value_size.into()),
            ("max_entries", info.max_entries.into(), attr.max_entries.into()),
            ("map_flags", (info.map_flags & !added).into(), (attr.map_flags.0 & !added).into()),
            ("map_extra", info.map_extra, attr.map_extra),
        ];
        match parts.into_iter().find(|(_, there, described)| there != described) {
            None => Ok(()),
            Some((part, there, described)) => Err(Error::Invalid {
                operation: format!("use the pinned map {} as `{}`", path.display(), spec.name),
                why: format!(
                    "{part} there is {there}, and the object says {described}; remove the pin, or pin elsewhere"
                ),
            }),
        }
    }
}

/// The pins that one load has created. They are removed when this is dropped, unless the load succeeds
/// ([`NewPins::keep`]).
#[derive(Debug, Default)]
pub(crate) struct NewPins(Vec<PathBuf>);

impl NewPins {
    /// Keeps the pins.
    pub(crate) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewPins {
    fn drop(&mut self) {
        for path in &self.0 {
            if let Err(error) = fs::remove_file(path) {
                warn!("cannot remove the pin {} of a load that failed: {}", path.display(), Errno::of(&error));
            }
        }
    }
}

const PINS: &str = "pins the map, which keeps it alive without this process";
