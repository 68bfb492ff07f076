//! The names of ids: who agent 4711 is, what skill 12 is called.
//!
//! The index counts by ids, which never change; a name is what some conversation shows beside the id. The latest
//! conversations are asked first, so a person who was renamed has the present name.

use super::facets::Facet;
use crate::conversation::Conversation;
use crate::index::{IndexError, Reader, name};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, DocSet as _, TERMINATED, Term};

/// Conversations that are asked for a name; one that was only handed over shows none.
const ASKED: usize = 8;

/// The name of an agent or a skill, as the latest conversations show it; `None` where none of them does, and for the
/// values of other facets.
///
/// # Errors
/// When the index is damaged.
pub fn name_of(reader: &Reader, facet: Facet, id: &str) -> Result<Option<String>, IndexError> {
    let field = match facet {
        Facet::Agent => reader.fields().agent_id,
        Facet::Skill => reader.fields().skill,
        _ => return Ok(None),
    };
    let term = Term::from_field_text(field, name(id));
    let mut latest: BinaryHeap<Reverse<(Option<i64>, DocAddress)>> = BinaryHeap::new();
    for (ordinal, segment) in reader.searcher().segment_readers().iter().enumerate() {
        let start = segment.fast_fields().i64("start")?;
        let index = segment.inverted_index(field)?;
        let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? else { continue };
        while postings.doc() != TERMINATED {
            let doc = postings.doc();
            let address = DocAddress::new(ordinal as u32, doc);
            if !segment.is_deleted(doc) && !reader.superseded().contains(&address) {
                latest.push(Reverse((start.first(doc), address)));
                if latest.len() > ASKED {
                    latest.pop();
                }
            }
            postings.advance();
        }
    }
    // The heap keeps the earliest on top; sorted, the latest comes first.
    for Reverse((_, address)) in latest.into_sorted_vec() {
        let merged = reader.load(address)?.merged();
        if let Some(name) = shown(&merged, facet, id) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn shown(c: &Conversation, facet: Facet, id: &str) -> Option<String> {
    let found = match facet {
        Facet::Agent => c.agents().into_iter().find(|agent| name(agent.id) == id)?.name?,
        _ => c.skill_names.iter().find(|(skill, _)| name(skill) == id).map(|(_, name)| name.as_str())?,
    };
    Some(found).filter(|found| !found.is_empty()).map(str::to_owned)
}
