//! What a whole object is like, and who accepts it.

mod sample;

#[test]
fn the_same_object_gives_the_same_bytes() {
    let bytes = sample::object().write().unwrap();
    assert_eq!(bytes, sample::object().write().unwrap());
    assert_eq!(bytes[..4], *b"\x7fELF");
}
