//! The proof that a statement may be sent.

use std::sync::Arc;

use crate::policy::Permit;
use crate::refusal::Refusal;
use crate::sql::{Effect, Statement, check_show};

/// A statement that was analysed and permitted. Only [`super::check`] makes one.
#[derive(Debug, Clone)]
pub struct Cleared {
    text: Arc<str>,
    effect: Effect,
    open: bool,
    setting_parameters: Vec<u32>,
}

impl Cleared {
    /// The one constructor: it takes the policy's permit to call it.
    pub(super) fn new(statement: Statement, permit: &Permit) -> Self {
        Self {
            text: statement.text,
            effect: statement.effect,
            open: permit.is_open(),
            setting_parameters: statement.setting_parameters,
        }
    }

    /// The canonical SQL to send.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same text, shared.
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// What it does to the session once it has succeeded.
    pub fn effect(&self) -> &Effect {
        &self.effect
    }

    /// Whether every relation it touches is wholly open to the principal, so that the database's
    /// errors about it can hold nothing that is forbidden.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Checks the parameters that are bound to this statement: those whose values name a setting
    /// may name only one that `SHOW` may show. `value` gives a parameter (from 1), `None` for NULL.
    ///
    /// # Errors
    /// 0A000 for a setting that is not to be shown.
    pub fn check_parameters<'v>(
        &self,
        value: impl Fn(u32) -> Option<&'v [u8]>,
    ) -> Result<(), Refusal> {
        for number in &self.setting_parameters {
            let name = value(*number).unwrap_or_default();
            check_show(std::str::from_utf8(name).unwrap_or("?"))?;
        }
        Ok(())
    }
}
