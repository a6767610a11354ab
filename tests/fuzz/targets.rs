//! What is fuzzed: everything that hostile bytes reach before or while a decision is made. Each target
//! takes any bytes and holds what must be true whatever they are.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use pgward::catalog::Snapshot;
use pgward::clock::Timestamp;
use pgward::gate::{self, Surroundings};
use pgward::policy::{self, Rules, SourceFile};
use pgward::principal::{Agent, Principal, TokenFacts, User};
use pgward::secret::Secret;
use pgward::sql::{self, Settings};
use pgward::token::{
    Algorithm, Claims, Config, Issuer, KeySet, SigningKey, VerifyingKey, mint, peek, verify,
};
use pgward::wire::frontend::decode;
use pgward::wire::{
    Frontend, Greeting, Limits, Piece, Relayable, Walker, split_options, take_frame, take_startup,
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The first packet of a connection, and the `options` in it.
pub(crate) fn startup(data: &[u8]) {
    let limits = Limits::default();
    let mut whole = BytesMut::from(data);
    let at_once = take_startup(&mut whole, limits.startup_bytes_max);
    let mut part = BytesMut::new();
    let mut bit_by_bit = Ok(None);
    for byte in data {
        part.extend_from_slice(&[*byte]);
        bit_by_bit = take_startup(&mut part, limits.startup_bytes_max);
        if !matches!(bit_by_bit, Ok(None)) {
            break;
        }
    }
    assert_eq!(
        at_once.as_ref().ok(),
        bit_by_bit.as_ref().ok(),
        "cut otherwise"
    );
    for body in [at_once.ok().flatten(), Some(Bytes::copy_from_slice(data))] {
        let greeting = body.map(|body| Greeting::decode(&body, &limits));
        if let Some(Ok(Greeting::Startup(message))) = greeting {
            let mut names: Vec<&String> = message.parameters.iter().map(|(name, _)| name).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "a parameter twice");
            for (_, value) in &message.parameters {
                let _ = split_options(value);
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = split_options(text);
    }
}

/// Messages of a client, and the walk over the database's answers however they are cut.
pub(crate) fn frames(data: &[u8]) {
    let limits = Limits::default();
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = take_frame(&mut buffer, limits.message_bytes_max) {
        let Ok(message) = decode(&frame, &limits) else {
            continue;
        };
        let relayed = Relayable::new(frame, &message).is_some();
        let carries_text = matches!(
            message,
            Frontend::Query(_)
                | Frontend::Parse(_)
                | Frontend::FunctionCall
                | Frontend::Password(_)
        );
        assert!(
            !(relayed && carries_text),
            "{message:?} would be passed on as it came"
        );
    }
    let cut = usize::from(data.first().copied().unwrap_or(1)).max(1);
    let (whole, ended) = walked(data, data.len().max(1), &limits);
    let (parts, ended_too) = walked(data, cut, &limits);
    let common = whole.len().min(parts.len());
    assert_eq!(
        whole[..common],
        parts[..common],
        "other bytes when cut at {cut}"
    );
    assert_eq!(ended, ended_too, "another end when cut at {cut}");
    assert!(data.starts_with(&whole) && data.starts_with(&parts));
}

/// All bytes that a walk gives out, and whether it ended in an error.
fn walked(data: &[u8], cut: usize, limits: &Limits) -> (Vec<u8>, bool) {
    let mut walker = Walker::new(limits);
    let mut out = Vec::new();
    for chunk in data.chunks(cut) {
        walker.feed(Bytes::copy_from_slice(chunk));
        loop {
            match walker.next_piece() {
                Ok(Some(Piece::Pass(bytes))) => out.extend_from_slice(&bytes),
                Ok(Some(Piece::Frame(frame))) => out.extend_from_slice(frame.bytes()),
                Ok(Some(Piece::Header { .. })) => {}
                Ok(None) => break,
                Err(_) => return (out, true),
            }
        }
    }
    (out, false)
}

/// An issuer, its key, and the one token that is good.
pub(crate) struct Trust {
    issuer: Issuer,
    key: VerifyingKey,
    pub(crate) token: String,
}

pub(crate) fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let config: Config = toml::from_str(
            "issuer = 'https://issuer.example'\naudience = ['db']\n\
             algorithms = ['EdDSA']\njwks_file = 'unused.json'",
        )
        .unwrap();
        let issuer = Issuer::new(config).unwrap();
        let signer = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let keys = KeySet::from_jwks(signer.jwks().as_bytes(), issuer.algorithms()).unwrap();
        let mut claims = Claims::new(
            "https://issuer.example",
            "db",
            "alice",
            "support-bot",
            "j",
            NOW,
            300,
        );
        claims.groups = vec!["support".to_owned()];
        Trust {
            key: keys.get(signer.kid()).unwrap().clone(),
            token: mint(&signer, &claims).unwrap().expose().to_owned(),
            issuer,
        }
    })
}

/// A token: whatever it is, it is not accepted unless it is the one that was signed.
pub(crate) fn tokens(data: &[u8]) {
    let trust = trust();
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let token = Secret::new(text.to_owned());
    let _ = peek(&token);
    let verified = verify(&token, &trust.issuer, &trust.key, NOW);
    assert_eq!(verified.is_ok(), text == trust.token, "{text}");
    if let Err(refusal) = verified {
        let said = format!("{refusal:?}");
        for part in text.split('.').filter(|part| part.len() > 20) {
            assert!(!said.contains(part), "the token is echoed: {said}");
        }
    }
}

struct Shop {
    snapshot: Snapshot,
    rules: Rules,
    settings: Settings,
    limits: Limits,
}

fn shop() -> &'static Shop {
    static SHOP: OnceLock<Shop> = OnceLock::new();
    SHOP.get_or_init(|| {
        let catalog = include_str!("../data/shop.catalog.json");
        let snapshot = sql::trace(Snapshot::from_json(catalog).unwrap());
        let policy = SourceFile {
            name: "shop.toml",
            text: include_str!("../../policies/shop.toml"),
        };
        Shop {
            settings: Settings::new(&snapshot),
            rules: policy::load(&[policy]).unwrap_or_else(|_| panic!("the shipped policy")),
            limits: Limits::default(),
            snapshot,
        }
    })
}

/// The support's agent, acting for alice.
fn support() -> Principal {
    Principal {
        user: User {
            sub: "alice".to_owned(),
            groups: vec!["support".to_owned()],
            ..User::default()
        },
        chain: vec![Agent {
            sub: "support-bot".to_owned(),
            issuer: None,
        }],
        scope: Vec::new(),
        authorization_details: None,
        token: TokenFacts {
            issuer: "https://issuer.example".to_owned(),
            jti: "j".to_owned(),
            client_id: None,
            expires_at: Timestamp::from_seconds(i64::MAX),
            base: None,
        },
    }
}

/// A text through the gate. What is permitted must stay permitted, and the same text, when what would
/// be sent is judged again; no place of a refusal lies outside of the text. Whether it is permitted.
pub(crate) fn statements(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let shop = shop();
    let around = Surroundings {
        snapshot: &shop.snapshot,
        rules: &shop.rules,
        settings: &shop.settings,
        limits: &shop.limits,
        now: NOW,
        client: None,
    };
    let judged = gate::judge(&support(), text, &around);
    if let Some(refusal) = judged.iter().find_map(|one| one.refusal.as_ref()) {
        let inside = refusal
            .offset
            .is_none_or(|place| text.is_char_boundary(place));
        assert!(inside, "{refusal:?} of {text}");
        return false;
    }
    let analysed = sql::analyse(text, &shop.snapshot, &shop.settings, &shop.limits);
    for statement in analysed.unwrap_or_else(|_| panic!("judged but not analysed: {text}")) {
        let again = gate::judge(&support(), &statement.text, &around);
        let refused = again.iter().find_map(|one| one.refusal.as_ref());
        // EXECUTE and FETCH mean what was prepared in the same text, which is not there any more.
        let named = refused.is_some_and(|refusal| matches!(refusal.code.0, "26000" | "34000"));
        assert!(
            refused.is_none() || named,
            "{refused:?}: {} of {text}",
            statement.text
        );
        let twice = sql::analyse(
            &statement.text,
            &shop.snapshot,
            &shop.settings,
            &shop.limits,
        );
        if let Ok([twice]) = twice.as_deref() {
            assert_eq!(twice.text, statement.text, "of {text}");
        }
    }
    true
}
