//! What holds for all calls.

use super::*;
use crate::Error;

#[test]
fn no_name_is_magic_to_validation() {
    for token in ["Number", "RawValue"] {
        for value in ["\"12\"", "12", "\"x\"", "null"] {
            assert!(validate(format!(r#"{{"$serde_json::private::{token}":{value}}}"#).as_bytes()).is_ok());
        }
    }
}

#[test]
fn every_call_refuses_what_is_no_document() {
    assert!(matches!(validate(b"{"), Err(Error::NotJson { .. })));
    assert!(matches!(pointer(b"{", ""), Err(Error::NotJson { .. })));
    assert!(matches!(merge_patch(b"{", b"{}"), Err(Error::NotJson { .. })));
    assert!(matches!(merge_patch(b"{}", b"{"), Err(Error::NotJson { .. })));
    let deep = "[".repeat(10 << 20);
    assert!(matches!(validate(deep.as_bytes()), Err(Error::TooLarge { .. })));
    assert!(matches!(pointer(deep.as_bytes(), "/0"), Err(Error::TooLarge { .. })));
    assert!(matches!(merge_patch(deep.as_bytes(), b"{}"), Err(Error::TooLarge { .. })));
    assert!(matches!(merge_patch(b"{}", deep.as_bytes()), Err(Error::TooLarge { .. })));
}
