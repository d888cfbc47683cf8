//! Pins: names in a bpf file system that keep a map alive and let others find it.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use super::{Map, create::corrected};
use crate::{Errno, Error, MapFlags, MapSpec, MapType, Pinning, resolve::struct_ops::Fitted, sys::bpf};

impl Map {
    /// Makes the map that `spec` describes; if it is to be pinned, takes the one that is there.
    pub(crate) fn make(
        spec: &MapSpec,
        struct_ops: Option<&Fitted>,
        pins: &Path,
        btf: Option<BorrowedFd<'_>>,
    ) -> Result<Self, Error> {
        if spec.pinning == Pinning::None {
            return Self::create(spec, struct_ops, btf);
        }
        // A name that came with the object must not lead out of the folder.
        if spec.name.contains('/') {
            return Err(Error::Unfit {
                attempt: format!("pin the map `{}` by its name", spec.name),
                why: "a file's name holds no slash".to_owned(),
            });
        }
        let path = pins.join(&spec.name);
        loop {
            match bpf::obj_get(&c_path(&path)?, "looks for a map that was pinned before") {
                Ok(map) => {
                    let map = Self::wrap(spec.name.clone(), map)?;
                    map.must_fit(spec, &path)?;
                    return Ok(map);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("take the pinned map", &path, &error)),
            }
            let map = Self::create(spec, struct_ops, btf)?;
            match map.pin_as(&path) {
                // Somebody else was quicker: theirs is the map that everybody has.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                Err(error) => return Err(failed("pin a map as", &path, &error)),
                Ok(()) => return Ok(map),
            }
        }
    }

    /// Opens a pinned map.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`]: ENOENT if nothing is pinned there, EPERM without privileges or if it is no map.
    pub fn from_pin(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let map = bpf::obj_get(&c_path(path)?, "opens a pinned map")
            .map_err(|error| failed("open the pinned map", path, &error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::wrap(name, map)
    }

    /// Pins the map: it lives as long as the file does, and others find it there.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`]: EEXIST if there is such a file, EPERM if the folder is not on a bpf file system.
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        self.pin_as(path).map_err(|error| failed("pin a map as", path, &error))
    }

    fn pin_as(&self, path: &Path) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        bpf::obj_pin(&path, self.as_fd(), "gives the map a name that outlives this process")
    }

    /// A map that is used under another description gives silent nonsense, so every part of it must be the same.
    fn must_fit(&self, spec: &MapSpec, path: &Path) -> Result<(), Error> {
        let (info, attr) = (self.elements.info(), corrected(spec)?);
        // The kernel adds this flag by itself.
        let added = if spec.map_type == MapType::DEVMAP { MapFlags::RDONLY_PROG.bits() } else { 0 };
        let parts = [
            ("the kind", info.map_type.0.into(), attr.map_type.0.into()),
            ("the key size", info.key_size.into(), attr.key_size.into()),
            ("the value size", info.value_size.into(), attr.value_size.into()),
            ("max_entries", info.max_entries.into(), attr.max_entries.into()),
            ("map_flags", (info.map_flags & !added).into(), (attr.map_flags.0 & !added).into()),
            ("map_extra", info.map_extra, attr.map_extra),
        ];
        match parts.into_iter().find(|(_, there, wanted)| there != wanted) {
            None => Ok(()),
            Some((part, there, wanted)) => Err(Error::Unfit {
                attempt: format!("use the pinned map {} as `{}`", path.display(), spec.name),
                why: format!("{part} there is {there}, and the object says {wanted}; remove the pin, or pin elsewhere"),
            }),
        }
    }
}

fn c_path(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::Unfit { attempt: format!("use the path {path:?}"), why: "it holds a NUL byte".to_owned() })
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let plain = Error::kernel(format!("{what} {}", path.display()), error);
    match Errno::of(error).raw() {
        libc::ENOENT => {
            plain.advise("is the folder there, and a bpf file system mounted (mount -t bpf bpf /sys/fs/bpf)?")
        }
        libc::EPERM => plain.advise("is it on a bpf file system, and are you root?"),
        libc::EEXIST => plain.advise("remove that file, or choose another name"),
        _ => plain,
    }
}
