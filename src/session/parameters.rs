//! The parameters of a StartupMessage, sorted out: the token, who and where, and what is left to be
//! set. The token is taken out here and goes no further; nothing is decided about the rest.

use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::wire::{StartupMessage, split_options};

/// The parameter that carries the token (of `options` too).
const TOKEN: &str = "pgward.token";

/// What a client asks for with its StartupMessage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// The delegated token, where it comes this way.
    pub(super) token: Option<Secret>,
    /// The database; none where the client leaves it open.
    pub(super) database: Option<String>,
    /// Settings in the order in which they count: a later one wins. Names are in lower case.
    pub(super) settings: Vec<(String, String)>,
}

impl Parameters {
    /// Sorts the parameters of a message.
    ///
    /// # Errors
    /// 28000 without a user name or with two tokens, and what [`split_options`] refuses.
    pub(super) fn of(message: StartupMessage) -> Result<Self, Refusal> {
        let mut sorted = Self {
            token: None,
            database: None,
            settings: Vec::new(),
        };
        let mut user = false;
        let mut direct = Vec::new();
        // The server applies `options` before the other parameters.
        for (name, value) in message.parameters {
            match name.as_str() {
                // Free text: who acts is said by the token alone.
                "user" => user = !value.is_empty(),
                "database" => sorted.database = Some(value).filter(|name| !name.is_empty()),
                "options" => {
                    for (name, value) in split_options(&value)? {
                        sorted.add(&name, value)?;
                    }
                }
                _ => direct.push((name, value)),
            }
        }
        for (name, value) in direct {
            sorted.add(&name, value)?;
        }
        if !user {
            return Err(Refusal::identity(
                "no PostgreSQL user name specified in startup packet",
            ));
        }
        Ok(sorted)
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        let name = name.to_ascii_lowercase();
        if name != TOKEN {
            self.settings.retain(|(known, _)| *known != name);
            self.settings.push((name, value));
            return Ok(());
        }
        match self.token.replace(Secret::new(value)) {
            None => Ok(()),
            Some(_) => {
                Err(Refusal::identity("two tokens were given")
                    .with_hint("set \"pgward.token\" once"))
            }
        }
    }

    /// The value of a setting.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(parameters: &[(&str, &str)]) -> Result<Parameters, Refusal> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Parameters::of(StartupMessage {
            minor: 0,
            protocol_options: Vec::new(),
            parameters: parameters.iter().map(owned).collect(),
        })
    }

    #[test]
    fn the_token_comes_in_either_place_and_goes_nowhere_else() {
        for parameters in [
            [("user", "u"), ("pgward.token", "t0k3n")],
            [("user", "u"), ("PGWARD.Token", "t0k3n")],
            [("user", "u"), ("options", "-c pgward.token=t0k3n")],
            [("user", "u"), ("options", "--pgward.token=t0k3n")],
        ] {
            let sorted = sorted(&parameters).unwrap();
            assert_eq!(sorted.token, Some(Secret::new("t0k3n")), "{parameters:?}");
            assert!(sorted.settings.is_empty());
            assert!(!format!("{sorted:?}").contains("t0k3n"));
        }
        let twice = [
            ("user", "u"),
            ("pgward.token", "a"),
            ("options", "-cpgward.token=b"),
        ];
        assert_eq!(sorted(&twice).unwrap_err().code.0, "28000");
    }

    #[test]
    fn what_comes_later_wins() {
        let parameters = [
            ("user", "u"),
            ("database", ""),
            ("DateStyle", "ISO"),
            (
                "options",
                "-c datestyle=German -c statement_timeout=1 -c statement-timeout=2",
            ),
        ];
        let sorted = sorted(&parameters).unwrap();
        assert_eq!(sorted.database, None);
        assert_eq!(sorted.setting("datestyle"), Some("ISO"));
        assert_eq!(sorted.setting("statement_timeout"), Some("2"));
        assert_eq!(sorted.setting("timezone"), None);
        assert_eq!(sorted.settings.len(), 2);
    }

    #[test]
    fn a_user_must_be_named() {
        assert_eq!(sorted(&[]).unwrap_err().code.0, "28000");
        assert_eq!(sorted(&[("user", "")]).unwrap_err().code.0, "28000");
        assert_eq!(
            sorted(&[("user", "u"), ("database", "d")])
                .unwrap()
                .database
                .as_deref(),
            Some("d")
        );
    }
}
