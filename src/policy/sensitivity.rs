//! The four labels a column can carry, lowest first. This file orders and spells them; which column
//! carries which is [`super::labels`]'s.

use std::fmt;

/// How sensitive a column is. The order is the meaning: a clearance reads what is not above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sensitivity {
    /// Anybody who may read the table may read it.
    Public,
    /// For use inside the house.
    Internal,
    /// For those who need it.
    Confidential,
    /// For nobody, unless a grant says so. What has no label is this.
    Restricted,
}

impl Sensitivity {
    /// All four, lowest first.
    pub const ALL: [Self; 4] = [
        Self::Public,
        Self::Internal,
        Self::Confidential,
        Self::Restricted,
    ];

    /// The word policies and tokens use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }

    /// The sensitivity of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ordered_and_spelled() {
        assert!(Sensitivity::Public < Sensitivity::Internal);
        assert!(Sensitivity::Internal < Sensitivity::Confidential);
        assert!(Sensitivity::Confidential < Sensitivity::Restricted);
        for one in Sensitivity::ALL {
            assert_eq!(Sensitivity::from_word(one.word()), Some(one));
        }
        assert_eq!(Sensitivity::from_word("Public"), None);
    }
}
