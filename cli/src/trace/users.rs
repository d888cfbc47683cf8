//! Users, for `--uid`: by id, or by name.

use uzers::get_user_by_name;

/// Returns the id of a user. A name is looked up as the system does: in /etc/passwd, and with glibc also in the other
/// databases of nsswitch.conf(5).
pub(crate) fn id(user: &str) -> Result<u32, String> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    if user.is_empty() || user.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("must be the name of a user, or a user id from 0 to {}", u32::MAX));
    }
    // A name with a NUL would be cut there.
    let known = if user.contains('\0') { None } else { get_user_by_name(user) };
    known.map(|known| known.uid()).ok_or_else(|| "no user has this name; name a user, or give the user id".to_owned())
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn user_is_a_name_or_an_id() {
        assert_eq!((id("0"), id("4294967295"), id("root")), (Ok(0), Ok(u32::MAX), Ok(0)));
        for (text, why) in
            [("no-such-user", "no user has this name"), ("root\0", "no user"), ("4294967296", "from 0 to")]
        {
            assert!(id(text).unwrap_err().contains(why), "{text:?}");
        }
        assert!(id("").is_err() && id("-1").is_err());
    }
}
