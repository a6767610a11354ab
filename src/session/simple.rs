//! The simple protocol: a Query is decided whole, and goes out whole or not at all. A refused one
//! becomes an error that the database itself makes, so that its transaction fails as it would have.
//!
//! Source: Postgres manual, "Message Flow", "Simple Query".

use std::sync::Arc;
use std::time::Instant;

use crate::refusal::Refusal;

use super::flow::Flow;
use super::held::{Judgement, Needs, Place};
use super::inbound::Side;
use super::judge::Verdict;
use super::pending::{Batch, Entry, Turned};
use super::ready::End;

impl Side<'_> {
    /// A Query message.
    pub(super) async fn query(&mut self, text: &str) -> Result<(), End> {
        self.settle(Needs::of(text)).await?;
        match self.session.judge(text) {
            Verdict::Permitted(judgement) => self.send_query(text, judgement).await,
            Verdict::Refused(refused) => {
                let position = refused.refusal.position_in(text);
                let refusal = self.refused(Some(text), *refused).await?;
                self.refuse_alone(refusal, position).await
            }
        }
    }

    /// A message of the simple protocol whose text was not read.
    pub(super) async fn refuse_query(&mut self, refusal: Refusal) -> Result<(), End> {
        let refusal = self.refused_unread(refusal).await?;
        self.refuse_alone(refusal, None).await
    }

    async fn send_query(&mut self, text: &str, judgement: Judgement) -> Result<(), End> {
        let is_one = judgement.cleared.len() == 1;
        let running = self.permitted(&judgement, is_one.then_some(text)).await?;
        let place = Arc::new(Place {
            client: Arc::from(text),
            sent: judgement.cleared,
        });
        let series = self.session.flow().series();
        let batch = Batch::new(running, Arc::clone(&place), series, Instant::now());
        if self.sends(Entry::Query(batch)).await? {
            self.sender.query(&place.sent)?;
        }
        Ok(())
    }

    /// Stands in for a refused message of the simple protocol, which ends in ReadyForQuery.
    async fn refuse_alone(&mut self, refusal: Refusal, position: Option<usize>) -> Result<(), End> {
        if self.session.flow().is_inside_series() {
            // Where the series has failed, the database ignores a Query; the Sync below would end
            // the skipping before the client does.
            self.until(Flow::is_answered).await?;
            if self.session.flow().is_skipping() {
                return Ok(());
            }
        }
        let turned = Turned { refusal, position };
        if self.sends(Entry::Refused(Box::new(turned))).await? {
            self.sender.refuse();
        }
        if self.sends(Entry::Sync).await? {
            self.sender.sync();
        }
        Ok(())
    }
}
