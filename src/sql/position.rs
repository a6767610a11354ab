//! Maps a place in the text that was sent back to the place in the client's own text. Both are the
//! same tree, so the places of their nodes pair up in the order of the walk.

use pg_raw_parse::Node;

use super::tree;

/// The byte offset in `client` of what stands at byte offset `sent_offset` of `sent`, where a node
/// starts there in both. `statement` is the number of the statement within the client's text.
pub fn client_offset(
    client: &str,
    statement: usize,
    sent: &str,
    sent_offset: usize,
) -> Option<usize> {
    let ours = tree::parse(sent).ok()?;
    let theirs = tree::parse(client).ok()?;
    let ours = places(ours.stmts().next()?);
    let theirs = places(theirs.stmts().nth(statement)?);
    if ours.len() != theirs.len() {
        return None;
    }
    let pairs = ours.iter().zip(&theirs);
    let (_, offset) = pairs
        .into_iter()
        .find(|(ours, _)| usize::try_from(**ours) == Ok(sent_offset))?;
    usize::try_from(*offset).ok()
}

/// The `location` of every node, in the order of the tree's debug text.
fn places(node: Node<'_>) -> Vec<i64> {
    let debug = format!("{node:?}");
    let mut found = Vec::new();
    let mut quoted = false;
    let mut escaped = false;
    for (index, c) in debug.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            'l' if !quoted => {
                let tail = debug.get(index..).unwrap_or_default();
                if let Some(number) = tail.strip_prefix("location: ") {
                    let end = number
                        .find(|c: char| c != '-' && !c.is_ascii_digit())
                        .unwrap_or(number.len());
                    found.extend(number.get(..end).and_then(|n| n.parse::<i64>().ok()));
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_pair_up_across_rewriting() {
        let client = "select  1;  select  nosuch /* c */ from t";
        let sent = "SELECT nosuch FROM public.t";
        let found = client_offset(client, 1, sent, 7).unwrap();
        assert_eq!(client.get(found..found + 6), Some("nosuch"));
        assert_eq!(client_offset(client, 1, sent, 3), None);
        assert_eq!(client_offset(client, 5, sent, 7), None);
    }
}
