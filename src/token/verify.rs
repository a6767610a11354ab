//! The one place where a [`Verified`] is made. A token gets through with the signature of a key
//! its issuer published, made with that key's one algorithm, over claims that are complete, in
//! force, meant for this server and naming at least one agent. Revocation is asked elsewhere, and
//! again on every statement.

use crate::clock::Timestamp;
use crate::principal::Principal;
use crate::refusal::Refusal;
use crate::secret::Secret;

use super::claims;
use super::compact::Compact;
use super::config::Issuer;
use super::keys::VerifyingKey;
use super::refusals;

/// Proof that a token was verified: whoever holds one knows who is acting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    principal: Principal,
}

impl Verified {
    /// Who is acting, for whom, and on what authority.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// Verifies a token with a key of the issuer it claims (see [`super::peek`]).
///
/// # Errors
/// A [`Refusal`] with code 28000 that names what to fix and repeats nothing of the token.
pub fn verify(
    token: &Secret,
    issuer: &Issuer,
    key: &VerifyingKey,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let compact = Compact::read(token)?;
    check_header(&compact, issuer, key)?;
    check_signature(&compact, key)?;
    let principal = claims::principal(&compact.claims, issuer, now)?;
    Ok(Verified { principal })
}

/// The token must claim this issuer and this key, an allowed algorithm, and be an access token.
fn check_header(compact: &Compact<'_>, issuer: &Issuer, key: &VerifyingKey) -> Result<(), Refusal> {
    if compact.issuer != issuer.name {
        return Err(refusals::unknown_issuer());
    }
    if !issuer.algorithms.contains(&compact.algorithm) {
        return Err(refusals::algorithm_not_allowed());
    }
    if compact.kid != key.kid {
        return Err(refusals::unknown_key());
    }
    if compact.algorithm != key.algorithm {
        return Err(refusals::wrong_algorithm());
    }
    if !issuer.accepts_type(&compact.token_type) {
        return Err(refusals::token_type());
    }
    Ok(())
}

/// The signature alone. The library's own claim checks are not used: they read the machine's clock
/// and accept tokens that lack `iss`, `aud` or `nbf`.
fn check_signature(compact: &Compact<'_>, key: &VerifyingKey) -> Result<(), Refusal> {
    let valid = jsonwebtoken::crypto::verify(
        compact.signature,
        compact.signed.as_bytes(),
        &key.key,
        key.algorithm.jwt(),
    );
    if matches!(valid, Ok(true)) {
        Ok(())
    } else {
        Err(refusals::bad_signature())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Algorithm, Claims, Config, KeySet, SigningKey, mint};

    #[test]
    fn what_was_minted_is_what_is_verified() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let config: Config = toml::from_str(
            "issuer = 'https://idp.example'\naudience = ['db']\n\
             algorithms = ['EdDSA', 'ES256']\njwks_file = 'unused.json'",
        )
        .unwrap();
        let issuer = Issuer::new(config).unwrap();
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let signer = SigningKey::generate(algorithm).unwrap();
            let keys = KeySet::from_jwks(signer.jwks().as_bytes(), issuer.algorithms()).unwrap();
            let claims = Claims::new("https://idp.example", "db", "alice", "bot", "j1", now, 300);
            let token = mint(&signer, &claims).unwrap();
            let key = keys.get(signer.kid()).unwrap();
            let verified = verify(&token, &issuer, key, now).unwrap();
            assert_eq!(verified.principal().user.sub, "alice");
            assert_eq!(verified.principal().agent(), "bot");
            assert_eq!(
                verified.principal().token.expires_at,
                Timestamp::from_seconds(1_800_000_300)
            );
        }
    }
}
