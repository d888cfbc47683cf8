//! The list of modules in a guest, which process 1 loads in its order before it reports that it is ready. So a saved
//! guest has its modules.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::initramfs::Tree;

/// The list's path in the guest.
pub(super) const LIST: &str = "/cutaway-vm/modules.json";

/// A module to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// Its file in the guest.
    pub(crate) path: String,
    pub(crate) parameters: String,
}

pub(super) fn write(list: &[Listed], tree: &mut Tree) -> Result<()> {
    let text = serde_json::to_vec(list).map_err(|error| Error::file("write", LIST)(error.into()))?;
    tree.write(LIST, text);
    Ok(())
}

/// Reads the list in a guest; an empty one if no module was requested.
///
/// # Errors
/// If the list is there but cannot be read.
pub(crate) fn load_list() -> std::io::Result<Vec<Listed>> {
    match std::fs::read(LIST) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
