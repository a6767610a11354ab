//! What an agent with a bad token is told, all in one place: 28000 and a few words that name what
//! to fix. The words are constants of pgward; no text of a token ever gets in here.

use crate::refusal::Refusal;

use super::compact::TOKEN_BYTES_MAX;

/// There is no token at all.
pub(super) fn no_token() -> Refusal {
    Refusal::identity("no token was given").with_hint(
        "send the delegated token as the startup parameter \"pgward.token\" \
         or in place of the password",
    )
}

/// Longer than any token may be.
pub(super) fn too_long() -> Refusal {
    Refusal::identity(format!("token is longer than {TOKEN_BYTES_MAX} bytes"))
}

/// Not a compact JWS (RFC 7515 section 7.1).
pub(super) fn malformed() -> Refusal {
    Refusal::identity("token is not a signed JWT")
        .with_hint("it must be three base64url parts without padding, joined by dots")
}

/// The header or the payload is not the JSON it must be.
pub(super) fn bad_json(part: &'static str) -> Refusal {
    Refusal::identity(format!(
        "token {part} is not a JSON object in which every member stands once"
    ))
}

/// A header member that would change what is verified, or with which key.
pub(super) fn header_member(name: &'static str) -> Refusal {
    Refusal::identity(format!("token header must not have \"{name}\""))
}

/// `kid` or `typ` is absent.
pub(super) fn header_missing(name: &'static str) -> Refusal {
    Refusal::identity(format!("token header has no \"{name}\""))
}

/// `kid` or `typ` is not a name.
pub(super) fn header_type(name: &'static str) -> Refusal {
    Refusal::identity(format!("token header member \"{name}\" must be {TEXT}"))
}

/// `alg` is absent, unknown, HMAC, `none`, or not configured for this issuer.
pub(super) fn algorithm_not_allowed() -> Refusal {
    Refusal::identity("token is signed with an algorithm that is not allowed")
}

/// `alg` is allowed, but it is not what this key is for.
pub(super) fn wrong_algorithm() -> Refusal {
    Refusal::identity("token algorithm is not the one of its key")
}

/// `typ` says that this is another kind of token.
pub(super) fn token_type() -> Refusal {
    Refusal::identity("token is not an access token")
        .with_hint("its header must have \"typ\": \"at+jwt\" or another type that is accepted here")
}

/// `iss` is not configured.
pub(crate) fn unknown_issuer() -> Refusal {
    Refusal::identity("token issuer is not trusted")
}

/// `kid` is not among the issuer's keys.
pub(crate) fn unknown_key() -> Refusal {
    Refusal::identity("token is signed with a key that its issuer does not publish")
}

/// The signature does not verify.
pub(super) fn bad_signature() -> Refusal {
    Refusal::identity("token signature is not valid")
}

/// What a name in a token must be.
pub(super) const TEXT: &str = "a text of 1 to 255 bytes without control characters";

/// A claim that must be there is not.
pub(super) fn missing(claim: &'static str) -> Refusal {
    Refusal::identity(format!("token has no \"{claim}\""))
}

/// A claim has another shape than it must.
pub(super) fn wrong_type(claim: &'static str, expected: &str) -> Refusal {
    Refusal::identity(format!("token claim \"{claim}\" must be {expected}"))
}

/// `aud` does not name this server.
pub(super) fn wrong_audience() -> Refusal {
    Refusal::identity("token is not meant for this server")
        .with_hint("ask the issuer for a token whose \"aud\" names this server")
}

/// `exp` has passed.
pub(super) fn expired() -> Refusal {
    Refusal::identity("token has expired").with_hint("ask the issuer for a new token")
}

/// `base.exp` has passed.
pub(super) fn base_expired() -> Refusal {
    Refusal::identity("the user's own token, behind this one, has expired")
        .with_hint("the user must sign in again before a new token can be delegated")
}

/// `nbf` is still to come.
pub(super) fn not_yet_valid() -> Refusal {
    Refusal::identity("token is not valid yet")
}

/// `iat` is still to come.
pub(super) fn issued_in_the_future() -> Refusal {
    Refusal::identity("token was issued in the future")
        .with_hint("the issuer's clock and this server's differ")
}

/// `exp` is not after `iat`.
pub(super) fn ends_before_it_begins() -> Refusal {
    Refusal::identity("token claim \"exp\" must be later than \"iat\"")
}

/// `exp - iat` is more than the issuer may give.
pub(super) fn lifetime_too_long(seconds_max: i64) -> Refusal {
    Refusal::identity(format!("token lives longer than {seconds_max} seconds"))
        .with_hint("ask the issuer for a token with a shorter life")
}

/// `cnf` binds the token to something this connection does not show.
pub(super) fn bound() -> Refusal {
    Refusal::identity("token is bound to a key or certificate (\"cnf\"), which is not supported")
        .with_hint("ask the issuer for a token without \"cnf\"")
}

/// No `act`: the user's own token, not a delegated one.
pub(super) fn no_agent() -> Refusal {
    Refusal::identity("token names no agent")
        .with_hint("exchange the user's token for a delegated one, which has the claim \"act\"")
}

/// More links in `act` than the configuration allows.
pub(super) fn chain_too_deep(agents_max: usize) -> Refusal {
    Refusal::identity(format!(
        "token's chain of agents is longer than {agents_max}"
    ))
}

/// The chain of agents runs in a circle.
pub(super) fn agent_twice() -> Refusal {
    Refusal::identity("token names the same agent twice")
}

/// The issuer is configured for other agents.
pub(super) fn foreign_agent() -> Refusal {
    Refusal::identity("token issuer may not vouch for this agent")
}

/// A `postgres_access` object has a member outside RFC 9396's common ones and pgward's own.
pub(super) fn unknown_detail_member(known: &[&str]) -> Refusal {
    Refusal::identity("token has a postgres_access object with an unknown member")
        .with_hint(format!("its members are: {}", known.join(", ")))
}

/// A member of a `postgres_access` object has another shape than it must.
pub(super) fn detail_type(member: &'static str, expected: &str) -> Refusal {
    Refusal::identity(format!(
        "token has a postgres_access object whose \"{member}\" must be {expected}"
    ))
}
