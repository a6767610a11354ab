//! Signs in to the database: the StartupMessage, the authentication the server asks for, and what
//! it says up to its first ReadyForQuery. A password leaves only where nobody else can read it,
//! and a session whose settings would change what text means is not used.
//!
//! Source: Postgres manual, "Message Flow", "Start-up".

use std::io;

use super::config::{ChannelBinding, Config};
use super::connect::{Link, Security};
use super::error::Error;
use super::{BackendKey, Upstream, scram};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::wire::backend::{
    authentication_request, backend_key_data, parameter_status, ready_status,
};
use crate::wire::{AuthenticationRequest, ErrorFields, Frame, encode};

/// What Postgres takes as a startup packet, in bytes (`MAX_STARTUP_PACKET_LENGTH`).
const PACKET_BYTES_MAX: usize = 10_000;
/// Settings that decide what a text means (see [`crate::gate`]): asked for, then checked.
const PINNED: [(&str, &str); 2] = [
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
];
/// Parameters that are no settings; only the configuration decides about them.
const RESERVED: [&str; 4] = ["user", "database", "replication", "options"];

/// Signs in over an open connection. `startup` are the settings the session wants; messages of the
/// server may have `bytes_max`.
pub(super) async fn login(
    mut link: Link,
    config: &Config,
    startup: &[(String, String)],
    bytes_max: usize,
) -> Result<Upstream, Error> {
    let parameters = parameters(config, startup)?;
    let packet = link.sender.buffer();
    encode::startup(packet, &parameters, 0).map_err(|refusal| Error::Parameter(refusal.message))?;
    if packet.len() > PACKET_BYTES_MAX {
        return Err(Error::Parameter(format!(
            "over {PACKET_BYTES_MAX} bytes together"
        )));
    }
    link.sender.flush().await?;
    let bound = authenticate(&mut link, config, bytes_max).await?;
    if config.channel_binding == ChannelBinding::Require && !bound {
        return Err(refused(
            "the database did not use channel binding, which is required",
        ));
    }
    ready(link, bytes_max).await
}

/// The parameters of the StartupMessage: the configuration's, the session's, the pinned ones.
fn parameters(
    config: &Config,
    startup: &[(String, String)],
) -> Result<Vec<(String, String)>, Error> {
    let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all = vec![
        owned("user", &config.user),
        owned("database", &config.database),
    ];
    for (name, value) in startup {
        let reserved = RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name));
        if reserved || name.starts_with("_pq_.") {
            return Err(Error::Parameter(name.clone()));
        }
        if !PINNED
            .iter()
            .any(|(word, _)| word.eq_ignore_ascii_case(name))
        {
            all.push((name.clone(), value.clone()));
        }
    }
    all.extend(PINNED.iter().map(|(name, value)| owned(name, value)));
    Ok(all)
}

/// Does what the server asks for until it is satisfied. Whether channel binding was used.
async fn authenticate(link: &mut Link, config: &Config, bytes_max: usize) -> Result<bool, Error> {
    let bound = match request(link, bytes_max).await? {
        // The server trusts the connection itself (pg_hba.conf `trust`, `peer`).
        AuthenticationRequest::Ok => return Ok(false),
        AuthenticationRequest::Cleartext => {
            send_password(link, config).await?;
            false
        }
        AuthenticationRequest::Sasl { mechanisms } => {
            scram::exchange(link, config, &mechanisms, bytes_max).await?
        }
        AuthenticationRequest::Md5 { .. } => {
            return Err(refused(
                "the database asks for an MD5 password, which pgward does not send; set \
                 password_encryption = 'scram-sha-256' and store the role's password again",
            ));
        }
        AuthenticationRequest::Other(code) => {
            return Err(refused(&format!(
                "the database asks for authentication method {code}, which pgward does not know"
            )));
        }
        AuthenticationRequest::SaslContinue(_) | AuthenticationRequest::SaslFinal(_) => {
            return Err(out_of_turn());
        }
    };
    match request(link, bytes_max).await? {
        AuthenticationRequest::Ok => Ok(bound),
        AuthenticationRequest::Cleartext
        | AuthenticationRequest::Md5 { .. }
        | AuthenticationRequest::Sasl { .. }
        | AuthenticationRequest::SaslContinue(_)
        | AuthenticationRequest::SaslFinal(_)
        | AuthenticationRequest::Other(_) => Err(out_of_turn()),
    }
}

/// The next authentication request.
pub(super) async fn request(
    link: &mut Link,
    bytes_max: usize,
) -> Result<AuthenticationRequest, Error> {
    let frame = next(link, bytes_max).await?;
    if frame.tag() != b'R' {
        return Err(out_of_turn());
    }
    authentication_request(frame.body()).map_err(broken)
}

/// The next message that is no notice; an ErrorResponse becomes an error.
pub(super) async fn next(link: &mut Link, bytes_max: usize) -> Result<Frame, Error> {
    loop {
        let frame = link.receiver.frame(bytes_max).await?;
        match frame.tag() {
            b'N' => {}
            b'E' => return Err(rejected(&frame)),
            _ => return Ok(frame),
        }
    }
}

/// What an ErrorResponse says, as an error.
pub(super) fn rejected(frame: &Frame) -> Error {
    match ErrorFields::decode(frame.body()) {
        Ok(fields) => Error::Rejected {
            code: fields.code().to_owned(),
            message: fields.message().to_owned(),
        },
        Err(refusal) => broken(refusal),
    }
}

/// The password as it is, where nobody else can read it.
async fn send_password(link: &mut Link, config: &Config) -> Result<(), Error> {
    if link.security == Security::Plain {
        return Err(refused(
            "the database asks for the password in plain text over a connection without TLS",
        ));
    }
    if config.channel_binding == ChannelBinding::Require {
        return Err(refused(
            "the database asks for a password, but channel binding is required",
        ));
    }
    let password = password(config)?;
    encode::password(link.sender.buffer(), password.expose()).map_err(broken)?;
    link.sender.flush().await?;
    Ok(())
}

/// The configured password.
pub(super) fn password(config: &Config) -> Result<Secret, Error> {
    config
        .password
        .read()?
        .ok_or_else(|| refused("the database asks for a password and none is configured"))
}

/// Reads up to ReadyForQuery; what came behind it stays in the receiver.
async fn ready(mut link: Link, bytes_max: usize) -> Result<Upstream, Error> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut key = None;
    loop {
        let frame = next(&mut link, bytes_max).await?;
        match frame.tag() {
            b'S' => {
                let (name, value) = parameter_status(frame.body()).map_err(broken)?;
                parameters.retain(|(known, _)| *known != name);
                parameters.push((name, value));
            }
            b'K' => {
                let (process_id, secret) = backend_key_data(frame.body()).map_err(broken)?;
                key = Some(BackendKey { process_id, secret });
            }
            b'Z' => {
                if ready_status(frame.body()).map_err(broken)? != b'I' {
                    return Err(out_of_turn());
                }
                break;
            }
            _ => return Err(out_of_turn()),
        }
    }
    pinned(&parameters)?;
    Ok(Upstream {
        key: key.ok_or_else(|| Error::Protocol("there is no BackendKeyData".to_owned()))?,
        sender: link.sender,
        receiver: link.receiver,
        parameters,
    })
}

/// Refuses a session in which a text would not mean what pgward read in it.
fn pinned(parameters: &[(String, String)]) -> Result<(), Error> {
    for (name, wanted) in PINNED {
        let value = parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default();
        if value != wanted {
            return Err(Error::Setting {
                name,
                value: value.to_owned(),
                wanted,
            });
        }
    }
    Ok(())
}

fn refused(words: &str) -> Error {
    Error::Authentication(words.to_owned())
}

fn out_of_turn() -> Error {
    Error::Protocol("a message came out of turn".to_owned())
}

/// A message that the codec refused.
pub(super) fn broken(refusal: Refusal) -> Error {
    Error::Protocol(refusal.message)
}

/// An exchange that the SCRAM library refused.
pub(super) fn untrusted(error: &io::Error) -> Error {
    Error::Authentication(format!(
        "the database did not prove that it knows the password: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::super::fake::{Peer, link};
    use super::*;

    const URL: &str = "postgres://app:secret@127.0.0.1/shop";

    fn config(query: &str) -> Config {
        Config::from_url(&format!("{URL}{query}")).unwrap()
    }

    /// Signs in against a server played by `play`.
    async fn against<F>(config: &Config, security: Security, play: F) -> Result<Upstream, Error>
    where
        F: AsyncFnOnce(&mut Peer<DuplexStream>),
    {
        let (link, mut peer) = link(security);
        let client = login(link, config, &[], 10_000);
        let server = async {
            peer.startup().await;
            play(&mut peer).await;
        };
        tokio::join!(client, server).0
    }

    #[tokio::test]
    async fn a_scram_login_ends_ready() {
        let (link, mut peer) = link(Security::Plain);
        let config = config("");
        let wanted = [
            ("application_name".to_owned(), "pgward".to_owned()),
            ("Client_Encoding".to_owned(), "LATIN1".to_owned()),
        ];
        let server = async {
            let startup = peer.startup().await;
            let mechanism = peer.scram(&["SCRAM-SHA-256"], "secret", b"").await;
            peer.accept().await;
            peer.send(b'N', &[b"\0"]).await;
            (startup, mechanism)
        };
        let (upstream, (startup, mechanism)) =
            tokio::join!(login(link, &config, &wanted, 10_000), server);
        let mut upstream = upstream.unwrap();
        assert_eq!(mechanism.as_deref(), Some("SCRAM-SHA-256"));
        let names: Vec<_> = startup.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            names,
            [
                "user=app",
                "database=shop",
                "application_name=pgward",
                "client_encoding=UTF8",
                "standard_conforming_strings=on"
            ]
        );
        assert_eq!(upstream.key.process_id(), 77);
        assert_eq!(upstream.parameters.len(), 3);
        let behind = upstream.receiver.read().await.unwrap();
        assert_eq!(behind, b"N\0\0\0\x05\0".as_slice());
    }

    #[tokio::test]
    async fn a_wrong_password_is_the_databases_error() {
        let outcome = against(&config(""), Security::Plain, async |peer| {
            peer.scram(&["SCRAM-SHA-256"], "other", b"").await;
        })
        .await;
        assert!(matches!(outcome, Err(Error::Rejected { code, .. }) if code == "28P01"));
    }

    #[tokio::test]
    async fn the_server_must_prove_itself() {
        let skips_the_proof = against(&config(""), Security::Plain, async |peer| {
            peer.authentication(10, b"SCRAM-SHA-256\0\0").await;
            peer.message().await;
            peer.accept().await;
        })
        .await;
        assert!(matches!(skips_the_proof, Err(Error::Protocol(_))));

        let own_nonce = against(&config(""), Security::Plain, async |peer| {
            peer.authentication(10, b"SCRAM-SHA-256\0\0").await;
            peer.message().await;
            peer.authentication(11, b"r=mine,s=c2FsdA==,i=4096").await;
        })
        .await;
        assert!(matches!(own_nonce, Err(Error::Authentication(_))));

        let no_verifier = against(&config(""), Security::Plain, async |peer| {
            peer.authentication(10, b"SCRAM-SHA-256\0\0").await;
            let (_, initial) = peer.message().await;
            let initial = String::from_utf8(initial).unwrap();
            let nonce = initial.rsplit_once("r=").unwrap().1;
            let first = format!("r={nonce}server,s=c2FsdA==,i=4096");
            peer.authentication(11, first.as_bytes()).await;
            peer.message().await;
            peer.authentication(12, b"v=AAAA").await;
        })
        .await;
        assert!(matches!(no_verifier, Err(Error::Authentication(_))));
    }

    #[tokio::test]
    async fn channel_binding_where_both_can() {
        let tls = |end_point: Option<&[u8]>| Security::Tls {
            end_point: end_point.map(<[u8]>::to_vec),
        };
        let both = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
        let plain = ["SCRAM-SHA-256"];
        let end = Some(b"hash".as_slice());
        // (what the server offers, the certificate's end point, setting, mechanism used)
        let cases: [(&[&str], Option<&[u8]>, &str, Option<&str>); 6] = [
            (&both, end, "", Some("SCRAM-SHA-256-PLUS")),
            (&both, None, "", Some("SCRAM-SHA-256")),
            (&plain, end, "", Some("SCRAM-SHA-256")),
            (&both, end, "disable", Some("SCRAM-SHA-256")),
            (&both, end, "require", Some("SCRAM-SHA-256-PLUS")),
            (&plain, end, "require", None),
        ];
        for (offer, end_point, setting, expected) in cases {
            let mut config = config("?sslmode=require");
            config.channel_binding = match setting {
                "disable" => ChannelBinding::Disable,
                "require" => ChannelBinding::Require,
                _ => ChannelBinding::Prefer,
            };
            let mut used = None;
            let outcome = against(&config, tls(end_point), async |peer| {
                if expected.is_some() {
                    used = peer.scram(offer, "secret", b"hash").await;
                    peer.accept().await;
                } else {
                    peer.authentication(10, b"SCRAM-SHA-256\0\0").await;
                }
            })
            .await;
            assert_eq!(outcome.is_ok(), expected.is_some(), "{offer:?} {setting}");
            assert_eq!(used.as_deref(), expected, "{offer:?} {setting}");
        }
    }

    #[tokio::test]
    async fn another_certificate_than_the_servers_is_noticed() {
        let tls = Security::Tls {
            end_point: Some(b"the attacker's".to_vec()),
        };
        let outcome = against(&config("?sslmode=require"), tls, async |peer| {
            peer.scram(&["SCRAM-SHA-256-PLUS"], "secret", b"the database's")
                .await;
        })
        .await;
        assert!(matches!(outcome, Err(Error::Rejected { .. })));
    }

    #[tokio::test]
    async fn a_password_goes_where_nobody_reads_it() {
        for (security, sent) in [
            (Security::Plain, false),
            (Security::Local, true),
            (Security::Tls { end_point: None }, true),
        ] {
            let label = format!("{security:?}");
            let outcome = against(&config(""), security, async |peer| {
                peer.authentication(3, b"").await;
                if sent {
                    assert_eq!(peer.message().await, (b'p', b"secret\0".to_vec()));
                    peer.accept().await;
                }
            })
            .await;
            assert_eq!(outcome.is_ok(), sent, "{label}");
        }
    }

    #[tokio::test]
    async fn what_pgward_will_not_do() {
        let cases: [(u32, &[u8], &str); 5] = [
            (5, b"salt", "MD5"),
            (7, b"", "method 7"),
            (10, b"SCRAM-SHA-1\0\0", "SCRAM"),
            (11, b"r=x", "out of turn"),
            (12, b"v=x", "out of turn"),
        ];
        for (code, data, words) in cases {
            let outcome = against(&config(""), Security::Local, async |peer| {
                peer.authentication(code, data).await;
            })
            .await;
            let error = outcome.err().unwrap().to_string();
            assert!(error.contains(words), "{code}: {error}");
        }
    }

    #[tokio::test]
    async fn settings_that_change_what_text_means_are_checked() {
        for (encoding, strings) in [("SQL_ASCII", "on"), ("UTF8", "off"), ("UTF8", "")] {
            let outcome = against(&config(""), Security::Local, async |peer| {
                peer.authentication(0, b"").await;
                let encoding = format!("client_encoding\0{encoding}\0");
                peer.send(b'S', &[encoding.as_bytes()]).await;
                let strings = format!("standard_conforming_strings\0{strings}\0");
                peer.send(b'S', &[strings.as_bytes()]).await;
                peer.send(b'K', &[b"\0\0\0\x01\0\0\0\x02"]).await;
                peer.send(b'Z', &[b"I"]).await;
            })
            .await;
            assert!(matches!(outcome, Err(Error::Setting { .. })));
        }
    }

    #[tokio::test]
    async fn an_error_at_startup_keeps_its_code() {
        let outcome = against(&config(""), Security::Local, async |peer| {
            peer.error("53300", "sorry, too many clients already").await;
        })
        .await;
        let refusal = outcome.err().unwrap().refusal();
        assert_eq!(refusal.code.0, "53300");
    }

    #[test]
    fn reserved_parameters_are_refused() {
        for name in ["user", "database", "Replication", "options", "_pq_.x"] {
            let startup = [(name.to_owned(), "x".to_owned())];
            let outcome = parameters(&config(""), &startup);
            assert!(matches!(outcome, Err(Error::Parameter(_))), "{name}");
        }
    }
}
