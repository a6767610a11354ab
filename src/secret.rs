//! Text that must never be printed: tokens and passwords. It can be read only by asking for it by
//! name (`expose`), and its `Debug` says nothing.

use std::fmt;

/// A secret string. Not `Display`, not `Serialize`; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of the secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for verification and for the one peer that must receive it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_nothing() {
        assert!(!format!("{:?}", Secret::new("eyJhbGciOi")).contains("eyJ"));
    }
}
