//! The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) against the
//! database. The cryptography is `postgres-protocol`'s; this file chooses the mechanism, keeps the
//! order of the messages and lets no step be left out.

use postgres_protocol::authentication::sasl::{
    self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};

use super::config::{ChannelBinding, Config};
use super::connect::{Link, Security};
use super::error::Error;
use super::login;
use crate::wire::{AuthenticationRequest, encode};

/// A mechanism, with what binds it to the TLS connection.
struct Choice {
    mechanism: &'static str,
    binding: sasl::ChannelBinding,
    bound: bool,
}

/// Answers an offer of SASL mechanisms up to the server's final message, which proves that the
/// server knows the password too. Returns whether channel binding was used.
pub(super) async fn exchange(
    link: &mut Link,
    config: &Config,
    offer: &[String],
    bytes_max: usize,
) -> Result<bool, Error> {
    let choice = choose(&link.security, config.channel_binding, offer)?;
    let password = login::password(config)?;
    let mut scram = ScramSha256::new(password.expose().as_bytes(), choice.binding);
    encode::sasl_initial(link.sender.buffer(), choice.mechanism, scram.message())
        .map_err(login::broken)?;
    link.sender.flush().await?;

    let AuthenticationRequest::SaslContinue(challenge) = login::request(link, bytes_max).await?
    else {
        return Err(cut_short());
    };
    scram
        .update(&challenge)
        .map_err(|error| login::untrusted(&error))?;
    encode::sasl_response(link.sender.buffer(), scram.message()).map_err(login::broken)?;
    link.sender.flush().await?;

    let AuthenticationRequest::SaslFinal(last) = login::request(link, bytes_max).await? else {
        return Err(cut_short());
    };
    scram
        .finish(&last)
        .map_err(|error| login::untrusted(&error))?;
    Ok(choice.bound)
}

/// The strongest mechanism that both sides have. Where pgward could bind and the server offers no
/// binding, the server is told so: if an attacker removed the offer, the server notices.
fn choose(security: &Security, wanted: ChannelBinding, offer: &[String]) -> Result<Choice, Error> {
    let offers = |name: &str| offer.iter().any(|offered| offered == name);
    let end_point = match security {
        Security::Tls { end_point } if wanted != ChannelBinding::Disable => end_point.as_ref(),
        Security::Tls { .. } | Security::Plain | Security::Local => None,
    };
    match end_point {
        Some(data) if offers(SCRAM_SHA_256_PLUS) => Ok(Choice {
            mechanism: SCRAM_SHA_256_PLUS,
            binding: sasl::ChannelBinding::tls_server_end_point(data.clone()),
            bound: true,
        }),
        _ if wanted == ChannelBinding::Require => Err(Error::Authentication(
            "channel binding is required, but the database or its certificate does not allow it"
                .to_owned(),
        )),
        _ if !offers(SCRAM_SHA_256) => Err(Error::Authentication(
            "the database offers no SCRAM mechanism that pgward can use".to_owned(),
        )),
        could => Ok(Choice {
            mechanism: SCRAM_SHA_256,
            binding: match could {
                Some(_) => sasl::ChannelBinding::unrequested(),
                None => sasl::ChannelBinding::unsupported(),
            },
            bound: false,
        }),
    }
}

fn cut_short() -> Error {
    Error::Protocol("the SCRAM exchange was cut short".to_owned())
}
