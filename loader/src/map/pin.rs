//! Pinned maps: a name in a BPF file system keeps a map alive and lets other processes find it.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use log::warn;

use super::{Map, create::corrected};
use crate::{Errno, Error, MapFlags, MapSpec, MapType, Pinning, pin, resolve::struct_ops::Fitted};

impl Map {
    /// Creates the map that `spec` describes. If it is to be pinned by name and such a pin is there, opens that one; if
    /// there is none, pins the map and adds the pin to `new_pins`.
    pub(crate) fn make(
        spec: &MapSpec,
        struct_ops: Option<&Fitted>,
        pins: &Path,
        btf: Option<BorrowedFd<'_>>,
        new_pins: &mut NewPins,
    ) -> Result<Self, Error> {
        /// Of a race with processes that pin and unpin there. A symbolic link that leads nowhere looks like one for
        /// ever.
        const ROUNDS: u32 = 100;
        if spec.pinning == Pinning::None {
            return Self::create(spec, struct_ops, btf);
        }
        // A name that came with the object must not lead out of the directory.
        if spec.name.contains('/') {
            return Err(Error::Invalid {
                operation: format!("pin the map `{}` by its name", spec.name),
                why: "a file's name holds no slash".to_owned(),
            });
        }
        let path = pins.join(&spec.name);
        let (mut created, mut round) = (None, 1);
        loop {
            match pin::open(&path, "looks for a map that was pinned before") {
                Ok(map) => {
                    let map = Self::wrap(spec.name.clone(), map)?;
                    map.must_fit(spec, &path)?;
                    return Ok(map);
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(pin::failed(format!("reuse the pinned map {}", path.display()), &error)),
            }
            let map = match created.take() {
                Some(map) => map,
                None => Self::create(spec, struct_ops, btf)?,
            };
            match pin::pin(map.as_fd(), &path, PINS) {
                // Another process has just pinned its map there: use that one.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) && round < ROUNDS => {
                    (created, round) = (Some(map), round + 1);
                }
                Err(error) => return Err(map.not_pinned(&path, &error)),
                Ok(()) => {
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
    /// [`Error::Syscall`]: ENOENT if nothing is pinned there, EPERM without privileges or if it is no map.
    #[doc(alias("BPF_OBJ_GET", "bpf_obj_get"))]
    pub fn from_pin(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let map = pin::open(path, "opens a pinned map")
            .map_err(|error| pin::failed(format!("open the map pinned at {}", path.display()), &error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::wrap(name, map)
    }

    /// Pins the map at `path`: it lives as long as that file, and other processes find it there.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EEXIST if there is such a file, EPERM or EINVAL if the directory is in no BPF
    /// file system.
    #[doc(alias("BPF_OBJ_PIN", "bpf_map__pin"))]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        pin::pin(self.as_fd(), path, PINS).map_err(|error| self.not_pinned(path, &error))
    }

    fn not_pinned(&self, path: &Path, error: &io::Error) -> Error {
        pin::failed(format!("pin the map `{}` at {}", self.name(), path.display()), error)
    }

    /// Checks every part of the description: a map of another one would give nonsense without an error.
    fn must_fit(&self, spec: &MapSpec, path: &Path) -> Result<(), Error> {
        let (info, attr) = (self.elements.info(), corrected(spec)?);
        // The kernel adds this flag by itself.
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

/// The pins that one load has made. They are removed when this is dropped, unless the load succeeds
/// ([`NewPins::keep`]).
#[derive(Debug, Default)]
pub(crate) struct NewPins(Vec<PathBuf>);

impl NewPins {
    /// Lets the pins stay.
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

const PINS: &str = "gives the map a name that outlives this process";
