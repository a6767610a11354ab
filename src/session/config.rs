//! What the configuration says about how clients come in: who must use TLS, and how a token is asked
//! for. Validated values; nothing is opened or read here.

use serde::Deserialize;

/// Who must use TLS. The token is a bearer token: whoever reads it in plain text can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsRequired {
    /// Everybody.
    Always,
    /// Everybody but clients on this machine's loopback.
    #[default]
    Remote,
    /// Nobody: the operator vouches for the network.
    Never,
}

impl TlsRequired {
    /// Whether a client may go on in plain text; `loopback` says that it is on this machine.
    pub const fn allows_plain(self, loopback: bool) -> bool {
        match self {
            Self::Always => false,
            Self::Remote => loopback,
            Self::Never => true,
        }
    }
}

/// The `[oauth]` table as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLogin {
    #[serde(default)]
    method: Method,
    openid_configuration: Option<String>,
    #[serde(default)]
    scope: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    #[default]
    Password,
    OAuthBearer,
}

/// How a client is asked for its token when its startup packet has none: the `[oauth]` table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "RawLogin")]
pub enum Login {
    /// As a password, in clear text: every driver can.
    #[default]
    Password,
    /// Through SASL OAUTHBEARER (RFC 7628): libpq 18 can.
    OAuthBearer {
        /// The issuer's metadata document, for clients that have no token yet.
        openid_configuration: String,
        /// The scope that such clients are to ask for.
        scope: String,
    },
}

impl TryFrom<RawLogin> for Login {
    type Error = String;

    fn try_from(raw: RawLogin) -> Result<Self, String> {
        match (raw.method, raw.openid_configuration) {
            (Method::Password, None) if raw.scope.is_empty() => Ok(Self::Password),
            (Method::Password, _) => {
                Err("openid_configuration and scope are for method = \"oauthbearer\"".to_owned())
            }
            (Method::OAuthBearer, None) => Err(
                "method = \"oauthbearer\" needs openid_configuration, the address of the \
                 issuer's metadata"
                    .to_owned(),
            ),
            (Method::OAuthBearer, Some(url)) if !url.starts_with("https://") => {
                Err("openid_configuration must begin with https://".to_owned())
            }
            (Method::OAuthBearer, Some(openid_configuration)) => Ok(Self::OAuthBearer {
                openid_configuration,
                scope: raw.scope,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_the_loopback() {
        assert!(TlsRequired::default().allows_plain(true));
        assert!(!TlsRequired::default().allows_plain(false));
        assert!(!TlsRequired::Always.allows_plain(true));
        assert!(TlsRequired::Never.allows_plain(false));
    }

    #[test]
    fn reads_how_to_ask_for_a_token() {
        let read = |text: &str| toml::from_str::<Login>(text);
        assert_eq!(read("").unwrap(), Login::Password);
        assert_eq!(read("method = 'password'").unwrap(), Login::Password);
        let url = "https://issuer.example/.well-known/openid-configuration";
        let text = format!("method = 'oauthbearer'\nopenid_configuration = '{url}'");
        let Login::OAuthBearer {
            openid_configuration,
            scope,
        } = read(&text).unwrap()
        else {
            panic!("asked for OAUTHBEARER");
        };
        assert_eq!((openid_configuration.as_str(), scope.as_str()), (url, ""));
        for wrong in [
            "method = 'oauthbearer'",
            "method = 'oauthbearer'\nopenid_configuration = 'http://x'",
            "scope = 'db'",
            "method = 'md5'",
            "methods = 'password'",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
