//! POSITION of a database error: from the text that was sent to the text that the client wrote.

use crate::sql;

use super::Cleared;

/// What stands between the statements of one Query message. The line breaks keep a comment at the
/// end of one statement from reaching into the next.
pub const SEPARATOR: &str = "\n;\n";

/// The place (characters from 1) in the client's text that corresponds to the place `position`
/// (characters from 1) in the text that was sent for `sent`; `None` where there is none.
pub fn client_position(client: &str, sent: &[Cleared], position: usize) -> Option<usize> {
    let mut left = position.checked_sub(1)?;
    for (index, statement) in sent.iter().enumerate() {
        let characters = statement.text().chars().count();
        if left < characters {
            let text = statement.text();
            let (offset, _) = text.char_indices().nth(left)?;
            let found = sql::client_offset(client, index, text, offset)?;
            let before = client.get(..found)?;
            return Some(before.chars().count().saturating_add(1));
        }
        left = left.checked_sub(characters.saturating_add(SEPARATOR.len()))?;
    }
    None
}
