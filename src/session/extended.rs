//! The extended protocol: a statement is decided when it is prepared, and again when it is bound and
//! run if anything that the decision rests on has changed since. Each run is recorded. A refusal
//! takes its turn in the series, and the rest of the series is skipped.
//!
//! Source: Postgres manual, "Message Flow", "Extended Query".

use std::sync::Arc;
use std::time::Instant;

use crate::gate::Cleared;
use crate::refusal::{Reason, Refusal, SqlState};
use crate::wire::{Bind, Frame, Frontend, Parse, Target, bind_parameter};

use super::held::{Held, Needs};
use super::inbound::Side;
use super::judge::{Refused, Verdict, taken_back};
use super::names::Found;
use super::pending::{Batch, Entry};
use super::ready::End;

/// What the prepared statements of a session may take, in bytes.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Side<'_> {
    /// A Parse message.
    pub(super) async fn parse(&mut self, parse: Parse) -> Result<(), End> {
        let Parse {
            name,
            text,
            parameter_types,
        } = parse;
        if let Some(refusal) = self.too_many_statements(&name) {
            let refusal = self.refused_unread(refusal).await?;
            return self.refuse(refusal, None).await;
        }
        self.settle(Needs::of(&text)).await?;
        if let Some(refusal) = self.session.type_refused(&parameter_types) {
            let refusal = self.refused_unread(refusal).await?;
            return self.refuse(refusal, None).await;
        }
        match self.session.judge_one(&text) {
            Verdict::Permitted(judgement) => {
                let held = Arc::new(Held::new(Arc::from(text), judgement));
                let entry = Entry::Parse(name.clone(), Arc::clone(&held));
                if self.sends(entry).await?
                    && let Some(cleared) = held.place.sent.first()
                {
                    self.sender.parse(&name, cleared, &parameter_types)?;
                }
                Ok(())
            }
            Verdict::Refused(refused) => {
                let position = refused.refusal.position_in(&text);
                let refusal = self.refused(Some(&text), *refused).await?;
                self.refuse(refusal, position).await
            }
        }
    }

    /// A Bind message.
    pub(super) async fn bind(
        &mut self,
        frame: Frame,
        message: &Frontend,
        bind: &Bind,
    ) -> Result<(), End> {
        let name = bind.statement.as_str();
        self.settle(Needs::default()).await?;
        self.until(|flow| flow.knows_statement(name)).await?;
        let Some(held) = self.held_statement(name) else {
            let refusal = self.refused_unread(no_statement(name)).await?;
            return self.refuse(refusal, None).await;
        };
        self.settle(held.needs).await?;
        let judgement = match self.session.decide(&held) {
            Ok(judgement) => judgement,
            Err(refused) => return self.refuse_held(&held, *refused).await,
        };
        let objection = self.objection_to(&frame, &bind.portal, &judgement.cleared);
        if let Some(refusal) = objection {
            let refused = taken_back(&judgement, refusal);
            return self.refuse_held(&held, refused).await;
        }
        let entry = Entry::Bind(bind.portal.clone(), held);
        if self.sends(entry).await? {
            self.relay(frame, message)?;
        }
        Ok(())
    }

    /// An Execute message.
    pub(super) async fn execute(
        &mut self,
        frame: Frame,
        message: &Frontend,
        portal: &str,
    ) -> Result<(), End> {
        self.settle(Needs::default()).await?;
        self.until(|flow| flow.knows_portal(portal)).await?;
        let Some(held) = self.held_portal(portal) else {
            let refusal = self.refused_unread(no_portal(portal)).await?;
            return self.refuse(refusal, None).await;
        };
        self.settle(held.needs).await?;
        let judgement = match self.session.decide(&held) {
            Ok(judgement) => judgement,
            Err(refused) => return self.refuse_held(&held, *refused).await,
        };
        let client = Some(&*held.place.client).filter(|_| !held.place.sent.is_empty());
        let running = self.permitted(&judgement, client).await?;
        let series = self.session.flow().series();
        let place = Arc::clone(&held.place);
        let batch = Batch::new(running, place, series, Instant::now());
        if self.sends(Entry::Execute(batch)).await? {
            self.relay(frame, message)?;
        }
        Ok(())
    }

    /// A Describe message: names and types, of what was cleared before it could be prepared.
    pub(super) async fn describe(
        &mut self,
        frame: Frame,
        message: &Frontend,
        target: &Target,
    ) -> Result<(), End> {
        let entry = match target {
            Target::Statement(_) => Entry::DescribeStatement,
            Target::Portal(_) => Entry::DescribePortal,
        };
        if self.sends(entry).await? {
            self.relay(frame, message)?;
        }
        Ok(())
    }

    /// A Close message.
    pub(super) async fn close(
        &mut self,
        frame: Frame,
        message: &Frontend,
        target: &Target,
    ) -> Result<(), End> {
        if self.sends(Entry::Close(target.clone())).await? {
            self.relay(frame, message)?;
        }
        Ok(())
    }

    /// Refuses to go on with a statement that is held.
    async fn refuse_held(&mut self, held: &Held, refused: Refused) -> Result<(), End> {
        let client = &held.place.client;
        let position = refused.refusal.position_in(client);
        let text = Some(&**client).filter(|text| !text.is_empty());
        let refusal = self.refused(text, refused).await?;
        self.refuse(refusal, position).await
    }

    /// The statement of that name: the protocol's, or one that SQL has prepared.
    fn held_statement(&self, name: &str) -> Option<Arc<Held>> {
        let flow = self.session.flow();
        match flow.statement(name) {
            Found::One(held) => Some(held),
            Found::Nothing => {
                let texts = flow.tracked().settings().statement(name)?;
                Some(Arc::new(Held::undecided(texts)))
            }
            Found::Unsure => None,
        }
    }

    /// The portal of that name: the protocol's, or a cursor of SQL.
    fn held_portal(&self, name: &str) -> Option<Arc<Held>> {
        let flow = self.session.flow();
        match flow.portal(name) {
            Found::One(held) => Some(held),
            Found::Nothing => {
                let texts = flow.tracked().settings().cursor(name)?;
                Some(Arc::new(Held::undecided(texts)))
            }
            Found::Unsure => None,
        }
    }

    /// Why no further statement may be prepared under that name.
    fn too_many_statements(&self, name: &str) -> Option<Refusal> {
        if name.is_empty() {
            return None;
        }
        let most = self.session.shared.limits.statements_held_max;
        let (held, bytes) = self.session.flow().statements_held();
        if held >= most {
            return Some(
                Refusal::limit(format!("more than {most} prepared statements"))
                    .with_hint("close statements that are not used any more"),
            );
        }
        (bytes >= HELD_BYTES_MAX).then(|| {
            Refusal::limit("prepared statements take too much memory")
                .with_hint("close statements that are not used any more")
        })
    }

    /// What speaks against binding these statements to a portal with these parameters.
    fn objection_to(&self, frame: &Frame, portal: &str, cleared: &[Cleared]) -> Option<Refusal> {
        let value = |number: u32| bind_parameter(frame, number);
        if let Some(refusal) = cleared
            .iter()
            .find_map(|one| one.check_parameters(value).err())
        {
            return Some(refusal);
        }
        if portal.is_empty() {
            return None;
        }
        let limits = &self.session.shared.limits;
        let most = limits.portals_held_max;
        let flow = self.session.flow();
        let settings = flow.tracked().settings();
        // A portal that ROLLBACK TO has destroyed may be counted until the transaction ends.
        let is_full = flow.portals_held() >= most
            || settings.held() >= limits.names_held_max()
            || settings.held_bytes() >= HELD_BYTES_MAX;
        is_full.then(|| {
            Refusal::limit(format!(
                "more than {most} portals, or too much memory for them"
            ))
            .with_hint("close portals that are not used any more, or end the transaction")
        })
    }
}

/// 26000, in Postgres's words.
fn no_statement(name: &str) -> Refusal {
    let words = if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!("prepared statement \"{name}\" does not exist")
    };
    Refusal::new(SqlState::INVALID_STATEMENT_NAME, Reason::Unresolved, words)
}

/// 34000, in Postgres's words.
fn no_portal(name: &str) -> Refusal {
    let words = format!("portal \"{name}\" does not exist");
    Refusal::new(SqlState("34000"), Reason::Unresolved, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_told_in_the_words_of_postgres() {
        assert_eq!(
            no_statement("s").message,
            "prepared statement \"s\" does not exist"
        );
        assert!(no_statement("").message.starts_with("unnamed"));
        assert_eq!(no_portal("").message, "portal \"\" does not exist");
        assert_eq!(no_portal("c").code.0, "34000");
    }
}
