//! The Postgres wire protocol, version 3, as bytes and values: framing, the greeting, what clients
//! say, what the database says, and what pgward says itself.
//!
//! Everything here is a pure codec. It never reads a socket, never decides whether a statement may
//! run, and never repairs what a peer got wrong: a message that is not exact is refused.
//!
//! - [`frame`]: where a message starts and ends; every limit of the protocol is named there.
//! - [`startup`]: the untagged first packets, and the `options` startup parameter.
//! - [`frontend`]: strict decoding of the messages of a client; [`encode`] writes such messages to
//!   the database.
//! - [`authentication`]: the token in the password slot and in SASL OAUTHBEARER.
//! - [`backend`]: the messages of the database, walked without decoding rows; [`answer`] writes the
//!   messages that pgward originates.
//! - [`notice`]: what of the database's errors and notices a client may see.
//!
//! Source: the Postgres manual, part "Frontend/Backend Protocol".

mod options;
mod reader;

pub mod frame;
pub mod startup;
pub mod authentication;
mod bind;
mod relayable;
pub mod frontend;
pub mod encode;
mod walker;
pub mod answer;
pub mod backend;
pub mod notice;

pub use answer::Severity;
pub use authentication::{Credential, SaslInitial};
pub use backend::{AuthenticationRequest, ErrorFields};
pub use bind::bind_parameter;
pub use frame::{Frame, LimitError, Limits, take_frame, take_startup};
pub use frontend::{Bind, Frontend, Parse, Query, Relayable, Target};
pub use notice::sanitize;
pub use startup::{Greeting, StartupMessage, split_options};
pub use walker::{Piece, Walker};
